"""Pages in a headless browser that the machine has; tests without one are skipped, and say so."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
PHONE, DESK = 390, 1280


@contextmanager
def browser() -> Iterator[Any]:
    """A browser of playwright's, closed at the end."""
    driver = pytest.importorskip("playwright.sync_api", reason="no playwright to drive a browser")
    found = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip("no Chromium or Chrome on this machine: pages were not opened")
    with driver.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield opened
        opened.close()


@contextmanager
def opened(chromium: Any, path: Path, width: int = DESK) -> Iterator[Any]:
    """A page of a file, which asks for nothing else and leaves no error on the console."""
    page = chromium.new_page(viewport={"width": width, "height": 800})
    faults: list[str] = []
    page.on("console", lambda said: faults.append(said.text) if said.type == "error" else None)
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("request", lambda asked: None if asked.url == path.as_uri() else _note(faults, asked))
    page.goto(path.as_uri())
    yield page
    page.close()
    assert not faults


def _note(faults: list[str], asked: Any) -> None:
    if not asked.url.startswith(("data:", "blob:")):
        faults.append(f"asks for {asked.url}")


def sideways(page: Any) -> int:
    """How far a page can be scrolled sideways, in pixels."""
    found: int = page.evaluate(
        "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    )
    return found


def widths_drawn(page: Any) -> list[float]:
    """Widths of all charts of a page that are to be seen."""
    found: list[float] = page.eval_on_selector_all(
        "figure.chart .drawing",
        "boxes => boxes.filter(box => box.clientWidth).map(box => "
        "box.querySelector('svg') ? box.querySelector('svg').getBoundingClientRect().width : 0)",
    )
    return found
