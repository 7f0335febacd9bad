"""The shop of docs/howto/write-an-extension, importable as the document has it."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
