"""Families of arrays from outside the package: loading them, carrying them to other processes, and
telling whether their source is what it was."""

from __future__ import annotations

import hashlib
import linecache
import re
import sys
from collections.abc import Callable, Iterator
from functools import cache
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from accel_models.accelerators.arrays.array import Array
from accel_models.accelerators.arrays.registry import FAMILIES, is_own, register_family
from accel_models.errors import DfsHwError, InputError
from accel_models.files import read_bytes

NOT_FOLLOWED = ("accel_models", "dfs_hw")
"""Packages whose source keys cover by themselves."""
INSTALLED = {"site-packages", "dist-packages"}


class Plugin(NamedTuple):
    """A module that registers families."""

    asked: str
    """Name of the module, or path of its file, as it was given."""
    module: str
    source: str | None
    """Text of the file; None for a module that is imported by name."""


_LOADED: dict[str, Plugin] = {}
"""Plugins of this process by module."""


def load_plugin(name: str | Path) -> tuple[str, ...]:
    """Load a module that registers families, once: by a name that imports, or by a path that ends
    in ``.py``. Returns the names of its families.

    Raises:
        InputError: if it does not import, registers nothing, or what it registers is refused.
    """
    return _entered(_found(str(name)))


def _found(name: str) -> Plugin:
    if not name.endswith(".py"):
        return Plugin(name, name, None)
    path = Path(name)
    try:
        text = read_bytes(path).decode()
    except UnicodeDecodeError as error:
        raise InputError(f"plugin {name} is no Python file: {error}") from error
    # Named after its content: another process, or a cluster's, makes the same module of it.
    digest = hashlib.sha256(text.encode()).hexdigest()[:8]
    return Plugin(name, f"dfs_hw_plugin_{re.sub(r'[^0-9A-Za-z_]', '_', path.stem)}_{digest}", text)


def _entered(plugin: Plugin) -> tuple[str, ...]:
    """Run a plugin's module if it has not run, and leave no trace of one that fails."""
    before = dict(FAMILIES)
    try:
        if plugin.source is None:
            import_module(plugin.module)
        elif plugin.module not in sys.modules:
            _run(plugin.module, plugin.asked, plugin.source)
        families = tuple(name for name, kind in FAMILIES.items() if _is_of(kind, plugin, before))
        if not families:
            raise InputError("it registers no family: put @register_family above its class")
    except (Exception, SystemExit) as error:  # whatever a foreign module does as it is imported
        FAMILIES.clear()
        FAMILIES.update(before)
        if plugin.source is not None:
            sys.modules.pop(plugin.module, None)
        raise InputError(f"plugin {plugin.asked}{_why(error, plugin)}") from error
    _LOADED[plugin.module] = plugin
    for name in families:
        source_of(FAMILIES[name])  # as it is now
    return families


def _why(error: BaseException, plugin: Plugin) -> str:
    """What is wrong with a plugin, in one line."""
    said = " ".join(str(error).split())
    if isinstance(error, DfsHwError):
        return f": {said}"
    absent = (
        isinstance(error, ModuleNotFoundError) and error.name == plugin.module.partition(".")[0]
    )
    if absent:
        return ": there is no such module; the path of a file ends in .py"
    return f" does not import: {type(error).__name__}: {said}"


def _is_of(kind: type[Array], plugin: Plugin, before: dict[str, type[Array]]) -> bool:
    inside = kind.__module__ == plugin.module or kind.__module__.startswith(f"{plugin.module}.")
    return inside or (kind not in before.values() and not is_own(kind))


def _run(name: str, path: str, text: str) -> None:
    """Make a module of a text; its lines can be looked up where there is no such file, too."""
    file = str(Path(path).resolve())
    module = ModuleType(name)
    module.__file__ = file
    linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)
    sys.modules[name] = module
    exec(compile(text, file, "exec"), module.__dict__)


