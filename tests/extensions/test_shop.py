"""What the document shows is what is tried here, and passes its own tests."""

import re
from pathlib import Path

import pytest
from shop.tests import DirectoryBrokerTests, FreshThreadPoolTests

__all__ = ["DirectoryBrokerTests", "FreshThreadPoolTests"]

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
