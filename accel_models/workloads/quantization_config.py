"""Widths as a checkpoint's ``quantization_config`` states them: GPTQ's, AWQ's and AutoRound's.

What the fields mean is taken from the readers of these checkpoints:

- ``bits`` (AWQ's own files: ``w_bit``) is the width of weights that are quantised, ``act_bits``
  (AutoRound) that of their layer's input; without it, activations stay in floating point.
- ``dynamic`` (GPTQModel, ``dynamic_get``; vLLM, ``gptq_utils.get_dynamic_override``): regular
  expressions that names begin with, the first match counts; after ``-:`` what is left as it is,
  otherwise, or after ``+:``, other bits.
- ``extra_config`` (AutoRound; vLLM, ``INCConfig.get_layer_config``): other bits by name, or by
  regular expressions found anywhere in names, of which the first counts.
- ``modules_to_not_convert`` (AWQ; vLLM, ``is_layer_skipped_awq``): parts of names.
- ``block_name_to_quantize``, ``to_quant_block_names``: the blocks whose layers are quantised;
  ``modules_in_block_to_quantize`` (GPTQ): parts of the names of these layers.
- ``lm_head`` (GPTQ): whether the head is quantised, too.

All three quantise the linear layers of the repeated blocks alone, unless the file says otherwise.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from dataclasses import fields as declared
from functools import cached_property
from typing import Any

from accel_models.documents import typed
from accel_models.errors import InputError, listed, quoted
from accel_models.precision import FULL, FULL_BITS, MAX_BITS, Precision
from accel_models.workloads.layer import Layer
from accel_models.workloads.widths import WidthRules, unmatched

METHODS = ("gptq", "awq", "auto-round", "intel/auto-round")
HEAD = "lm_head"
EXCEPT, OVERRIDE = "-:", "+:"
REGULAR = set("*+?^$()[]{}|\\")
"""What makes a name of ``extra_config`` a regular expression; a dot alone does not."""
LONGEST_PATTERN = 1000
FUSED = "modules_to_fuse"
"""Modules that AWQ's kernels put together, whose widths stay the same."""


@dataclass(frozen=True)
class BitsOfModule:
    """What is stated of one module; None is what holds for all."""

    bits: int | None = None
    act_bits: int | None = None
    data_type: str | None = None
    act_data_type: str | None = None


@dataclass(frozen=True)
class StatedBits:
    """Fields that widths follow from. Those of calibration and of storage are not looked at."""

    bits: int
    quant_method: str = METHODS[0]
    act_bits: int | None = None
    data_type: str | None = None
    act_data_type: str | None = None
    dynamic: dict[str, BitsOfModule] | None = None
    extra_config: dict[str, BitsOfModule] | None = None
    modules_to_not_convert: list[str] | None = None
    modules_in_block_to_quantize: Any = None
    block_name_to_quantize: Any = None
    to_quant_block_names: Any = None
    lm_head: bool | None = None


