"""The site: `make docs` builds it with Sphinx, from pages that are read in the checkout as well.

The whole checkout is the source folder, so that links between its files are right in both places.
"""

from __future__ import annotations

from pygments.lexers.special import TextLexer
from sphinx.application import Sphinx
from sphinx.ext.napoleon import Config, GoogleDocstring

project = "dfs-hw"
root_doc = "docs/index"
include_patterns = [
    "docs/**.md",
    "*.md",
    "notebooks/*.ipynb",
    "results/**.md",
    "traces/README.md",
]
extensions = ["myst_nb", "sphinx.ext.autodoc"]
suppress_warnings = ["ref.python"]  # fields of one name in several classes, in shapes as [N, units]

html_theme = "furo"
html_title = "dfs-hw"
html_show_sourcelink = False
html_show_copyright = False
html_additional_pages = {"index": "start.html"}
templates_path = ["templates"]

myst_heading_anchors = 4
nb_execution_mode = "off"  # tests/house/test_notebooks.py runs them

default_role = "code"
add_module_names = False
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True}
python_use_unqualified_type_names = True
autodoc_type_aliases = {"ArrayLike": "ArrayLike"}

_documented: set[int] = set()


def _once(app: Sphinx, what: str, name: str, value: object, skip: bool, options: object) -> bool:
    """Whether to leave out a name that a package lists: one that an earlier package has shown."""
    if what != "module" or skip:
        return skip
    known = id(value) in _documented
    _documented.add(id(value))
    return known


def _google(
    app: Sphinx, what: str, name: str, value: object, options: object, lines: list[str]
) -> None:
    """Read sections as Google writes them; the text of a field has none, and colons of its own."""
    if what not in ("attribute", "property", "data"):
        lines[:] = GoogleDocstring(lines, Config(), app, what, name, value, options).lines()


def setup(app: Sphinx) -> None:
    """Register what Sphinx is to ask."""
    app.add_lexer("csv", TextLexer)
    app.connect("autodoc-process-docstring", _google)
    app.connect("autodoc-skip-member", _once)
