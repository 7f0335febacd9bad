"""What the document shows is what is tried here, and passes its own tests."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from shop import metrics
from shop.tests import DirectoryBrokerTests, FreshThreadPoolTests, ShopSerializerTests

from django_tasks import instrumentation
from django_tasks.instrumentation import Batch, Event, Outcome, TaskEvent

__all__ = ["DirectoryBrokerTests", "FreshThreadPoolTests", "ShopSerializerTests"]

ROOT = Path(__file__).resolve().parents[2]
BLOCK = re.compile(r"^```python\n# shop/(\w+\.py)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
DOCUMENT = (ROOT / "docs/howto/write-an-extension.md").read_text(encoding="utf-8")


def test_document_shows_every_file():
    """No example without a test."""
    files = {path.name for path in Path(__file__).parent.glob("shop/*.py")} - {"__init__.py"}

    assert {name for name, _ in BLOCK.findall(DOCUMENT)} == files


@pytest.mark.parametrize(("name", "text"), BLOCK.findall(DOCUMENT))
def test_example_of_the_document_is_the_one_that_is_tried(name, text):
    """To the letter, but for blank lines at its ends."""
    tried = (Path(__file__).parent / "shop" / name).read_text(encoding="utf-8")

    assert text.strip() == tried.strip()


def test_metrics_count(settings):
    """As the document's settings name them."""
    settings.DJANGO_TASKS = {"INSTRUMENTATION": ["shop.metrics.count"]}
    now = datetime.now(UTC)
    task = TaskEvent(
        uuid4(), "shop.tasks.pay", "mail", 0, 1, now, claimed_at=now + timedelta(seconds=2),
        run_time=3.0, outcome=Outcome.RETRIED,
    )  # fmt: skip

    for event in Event:
        instrumentation.tell(Batch(event, "default", [task]))

    assert metrics.ended == {("shop.tasks.pay", "retried"): 1}
    assert (metrics.waited, metrics.ran) == ({"mail": 2.0}, {"shop.tasks.pay": 3.0})
