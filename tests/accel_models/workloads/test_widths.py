"""Widths of layers by name: which pattern settles which layer, and all that is refused."""

from __future__ import annotations

from dataclasses import replace
from fnmatch import fnmatchcase

import pytest
from hypothesis import given
from hypothesis import strategies as st
from networks import every_operator, gated_pair

from accel_models import InputError, Layer, Precision, Workload, simulate
from accel_models.accelerators.toml_file import load_accelerator
from accel_models.workloads.cifar_resnet import cifar_resnet
from accel_models.workloads.widths import widths_of

RESNET = cifar_resnet(20)
NAMES = [layer.name for layer in RESNET.layers]
PATTERNS = st.sampled_from(
    [*NAMES, *RESNET.units, "*", "block*", "*.conv1", "block[1-5].*", "block?.conv2", "*short*"]
)
BITS = st.sampled_from(["8", 4, 2, "4/8", "2/4", Precision(3, 5)])


def matches(layer: Layer, key: str) -> bool:
    return key == layer.unit or key == layer.name or fnmatchcase(layer.name, key)


def widths(workload: Workload) -> list[str]:
    return [str(layer.widths) for layer in workload.layers]


@given(policy=st.lists(st.tuples(PATTERNS, BITS), max_size=8).map(dict))
def test_patterns_say_what_names_of_layers_would(policy: dict[str, str | int | Precision]) -> None:
    """The last match wins, whatever stands before it."""
    one_by_one = {
        layer.name: [bits for key, bits in policy.items() if matches(layer, key)][-1]
        for layer in RESNET.layers
        if any(matches(layer, key) for key in policy)
    }
    settled = RESNET.with_widths(policy)
    assert settled == RESNET.with_widths(one_by_one)
    assert widths_of(settled.layers) == {name: Precision.parse(b) for name, b in one_by_one.items()}
    assert RESNET.with_widths(widths_of(settled.layers)) == settled


def test_only_widths_change() -> None:
    given_some = replace(RESNET, assumed=("something",))
    settled = given_some.with_widths({"classifier": "4/8"})
    assert settled.layers[:-1] == RESNET.layers[:-1]
    assert settled.layers[-1] == replace(RESNET.layers[-1], widths=Precision(4, 8))
    assert (settled.name, settled.edges) == (RESNET.name, RESNET.edges)
    assert settled.assumed == ("something",)
    assert settled.key != RESNET.key
    again = settled.with_widths({"classifier": 2})
    assert again.layers[-1].widths == Precision(2, 2)
    assert RESNET.with_widths({}) == RESNET


def test_both_operands_of_a_product_are_activations() -> None:
    workload = every_operator().with_widths({"*": "2/8"})
    for layer in workload.layers:
        product = layer.operator == "matmul"
        assert layer.widths == (Precision(8, 8) if product else Precision(2, 8))
    assert any(layer.operator == "matmul" for layer in workload.layers)


def test_a_name_is_no_pattern() -> None:
    """Names with brackets, as functions of a network's forward may have, name one layer alone."""
    workload = Workload.chain("brackets", [Layer("a[0]", 4, 4), Layer("a0", 4, 4)])
    assert widths(workload.with_widths({"a[0]": 2})) == ["2", "None"]
    assert widths(workload.with_widths({"a[0-9]": 2})) == ["None", "2"]


def test_gates_have_no_widths_of_their_own() -> None:
    settled = gated_pair().with_widths({"*": 4, "a": 2})
    assert {layer.name: str(layer.widths) for layer in settled.layers} == {
        "stem": "4",
        "a.gate": "None",
        "a.conv": "2",
        "b.gate": "None",
        "b.conv": "4",
        "b.shortcut": "4",
        "head": "4",
    }


@pytest.mark.parametrize(
    ("policy", "said"),
    [
        ({"block5.conv3": 8}, "'block5.conv3' matches no layer of 'resnet20': the nearest is 'blo"),
        ({"*": 8, "clasifier": 4}, "the nearest is 'classifier'"),
        ({"blok7.*": 4}, "the nearest is 'block7'"),
        ({"*.CONV1": 4}, "'*.CONV1' matches no layer"),
        ({"": 4}, "'' matches no layer"),
        ({3: 4}, "'3' matches no layer"),
        ({"*": "4/8/2"}, "'4/8/2' is not a precision"),
        ({"*": 8.0}, "'8.0' is not a precision"),
        ({"*": True}, "'True' is not a precision"),
        ({"*": 33}, "1 to 32 bits"),
        ({"*": 8, "block9": "skip"}, "'block9' = skip is no width that layer 'block9.conv1'"),
    ],
)
def test_what_settles_nothing_is_refused(policy: dict[str, str | int], said: str) -> None:
    with pytest.raises(InputError) as refused:
        RESNET.with_widths(policy)
    assert said in str(refused.value)


def test_a_pattern_of_gates_alone_is_refused() -> None:
    for pattern in ("*.gate", "a.gate"):
        with pytest.raises(InputError, match="matches nothing but gates of 'pair'"):
            gated_pair().with_widths({"*": 8, pattern: 4})


@pytest.mark.parametrize(
    ("workload", "policy", "said"),
    [
        (RESNET, {}, "no precision is given to stem, block1.conv1, block1.conv2, block2.conv1, "),
        (RESNET, {"block*": 8}, "no precision is given to stem, classifier of 'resnet20'"),
        (RESNET, {"block2": 8}, "given to block3.conv1, block3.conv2, block4.shortcut.0, "),
        (RESNET, {"*": 8, "stem": "skip"}, "'stem' = skip: layer 'stem' of 'resnet20' is in no"),
        (RESNET, {"*": "skip"}, "'*' = skip: layer 'stem'"),
        (
            RESNET,
            {"*": 8, "block9.conv2": "skip"},
            "unit 'block9' of 'resnet20' runs as a whole or not at all, not block9.conv1 = "
            "8, block9.conv2 = skip",
        ),
        (
            gated_pair(),
            {"*": 8, "b.conv": 4},
            "a gate decides unit 'b' of 'pair', all of its layers at once: they cannot run at "
            "b.conv = 4, b.shortcut = 8, unless in the network `without_gates`",
        ),
        (gated_pair(), {"a": 8}, "no precision is given to b.conv, b.shortcut of 'pair'"),
        (gated_pair(), {"a": 8, "c": 8}, "'c' matches no layer of 'pair': the nearest is"),
    ],
)
def test_what_no_network_could_run_at_is_refused(
    workload: Workload, policy: dict[str, str | int], said: str
) -> None:
    with pytest.raises(InputError) as refused:
        simulate(workload, load_accelerator("loom-2b"), policy)
    assert said in str(refused.value)