@dataclass(frozen=True)
class QuantizationConfig(WidthRules):
    """Widths of all layers by the rules of one checkpoint: layers with weights that it quantises
    have its widths, all others stay in floating point (`FULL`).

    Args:
        where: what errors call the file or its table.
        stated: the fields, checked.
    """

    where: str
    stated: StatedBits

    @classmethod
    def parse(cls, table: Mapping[str, Any], where: str) -> QuantizationConfig:
        """Read the table ``quantization_config``, or a file that holds this table alone.

        Raises:
            InputError: if it is of another method, a field is of another kind, or widths are said
                by a field that is not known.
        """
        fields = dict(table)
        if "bits" not in fields and "w_bit" in fields:
            fields["bits"] = fields.pop("w_bit")
        stated = typed(StatedBits, fields, where)
        if stated.quant_method not in METHODS:
            raise InputError(
                f"{where}: quant_method must be one of {listed(METHODS)}, "
                f"got {quoted(stated.quant_method)}"
            )
        _check_known(fields, StatedBits, where)
        for name in ("dynamic", "extra_config"):
            for key, entry in (fields.get(name) or {}).items():
                _check_known(entry, BitsOfModule, f"{where}: {name}.{key}")
        _check_bits(stated, where)
        return cls(where, stated)

    def __post_init__(self) -> None:
        # Patterns and lists are read at once, so that what is wrong is said of the file alone.
        _ = self._dynamic, self._extra, self._blocks, self._parts

    def by_name(self, layers: Sequence[Layer], network: str) -> dict[str, Precision]:
        """Widths by layer name.

        Raises:
            InputError: if a name or pattern matches no layer, or no layer is quantised.
        """
        here = [layer for layer in layers if not layer.decides]
        self._check_used(here, network)
        found = {
            layer.name: self._precision(layer.name) if layer.on_array and layer.weights else FULL
            for layer in here
        }
        if all(precision.full for precision in found.values()):
            raise InputError(
                f"{self.where} quantises no layer of '{network}': layers of repeated blocks have a "
                "number in their names, such as model.layers.0.mlp.up_proj, or "
                "block_name_to_quantize names the blocks"
            )
        return found

    def _precision(self, name: str) -> Precision:
        stated = self.stated
        if any(part in name for part in stated.modules_to_not_convert or ()):
            return FULL
        quantised = self._in_block(name) or (stated.lm_head and name.split(".")[-1] == HEAD)
        rule = next((rule for rule in self._dynamic if rule.matches(name)), None)
        if rule is not None and rule.leaves:
            return FULL
        own = next((rule.entry for rule in self._extra if rule.name == name), None)
        own = own or next((rule.entry for rule in self._extra if rule.matches(name)), None)
        bits, act_bits = (stated.bits, stated.act_bits) if quantised else (None, None)
        if quantised and rule is not None:
            bits = rule.entry.bits or bits
        if own is not None:
            bits, act_bits = own.bits or bits, own.act_bits or act_bits
        weight, activation = (min(width or FULL_BITS, FULL_BITS) for width in (bits, act_bits))
        precision = Precision(weight, activation)
        return FULL if precision == Precision(FULL_BITS, FULL_BITS) else precision

    def _in_block(self, name: str) -> bool:
        if self._blocks:
            inside = any(_lies_in(block)(name) for block in self._blocks)
        else:
            inside = any(part.isdecimal() for part in name.split("."))
        return inside and (not self._parts or any(part in name for part in self._parts))

    @cached_property
    def _dynamic(self) -> tuple[_Rule, ...]:
        rules = []
        for key, entry in (self.stated.dynamic or {}).items():
            pattern = key.removeprefix(EXCEPT).removeprefix(OVERRIDE)
            compiled = _compiled(pattern, f"{self.where}: dynamic")
            rules.append(_Rule(key, entry, compiled.match, key.startswith(EXCEPT)))
        return tuple(rules)

    @cached_property
    def _extra(self) -> tuple[_Rule, ...]:
        rules = []
        for key, entry in (self.stated.extra_config or {}).items():
            pattern = key if REGULAR & set(key) else f"^{re.escape(key)}$"
            compiled = _compiled(pattern, f"{self.where}: extra_config")
            rules.append(_Rule(key, entry, compiled.search))
        return tuple(rules)

    @cached_property
    def _blocks(self) -> tuple[str, ...]:
        names = [
            *_words(self.stated.block_name_to_quantize, f"{self.where}: block_name_to_quantize"),
            *_words(self.stated.to_quant_block_names, f"{self.where}: to_quant_block_names"),
        ]
        return tuple(names)

    @cached_property
    def _parts(self) -> tuple[str, ...]:
        where = f"{self.where}: modules_in_block_to_quantize"
        return tuple(_words(self.stated.modules_in_block_to_quantize, where))

    def _check_used(self, layers: Sequence[Layer], network: str) -> None:
        """Refuse what matches nothing: layers that it was meant for would get other widths."""
        names = [layer.name for layer in layers]
        for field, key, matches in self._matchers():
            if not any(map(matches, names)):
                raise InputError(f"{self.where}: {field}: {unmatched(key, layers, network)}")

    def _matchers(self) -> Iterator[tuple[str, str, Callable[[str], Any]]]:
        for field, rules in (("dynamic", self._dynamic), ("extra_config", self._extra)):
            yield from ((field, rule.name, rule.matches) for rule in rules)
        for part in self.stated.modules_to_not_convert or ():
            yield "modules_to_not_convert", part, _has(part)
        for part in self._parts:
            yield "modules_in_block_to_quantize", part, _has(part)
        for block in self._blocks:
            yield "block_name_to_quantize", block, _lies_in(block)