def outside_families() -> dict[str, dict[str, str | None]]:
    """Families from outside the package that are known by now, as a result's provenance has them:
    by name, the plugin as it was given, or else the module, and the digest of its source (None for
    what has no source to look at)."""
    return {
        name: {"from": _given_as(kind), "source": (source_of(kind) or "")[:16] or None}
        for name, kind in sorted(FAMILIES.items())
        if not is_own(kind)
    }


def plugin_of(kind: type[Array]) -> str:
    """The plugin that defines a family, as `load_plugin` was given it, or else its module; "" for
    a family of this package."""
    return "" if is_own(kind) else _given_as(kind)


def _given_as(kind: type[Array]) -> str:
    plugin = _LOADED.get(kind.__module__)
    return kind.__module__ if plugin is None else plugin.asked


class Carried:
    """A function on its way to other processes, which there finds the families that are known here.

    Families come first as it is unpickled, since what the function holds may be made of them.
    """

    def __init__(self, function: Callable[[Any], Any]) -> None:
        self.function = function

    def __call__(self, item: Any) -> Any:
        return self.function(item)

    def __reduce__(self) -> tuple[Any, ...]:
        return _unpacked, (_Plugins(), _Registered(), self.function)


class _Plugins:
    """What plugins this process has loaded; loads them where it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return _enter_all, (tuple(map(tuple, _LOADED.values())),)


class _Registered:
    """What other families are registered; registers them where it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return _register_all, tuple(kind for kind in FAMILIES.values() if not is_own(kind))


def _enter_all(plugins: tuple[tuple[str, str, str | None], ...]) -> None:
    for plugin in plugins:
        _entered(Plugin(*plugin))


def _register_all(*kinds: type[Array]) -> None:
    for kind in kinds:
        register_family(kind)


def _unpacked(_: None, __: None, function: Callable[[Any], Any]) -> Carried:
    return Carried(function)


def carried(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """A function that can be sent to other processes, with the families from outside if any."""
    return function if all(map(is_own, FAMILIES.values())) else Carried(function)


@cache
def source_of(kind: type[Array]) -> str | None:
    """Digest of a family's source as this process knows it: of its module and of the modules that
    are not installed, or of its own package, which it uses by name.

    ``""`` for a family of this package, whose source keys cover anyway; None where there is no
    source to look at, as in a notebook.
    """
    return source_now(kind)


def source_now(kind: type[Array]) -> str | None:
    """Digest of a family's source as its files are by now; as `source_of` otherwise."""
    starts = [one.__module__ for one in kind.__mro__ if issubclass(one, Array) and not is_own(one)]
    if not starts:
        return ""
    digest = hashlib.sha256()
    for name in sorted(_reached(starts)):
        text = _text(name)
        if text is None:
            return None
        digest.update(f"{name} {len(text)}\n".encode() + text)
    return digest.hexdigest()


def _reached(starts: list[str]) -> set[str]:
    """Modules whose source counts: those to start with, and what they use."""
    packages = {name.partition(".")[0] for name in starts}
    seen: set[str] = set()
    left = list(starts)
    while left:
        name = left.pop()
        if name not in seen and (name in starts or _is_followed(name, packages)):
            seen.add(name)
            left += _used(sys.modules.get(name))
    return seen


def _used(module: ModuleType | None) -> Iterator[str]:
    for value in list(vars(module).values()) if module else ():
        name = value.__name__ if isinstance(value, ModuleType) else None
        name = name or getattr(value, "__module__", None)
        if isinstance(name, str):
            yield name


def _is_followed(name: str, packages: set[str]) -> bool:
    head = name.partition(".")[0]
    if head in NOT_FOLLOWED or head in sys.stdlib_module_names:
        return False
    file = getattr(sys.modules.get(name), "__file__", None)
    return head in packages or (file is not None and not INSTALLED & set(Path(file).parts))


def _text(name: str) -> bytes | None:
    """Source of a module; None if it has none."""
    if name in _LOADED and (source := _LOADED[name].source) is not None:
        return source.encode()
    file = getattr(sys.modules.get(name), "__file__", None)
    try:
        return Path(file).read_bytes() if file and file.endswith(".py") else None
    except OSError:
        return None
