"""
How long things took, as counts per bucket: buckets of many minutes add up, percentiles do not.

Buckets grow by a quarter of an octave, so a percentile is off by less than a tenth.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable

#: Seconds: bucket 0 holds everything shorter.
SHORTEST = 0.001
#: Seconds: longer than anything takes; infinity counts as this.
LONGEST = 1e12
#: The end of a bucket is its beginning times this.
GROWTH = 2**0.25


def middle(bucket: int) -> float:
    """Return the seconds that stand for a bucket: its geometric middle."""
    return SHORTEST / 2 if bucket <= 0 else SHORTEST * GROWTH ** (bucket - 0.5)


def percentile(counts: Counter[int], share: float) -> float | None:
    """Return the seconds that `share` (0 to 1) of all counted took at most; None of nothing."""
    rank = share * counts.total()
    below = 0
    for bucket in sorted(counts):
        below += counts[bucket]
        if below and below >= rank:
            return middle(bucket)
    return None


def dumps(counts: Counter[int]) -> str:
    """Return the counts as text: JSON pairs of bucket and count."""
    return json.dumps(sorted(counts.items()), separators=(",", ":"))


def loads(text: str) -> Counter[int]:
    """Return the counts that `dumps` made a text of."""
    return Counter(dict(json.loads(text)))


def total(texts: Iterable[str]) -> Counter[int]:
    """Add up the counts of many texts."""
    counts: Counter[int] = Counter()
    for text in texts:
        counts.update(loads(text))
    return counts
