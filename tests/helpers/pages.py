"""README and docs as they run: blocks of Python, what they print, and commands.

A comment above a block says what tests make of it, for readers of the page's source:

    <!-- tests: epochs=100 -> epochs=1 -->     shortened: the first text is replaced by the second
    <!-- tests: not run, needs a cluster -->   only compiled

A block of ``text`` below a block of Python is what it prints, to the character. To write what is
printed now into pages: python tests/helpers/pages.py docs/tutorial.md ...
"""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

from places import ROOT

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
PAGES += [ROOT / "results" / "README.md", ROOT / "traces" / "README.md"]
BLOCK = re.compile(
    r"^(?:<!-- tests: (?P<note>[^\n]*) -->\n)?```python\n(?P<code>.*?)^```$"
    r"(?P<between>\s*^```text\n)?(?(between)(?P<printed>.*?)^```$)",
    re.MULTILINE | re.DOTALL,
)
SHELL = re.compile(r"^```(?:sh|bash)?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """A block of Python on a page."""

    code: str
    """As tests run it: shortened where the page's source says so."""
    runs: bool
    printed: str | None
    """What the page says that it prints; None if it does not say."""


def blocks(page: Path) -> list[Block]:
    """Blocks of Python of a page, in order."""
    return [_block(found) for found in BLOCK.finditer(page.read_text(encoding="utf-8"))]


def _block(found: re.Match[str]) -> Block:
    note, code = found["note"] or "", found["code"]
    long, arrow, short = note.partition(" -> ")
    if arrow:
        assert long in code, f"{long!r} is not in the block that it should shorten"
        code = code.replace(long, short)
    assert arrow or not note or note.startswith("not run, "), note
    return Block(code, not note.startswith("not run, "), found["printed"])


def ran(page: Path, names: dict[str, Any] | None = None) -> Iterator[tuple[Block, str]]:
    """Each block that runs and what it prints; those of a page share their names.

    Args:
        page: as it is read.
        names: that its reader has already; those that the page defines join them.
    """
    names = {} if names is None else names
    names["__name__"] = page.stem
    for block in blocks(page):
        code = compile(block.code, page.name, "exec")
        if block.runs:
            with redirect_stdout(StringIO()) as said:
                exec(code, names)
            yield block, said.getvalue()


def commands(page: Path) -> list[list[str]]:
    """Words of every whole ``dfs-hw`` command of a page, in fenced or indented blocks."""
    text = page.read_text(encoding="utf-8")
    lines = "".join(SHELL.findall(text)).splitlines()
    lines += re.findall(r"^    (dfs-hw .*)$", FENCED.sub("", text), re.MULTILINE)
    found = [shlex.split(line, comments=True) for line in lines if line.startswith("dfs-hw ")]
    return [words[1:] for words in found if "..." not in words]


def mentioned(page: Path) -> list[list[str]]:
    """Words of every ``dfs-hw`` command that stands in a line of a page, whole or in part."""
    text = FENCED.sub("", page.read_text(encoding="utf-8"))
    return [inline.split()[1:] for inline in re.findall(r"`(dfs-hw [a-z][^`]*)`", text)]


def write_printed(page: Path) -> None:
    """Put what blocks print where the page says what they print."""
    text = page.read_text(encoding="utf-8")
    printed = iter([said for block, said in ran(page) if block.printed is not None])

    def filled(found: re.Match[str]) -> str:
        if found["between"] is None or not _block(found).runs:
            return found[0]
        start = found.start("printed") - found.start()
        return found[0][:start] + next(printed) + "```"

    page.write_text(BLOCK.sub(filled, text), encoding="utf-8")


if __name__ == "__main__":
    for name in sys.argv[1:]:
        write_printed(Path(name))
