"""Scraping, and reading what was scraped as Prometheus does."""

from urllib.request import Request, urlopen

import pytest

prometheus_client = pytest.importorskip("prometheus_client")
from prometheus_client.parser import text_string_to_metric_families  # noqa: E402

TOKEN = "a-token-of-the-tests"
#: As a Prometheus server has it that wants the text format.
BEARER = {"Authorization": f"Bearer {TOKEN}"}


def samples_of(text):
    """Return {(name, labels): value}; fail when a sample is told twice."""
    samples = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            key = (sample.name, frozenset(sample.labels.items()))
            assert key not in samples, key
            samples[key] = sample.value
    return samples


class Scrape:
    """What one scrape told."""

    def __init__(self, text):
        self.text = text
        self.samples = samples_of(text)

    def __call__(self, name, **labels):
        """Return the value of one sample; None: there is none."""
        return self.samples.get((f"django_tasks_{name}", frozenset(labels.items())))

    @property
    def names(self):
        return {name for name, _ in self.samples}


def get(url, headers=BEARER):
    """Scrape over HTTP."""
    with urlopen(Request(url, headers=headers), timeout=30) as answer:
        assert answer.headers["Content-Type"].startswith("text/plain; version=")
        return Scrape(answer.read().decode())
