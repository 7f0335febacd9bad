"""What the log and the signals say of each ending."""

from django_tasks.store.values import EndingKind
from django_tasks.worker.reporting.outcomes import OUTCOME_TEXTS


def test_every_ending_has_an_outcome_text():
    """No kind of ending can be added without saying how it is logged and signalled."""
    assert OUTCOME_TEXTS.keys() == set(EndingKind)