@dataclass(frozen=True)
class _Rule:
    """What holds for the names that a pattern matches."""

    name: str
    entry: BitsOfModule
    matches: Callable[[str], Any]
    leaves: bool = False


def states_bits(table: Mapping[str, Any]) -> bool:
    """Whether a table is a ``quantization_config`` by itself, and no mapping of names."""
    grouped = {"group_size", "q_group_size"} & table.keys()
    return "quant_method" in table or bool(grouped and {"bits", "w_bit"} & table.keys())


def _has(part: str) -> Callable[[str], bool]:
    return lambda name: part in name


def _lies_in(block: str) -> Callable[[str], bool]:
    return lambda name: f"{name}.".startswith(f"{block}.")


def _check_known(fields: Mapping[str, Any], kind: type[Any], where: str) -> None:
    """Refuse fields that may say widths, but not how."""
    known = {FUSED, *(field.name for field in declared(kind))}
    for name, value in fields.items():
        counts = type(value) is int and "bit" in name
        selects = value and isinstance(value, list | dict) and name.startswith("modules_")
        if name not in known and (counts or selects):
            raise InputError(f"{where}: {name} is not a known field, got {quoted(value)}")


def _check_bits(stated: StatedBits, where: str) -> None:
    for place, own in _places(stated):
        for name, kind in (("bits", "data_type"), ("act_bits", "act_data_type")):
            width = getattr(own, name)
            if width is not None and not 1 <= width <= MAX_BITS:
                raise InputError(f"{where}: {place}{name} must be 1 to {MAX_BITS}, got {width}")
            width = width or getattr(stated, name) or FULL_BITS
            data = getattr(own, kind) or getattr(stated, kind) or "int"
            if width < FULL_BITS and not data.startswith("int"):
                raise InputError(
                    f"{where}: {place}{kind} must begin with int at {width} bits, since integers "
                    f"are what is priced, got {quoted(data)}"
                )


def _places(stated: StatedBits) -> Iterator[tuple[str, StatedBits | BitsOfModule]]:
    yield "", stated
    for name in ("dynamic", "extra_config"):
        for key, entry in (getattr(stated, name) or {}).items():
            yield f"{name}.{key}.", entry


def _compiled(pattern: str, where: str) -> re.Pattern[str]:
    if len(pattern) > LONGEST_PATTERN:
        raise InputError(f"{where}: a pattern has at most {LONGEST_PATTERN} characters")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return re.compile(pattern)
    except (re.error, ValueError, OverflowError, RecursionError) as error:
        raise InputError(f"{where}: {quoted(pattern)} is no regular expression: {error}") from error


def _words(value: Any, where: str) -> Iterable[str]:
    """Names as text with commas, in a list, or in lists of a list."""
    if value is None:
        return ()
    if isinstance(value, str):
        return [word.strip() for word in value.split(",") if word.strip()]
    if isinstance(value, list):
        flat = [word for one in value for word in (one if isinstance(one, list) else [one])]
        if all(isinstance(word, str) for word in flat):
            return flat
    raise InputError(f"{where} must be names of modules, got {quoted(value)}")


__all__ = ["QuantizationConfig", "states_bits"]
