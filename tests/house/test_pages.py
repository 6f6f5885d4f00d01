"""README and docs say what happens: Python prints what they say, commands are known and run."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pages
import pytest
import typer
from own_machine import blocks as of_own_machine
from own_machine import written
from pages import PAGES, commands, mentioned, ran
from places import ROOT

from dfs_hw.cli import app

READ_ELSEWHERE = {
    "any_network.md": "dfs_hw/networks/tracing/test_reading.py",
    "bring_your_own.md": "dfs_hw/networks/test_make_dynamic.py",
    "bundle.md": "dfs_hw/bundle/test_bundle.py",
    "fixed_widths.md": "dfs_hw/fixed_widths/test_page.py",
    "layer_tables.md": "accel_models/workloads/test_widths_file.py",
    "oracle.md": "accel_models/costs/test_query.py",
    "own_loop.md": "dfs_hw/networks/test_own_loop_page.py",
    "own_machine.md": "accel_models/exploration/test_explore_scripts.py",
}
"""Pages whose Python is run by tests that ask more of it."""
QUICK = {"accelerators", "networks", "replay", "simulate", "timeline"}
"""Commands that take a second or so, and are run as they stand; others are only read."""
NEEDS = ("nets:", ".onnx", "gpt2", "policy.json", "mine.parquet", "own.parquet", "trace.parquet")
"""What only a reader has, or takes PyTorch a while: tests of the pages' own run their like."""
NAMES = [page.relative_to(ROOT).as_posix() for page in PAGES]


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own_families: None) -> Iterator[Path]:
    """A folder like the checkout, with the files that pages have their readers write."""
    for name in ("docs", "traces"):
        (tmp_path / name).symlink_to(ROOT / name)
    written(tmp_path)
    (tmp_path / "mine.toml").write_text(of_own_machine("toml")[0])
    tables = (ROOT / "docs" / "layer_tables.md").read_text()
    (tmp_path / "net.csv").write_text(re.findall(r"```csv\n(.*?)```", tables, re.DOTALL)[0])
    (tmp_path / "mixed.toml").write_text('"*" = 4\n')
    monkeypatch.chdir(tmp_path)
    yield tmp_path


@pytest.mark.slow
@pytest.mark.parametrize("name", [n for n in NAMES if Path(n).name not in READ_ELSEWHERE])
def test_python_of_a_page_prints_what_the_page_says(
    name: str, checkout: Path, one_thread: None
) -> None:
    for block, said in ran(ROOT / name):
        if block.printed is not None:
            assert said == block.printed, f"python tests/helpers/pages.py {name}"


def test_pages_that_are_run_elsewhere_are_named_there() -> None:
    for page, test in READ_ELSEWHERE.items():
        source = (ROOT / "tests" / test).read_text()
        assert page in source or "from own_machine import" in source


@pytest.mark.parametrize("name", NAMES)
def test_commands_of_a_page_are_known(name: str, checkout: Path) -> None:
    """With all their options and the kinds of their values."""
    group = typer.main.get_command(app)
    for words in commands(ROOT / name):
        if words[0].startswith("--"):
            continue
        with group.make_context("dfs-hw", list(words)) as context:
            found, command, rest = group.resolve_command(context, list(words))
            command.make_context(found, rest, parent=context)


@pytest.mark.parametrize("name", NAMES)
def test_options_that_a_page_mentions_are_there(name: str) -> None:
    group = typer.main.get_command(app)
    for words in mentioned(ROOT / name):
        command = group
        for word in words:
            command = getattr(command, "commands", {}).get(word, command)
        known = {"--help"}.union(*((*one.opts, *one.secondary_opts) for one in command.params))
        assert {word for word in words if word.startswith("--")} <= known, words


def quick() -> list[str]:
    found = {" ".join(words) for page in PAGES for words in commands(page) if words[0] in QUICK}
    return sorted(one for one in found if not any(need in one for need in NEEDS))


@pytest.mark.slow
@pytest.mark.parametrize("command", quick())
def test_quick_commands_run(command: str, checkout: Path, printed: Callable[..., str]) -> None:
    assert printed(*command.split())


def test_shortened_blocks_are_shortened(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "<!-- tests: 10**9 -> 2 -->\n```python\nprint(10**9)\n```\n\n```text\n2\n```\n"
        "<!-- tests: not run, never ends -->\n```python\nwhile True: ...\n```\n"
    )
    assert [(block.printed, said) for block, said in ran(page)] == [("2\n", "2\n")]
    pages.write_printed(page)
    assert "```text\n2\n```" in page.read_text()
    page.write_text("<!-- tests: 3 -> 2 -->\n```python\nprint(1)\n```\n")
    with pytest.raises(AssertionError, match="'3' is not in the block"):
        list(ran(page))
