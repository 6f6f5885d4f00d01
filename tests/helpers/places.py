"""Where the checkout's folders are, wherever a test lies."""

from pathlib import Path

HELPERS = Path(__file__).parent
ROOT = HELPERS.parent.parent
