"""Templates filled and written, with their styles and scripts inside."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from accel_models.files import whole_file
from accel_models.pages.chart import Chart

SHARED = "accel_models.pages"
"""Where the style, the charts' script and `base.html.jinja` are, that all pages share."""


def render(
    path: Path,
    template: str,
    *,
    package: str,
    charts: Sequence[Chart] = (),
    script: str = "",
    filters: Mapping[str, Callable[..., str]] | None = None,
    **facts: Any,
) -> Path:
    """Fill a template and write the page, which needs no other file and no network.

    Args:
        template: of `package`; it extends ``base.html.jinja``, and ``figure(name)`` of that puts a
            chart in its place.
        charts: that the page draws.
        script: file of `package` that runs after the charts' script.
        filters: of the template, by name.
        facts: names that the template knows.
    """
    from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    loaders = [PackageLoader(one, ".") for one in (package, SHARED)]
    environment = Environment(
        loader=ChoiceLoader(loaders), undefined=StrictUndefined, autoescape=True
    )
    environment.filters |= dict(filters or {})
    inside = {
        "css": Markup(_text(SHARED, "page.css")),
        "charts_script": Markup(_text(SHARED, "charts.js")),
        "script": Markup(_text(package, script) if script else ""),
        "charts": {chart.name: chart for chart in charts},
        "drawn": {chart.name: chart.to_dict() for chart in charts},
    }
    page = environment.get_template(template).render(**inside, **facts)
    with whole_file(path) as partial:
        partial.write_text(page, encoding="utf-8")
    return path


def _text(package: str, name: str) -> str:
    return resources.files(package).joinpath(name).read_text(encoding="utf-8")


__all__ = ["render"]
