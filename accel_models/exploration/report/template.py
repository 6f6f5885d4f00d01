"""Templates filled and written, with their styles and scripts inside."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Any

from accel_models.files import whole_file

PACKAGE = "accel_models.exploration.report"


def render(path: Path, template: str, *, script: str = "", **facts: Any) -> Path:
    """Fill a template of this package and write the page, which needs no other file."""
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=PackageLoader(PACKAGE, "."),
        undefined=StrictUndefined,
        autoescape=True,
    )
    inside = {"css": Markup(_text("page.css")), "script": Markup(_text(script) if script else "")}
    page = environment.get_template(template).render(**inside, **facts)
    with whole_file(path) as partial:
        partial.write_text(page, encoding="utf-8")
    return path


def _text(name: str) -> str:
    return resources.files(PACKAGE).joinpath(name).read_text(encoding="utf-8")


__all__ = ["render"]
