"""Nothing may import this: it tells in the ledger when somebody does."""

from tests.reliability import ledger

ledger.write("imported", "evil")


def drop(*args, **kwargs):
    ledger.write("called", "evil")


class Evil(Exception):
    pass
