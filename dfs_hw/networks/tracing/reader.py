"""A model's graph walked operator by operator: each becomes layers, or costs nothing, or is noted.

What an operator comes to is said by one small function for it, a rule, kept in `RULES` under its
ATen name. What has no rule is noted as a step without a layer, so that it can be named at the end.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, fx

from accel_models.errors import InputError
from accel_models.workloads.graphs.steps import Steps
from accel_models.workloads.graphs.values import Kind, Value, values_in
from dfs_hw.networks.tracing.call import OperatorCall, call_of, kind_of
from dfs_hw.networks.tracing.constants import known
from dfs_hw.networks.tracing.functions import BY_ELEMENT, formula_of, named

Rule = Callable[["Reader", "OperatorCall"], Any]
RULES: dict[str, Rule] = {}
"""What each ATen operator comes to, by its name without ``aten::`` and without the underscore of an
operator in place. A rule gives the value of its result, or a list of several; None if it knows no
price."""

SHAPELESS = ("sym_size", "sym_numel", "_assert", "item", "_local_scalar_dense", "lift_fresh")
MADE_OF_INDEX = ("embedding", "embedding_bag", "_embedding_bag")
"""Operators that make activations of whole numbers."""
LOOK_UPS = ("index", "index_select", "gather", "take", "take_along_dim")
"""Operators that do so where they read weights."""


def prices(*names: str) -> Callable[[Rule], Rule]:
    """Enter a rule under the names of its operators."""

    def enter(rule: Rule) -> Rule:
        for name in names:
            RULES[name] = rule
        return rule

    return enter


class Reader(Steps):
    """Reads a graph into steps, numbered in the order of the model's own forward."""

    def __init__(self) -> None:
        super().__init__()
        self.unknown_targets: dict[str, Any] = {}
        """Operators without a rule that may be made of others, by name."""

    def read(self, module: fx.GraphModule, bound: Mapping[fx.Node, Any]) -> Any:
        """Read a graph whose placeholders are bound to values; gives what it returns.

        Raises:
            InputError: if the graph returns nothing.
        """
        values = dict(bound)
        for node in module.graph.nodes:
            if node.op == "get_attr":
                found: Any = module
                for name in str(node.target).split("."):
                    found = getattr(found, name)
                values[node] = (
                    Value(tuple(found.shape), "constant") if isinstance(found, Tensor) else found
                )
            elif node.op == "call_function":
                values[node] = self._called(node, values)
            elif node.op == "output":
                return fx.map_arg(node.args[0], values.__getitem__)
        raise InputError("the model's graph has no output")

    def note_unknown(self, call: OperatorCall) -> Any:
        """Note an operator that has no cost model; gives its results."""
        number = self.unpriced(call, call.full_name, values_in(call.given))
        if call.name not in BY_ELEMENT:
            self.unknown_targets[call.name] = call.target
        found = [
            Value(shape, "data" if floating else "index", (number,))
            for shape, floating in zip(call.shapes, call.floating, strict=True)
        ]
        several = isinstance(call.node.meta.get("val"), list | tuple)
        return found if several else found[0] if found else None

    def known(self, node: Any) -> Tensor | None:
        """What a node computes, where that is known before any input and weights."""
        return known(node)

    def _called(self, node: fx.Node, values: dict[fx.Node, Any]) -> Any:
        target = node.target
        given: Any = fx.map_arg((node.args, node.kwargs), values.__getitem__)
        args, kwargs = given
        if target is operator.getitem:
            return args[0][args[1]] if isinstance(args[0], list | tuple) else args[0]
        inner = [part for part in args if isinstance(part, fx.GraphModule)]
        if inner:  # a region under another mode, such as autocast
            return self._region(inner[0], args)
        if not isinstance(target, torch._ops.OpOverload):
            return None  # arithmetic on sizes
        call = call_of(node, target, args, kwargs)
        kind = kind_of(call)
        if kind == "constant" or any(call.name.startswith(word) for word in SHAPELESS):
            return _results(call, kind)
        if call.shapes and all(0 in shape for shape in call.shapes):
            return _results(call, kind)  # no elements
        if kind == "index" and call.name not in INDEX_GOES_ON and not _looks_up(call):
            if call.name not in FREE_OF_INDEX:
                self.index_work[call.name] += 1
            return _results(call, "index")
        found = self._priced(call, values)
        self._in_place(node, target, found, values)
        return found

    def _priced(self, call: OperatorCall, values: dict[fx.Node, Any]) -> Any:
        """What an operator makes of activations."""
        formula = formula_of(call, values) if call.name in BY_ELEMENT else None
        composed = [one for one in values_in(call.given) if one.formula]
        name = named(formula) if formula and composed else ""
        if formula and name:
            return self.elementwise(call, name, name, formula.of)
        found = self._by_rule(call)
        if found is None:
            found = self.note_unknown(call)
        if formula and isinstance(found, Value):
            return replace(found, formula=formula)
        return found

    def _by_rule(self, call: OperatorCall) -> Any:
        """What the operator's rule makes of it; None if there is none, or it is called in a way
        that the rule does not know: such an operator is named, and the rest priced."""
        rule = RULES.get(call.name)
        try:
            return rule(self, call) if rule else None
        except InputError:
            raise
        except (AttributeError, LookupError, TypeError, ValueError):
            return None

    def _region(self, inner: fx.GraphModule, args: Sequence[Any]) -> Any:
        holders = [node for node in inner.graph.nodes if node.op == "placeholder"]
        given = args[list(args).index(inner) + 1 :]
        return self.read(inner, dict(zip(holders, given, strict=True)))

    def _in_place(self, node: fx.Node, target: Any, found: Any, values: dict[fx.Node, Any]) -> None:
        """Who reads a tensor again that was written to reads what was written."""
        name = target._schema.name
        if not name.endswith("_") or name.endswith("__") or not isinstance(found, Value):
            return
        place = node.args[0] if node.args else None
        while isinstance(place, fx.Node) and isinstance(values.get(place), Value):
            before = values[place]
            if before.shape == found.shape:
                values[place] = found
            else:  # part of it
                makers = tuple(dict.fromkeys((*before.makers, *found.makers)))
                values[place] = Value(before.shape, "data", makers)
            views = place.op == "call_function" and place.target in VIEWS_OF_FIRST
            place = place.args[0] if views and place.args else None


aten = torch.ops.aten
VIEWS_OF_FIRST = (
    aten.slice.Tensor,
    aten.select.int,
    aten.view.default,
    aten.transpose.int,
    aten.permute.default,
    aten.unsqueeze.default,
)
"""Operators through which writing to the result writes to the first operand."""
INDEX_GOES_ON: set[str] = {*MADE_OF_INDEX}
"""Operators whose rule is asked on whole numbers, too: layers of the array enter themselves."""
FREE_OF_INDEX: set[str] = set()
"""Operators that only look at a tensor otherwise; views enter themselves."""


def _looks_up(call: OperatorCall) -> bool:
    """Whether whole numbers name elements of weights, which are activations then."""
    read = next(values_in(call.given), None)
    return call.name in LOOK_UPS and read is not None and bool(read.weight)


def _results(call: OperatorCall, kind: Kind) -> Any:
    makers = dict.fromkeys(maker for value in values_in(call.given) for maker in value.makers)
    found = [Value(shape, kind, tuple(makers)) for shape in call.shapes]
    if isinstance(call.node.meta.get("val"), list | tuple):
        return found
    return found[0] if found else None


__all__ = ["FREE_OF_INDEX", "INDEX_GOES_ON", "RULES", "OperatorCall", "Reader", "prices"]
