"""A hundred crontabs, from every minute to leap days, and the zones that they are tried in."""

ZONES = [
    "Europe/Berlin",
    "America/New_York",
    "Africa/Cairo",  # changes at midnight, and had years without
    "Asia/Beirut",  # changes at midnight
    "America/Havana",  # changes at midnight, back at one
    "Australia/Lord_Howe",  # half an hour
    "Antarctica/Troll",  # two hours
    "Pacific/Apia",  # had no 30 December 2011
    "Africa/Casablanca",  # four changes a year, around Ramadan
    "Asia/Kolkata",  # never, and half an hour off
    "UTC",
    "America/Sao_Paulo",  # changed at midnight until 2019
]

#: For set times: once for each, on each day.
FIXED = """
    0 0 * * *
    @daily
    @weekly
    @monthly
    @yearly
    30 0 * * *
    15 0 * * *
    0 1 * * *
    30 1 * * *
    45 1 * * *
    0 2 * * *
    15 2 * * *
    30 2 * * *
    59 2 * * *
    0 3 * * *
    30 3 * * *
    0 4 * * *
    0 7 * * mon-fri
    0 7 * * 1-5
    0 12 * * *
    30 23 * * *
    59 23 * * *
    0 0 * * 7
    0 0 * * 0
    0 0 * * sat,sun
    0 0 * * fri-mon
    0 0 1 * *
    0 0 31 * *
    30 2 30 * *
    0 0 29 2 *
    30 2 29 2 *
    0 12 30 12 *
    0 0 1 1 *
    0 0 l * *
    30 2 l * *
    0 3 1,15,l * *
    0 0 * * 5#3
    30 1 * * sun#2
    0 2 * * 0#1,0#3
    30 2 * * l0
    0 1 * * l7
    0 9 * * l5
    0 0 13 * 5
    0 0 13 * fri
    0 0 1-7 * mon
    0 0 29 2 1
    0 0 31 2 1
    0 0 */2 * *
    0 0 */2 * 1
    0 0 1-31/3 * 0
    30 2 * 3,10 *
    30 2 * mar-apr sun
    0 0 * nov-feb *
    0 0 * */3 *
    0 6 1 jan,apr,jul,oct *
    5 4 * * sun
    10 2,3 * * *
    0,30 2 * * *
    0-59 2 * * *
    0-59/15 0-3 * * *
    30 0-23 * * *
    0 0,12 * * *
    0 22-2 * * *
    0 0-23/6 * * *
    15,45 8-18 * * mon-fri
    0 8/4 * * *
    59/15 23/2 * * *
    50-10 1 * * *
    5-5 1-1 * * *
    0 0 ? * mon
    0 0 1 * ?
"""

#: With an open time field: every real time that matches.
WILDCARD = """
    * * * * *
    */5 * * * *
    */7 * * * *
    */15 * * * *
    */30 * * * *
    0 * * * *
    @hourly
    30 * * * *
    0,20,40 * * * *
    17 */2 * * *
    0 */3 * * *
    0 */6 * * mon-fri
    0 */24 * * *
    */10 2 * * *
    */30 1-3 * * *
    * 0 * * *
    * 2 * * sun
    */20 23,0 * * *
    15 * l * *
    0 * * 10 0
    30 * 25-31 3,10 sun
    */15 2 * 3 l0
    */30 0 29 2 *
    5/10 * * * sat
"""

#: Celery's keywords: both days match.
BOTH = """
    0 0 1-7 * mon
    30 2 25-31 3,10 sun
    0 12 29 2 1
    */20 * 13 * fri
    0 0 l * l5
"""


def lines(text):
    return [line.strip() for line in text.splitlines() if line.strip()]


CRONTABS = [
    *((expression, "ANY") for expression in lines(FIXED + WILDCARD)),
    *((expression, "ALL") for expression in lines(BOTH)),
]
assert len(CRONTABS) == 100, len(CRONTABS)
