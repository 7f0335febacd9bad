"""
When crontabs are due, worked out by brute force. It shares no code with the package.

Local time is a tape with a bit for each minute: set where the five fields match. Real time is cut
where the clocks of a zone change, found by looking at what they show at each hour (and at each
minute of an hour in which that jumps). Each piece of real time reads its piece of the tape.
"""

import calendar
from datetime import UTC, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo

START = datetime(2008, 1, 1, tzinfo=UTC)
END = datetime(2028, 1, 1, tzinfo=UTC)
EPOCH = int(START.timestamp())
MINUTES = (END - START) // timedelta(minutes=1)
DAY = 1440
MARGIN = 3  # days of tape before START and after END, for what zones show then

WORDS = {"@daily": "0 0 * * *", "@hourly": "0 * * * *", "@weekly": "0 0 * * 0",
         "@monthly": "0 0 1 * *", "@yearly": "0 0 1 1 *"}  # fmt: skip
MONTH_NAMES = [name.lower() for name in calendar.month_abbr]
WEEKDAY_NAMES = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"]


def numbers(text, values, names=()):
    """Return the set that a field lists of `values`, all that it can hold, in order."""
    found = set()
    for term in text.split(","):
        body, _, step = term.partition("/")
        low, dash, high = body.partition("-")
        if body in "*?":
            chosen = list(values)
        else:
            first = values.index(names.index(low) if low in names else int(low))
            last = first
            if dash:
                last = values.index(names.index(high) if high in names else int(high))
            elif step:
                last = len(values) - 1
            chosen = values[first : last + 1]
            if last < first:  # over the end
                chosen = [*values[first:], *values[: last + 1]]
        found.update(chosen[:: int(step or 1)])
    return found


def fields_of(expression):
    return WORDS.get(expression, expression).lower().split()


def is_fixed(expression):
    """Tell whether it names times of the day; others go on with the real time."""
    minute, hour, *_ = fields_of(expression)
    return minute[0] != "*" and hour[0] != "*"


class Tape:
    """A crontab laid out over 20 years of local time."""

    def __init__(self, expression, both=False):
        fields = fields_of(expression)
        minutes = numbers(fields[0], list(range(60)))
        hours = numbers(fields[1], list(range(24)))
        self.is_fixed = is_fixed(expression)
        self.day, self.weekday = fields[2], fields[4]
        self.months = numbers(fields[3], list(range(1, 13)), [*MONTH_NAMES])
        self.both = both or self.day[0] in "*?" or self.weekday[0] in "*?"
        mask = sum(1 << (hour * 60 + minute) for hour in hours for minute in minutes)
        self.per_day = len(hours) * len(minutes)
        due, free = mask.to_bytes(DAY // 8, "little"), bytes(DAY // 8)
        first = START.date() - timedelta(days=MARGIN)
        days = (END - START).days + 2 * MARGIN
        self.days = [self.has(first + timedelta(days=number)) for number in range(days)]
        self.tape = b"".join(due if has else free for has in self.days)
        self.total = self.per_day * sum(self.days)

    def has(self, day):
        if day.month not in self.months:
            return False
        matches = (self.has_day(day), self.has_weekday(day))
        return all(matches) if self.both else any(matches)

    def has_day(self, day):
        is_last = (day + timedelta(days=1)).day == 1
        terms = self.day.split(",")
        rest = ",".join(term for term in terms if term != "l")
        return ("l" in terms and is_last) or (rest and day.day in day_numbers(rest))

    def has_weekday(self, day):
        today = day.isoweekday() % 7
        if "#" in self.weekday or "l" in self.weekday:
            return any(self.has_nth(term, today, day) for term in self.weekday.split(","))
        return today in weekday_numbers(self.weekday)

    def has_nth(self, term, today, day):
        if term[0] == "l":
            return int(term[1:]) % 7 == today and (day + timedelta(days=7)).month != day.month
        name, nth = term.split("#")
        weekday = WEEKDAY_NAMES.index(name) if name in WEEKDAY_NAMES else int(name) % 7
        before = [n for n in range(1, day.day + 1) if day.replace(day=n).isoweekday() % 7 == today]
        return weekday == today and len(before) == int(nth)

    def bits(self, start, end):
        """Return local minutes [start, end) after START as an integer, the first one lowest."""
        start, end = start + MARGIN * DAY, end + MARGIN * DAY
        first, last = start // 8, -(-end // 8)
        assert first >= 0
        assert last <= len(self.tape)
        bits = int.from_bytes(self.tape[first:last], "little") >> (start - 8 * first)
        return bits & ((1 << (end - start)) - 1)

    def due(self, pieces, start, end):
        """Return the real minutes of [start, end) in which it is due, ascending."""
        return [minute for piece in pieces for minute in self.due_in(piece, start, end)]

    def due_in(self, piece, start, end):
        piece_start, piece_end, offset, earlier = piece
        first, last = max(start, piece_start), min(end, piece_end)
        if first >= last:
            return
        bits = self.bits(first + offset, last + offset)
        if self.is_fixed:
            shown = piece_start + earlier  # what clocks have shown before this piece began
            if shown > first + offset:  # they go over it again
                bits &= ~((1 << (shown - first - offset)) - 1)
            if first == piece_start and shown < first + offset:  # they left it out
                bits |= bool(self.bits(shown, first + offset))
        text = bin(bits)[:1:-1]
        found = text.find("1")
        while found >= 0:
            yield first + found
            found = text.find("1", found + 1)


@cache
def day_numbers(text):
    return numbers(text, list(range(1, 32)))


@cache
def weekday_numbers(text):
    return {number % 7 for number in numbers(text, list(range(8)), WEEKDAY_NAMES)}


def shown_at(zone, minute):
    """Return how many minutes clocks are ahead of UTC, in a minute counted from START."""
    return int(datetime.fromtimestamp(EPOCH + 60 * minute, zone).utcoffset().total_seconds()) // 60


@cache
def pieces_of(name):
    """Return pieces of real time without a change: (start, end, offset, offset before it)."""
    zone = ZoneInfo(name)
    pieces, start, offset, earlier = [], 0, shown_at(zone, 0), shown_at(zone, -1)
    for hour in range(0, MINUTES, 60):
        if shown_at(zone, hour + 60) != offset:
            changed = next(m for m in range(hour, hour + 61) if shown_at(zone, m) != offset)
            pieces.append((start, changed, offset, earlier))
            start, offset, earlier = changed, shown_at(zone, changed), offset
    return [*pieces, (start, MINUTES, offset, earlier)]
