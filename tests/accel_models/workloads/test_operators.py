"""Networks of many operators: what reads what, and what a table of layers says of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from random_layers import geometries

from accel_models import InputError, Layer, Precision, Workload, load_accelerator, simulate
from accel_models.mapping.problem import ACTIONS
from accel_models.workloads.layer_csv import listed_network, read_layers
from accel_models.workloads.workload import Operands
from accel_models.workloads.write_csv import write_layers

MACHINE = load_accelerator("bitfusion")


def attention(positions: int = 6, heads: int = 2, width: int = 4) -> Workload:
    """One head of attention after another, what is added to it, and a pool."""
    channels = heads * width
    maps: dict[str, Any] = {"in_size": (positions, 1)}
    keys = heads * positions
    layers = (
        *(Layer(name, channels, channels, **maps) for name in "xqkv"),
        Layer("scores", channels, keys, groups=heads, operator="matmul", **maps),
        Layer("softmax", keys, keys, groups=heads, operator="softmax", **maps),
        Layer("context", keys, channels, groups=heads, operator="matmul", **maps),
        Layer("out", channels, channels, **maps),
        Layer("pool", channels, channels, (positions, 1), operator="avg_pool", **maps),
    )
    edges = (
        *(("x", name) for name in "qkv"),
        *(("q", "scores", "input"), ("k", "scores", "other"), ("scores", "softmax")),
        *(("softmax", "context", "input"), ("v", "context", "other")),
        *(("context", "out", "input"), ("x", "out", "added"), ("out", "pool")),
    )
    return Workload("attention", layers, edges)


def test_parts_are_what_edges_say() -> None:
    operands = attention().operands
    assert operands["scores"] == Operands(("q",), ("k",), ())
    assert operands["context"] == Operands(("softmax",), ("v",), ())
    assert operands["out"] == Operands(("context",), (), ("x",))
    assert operands["x"] == Operands()


@pytest.mark.parametrize(
    ("operator", "part"), [("conv", "added"), ("matmul", "others"), ("sum", "others")]
)
def test_without_a_word_the_last_maker_makes_the_input(operator: str, part: str) -> None:
    layers = (Layer("a", 4, 4), Layer("b", 4, 4), Layer("c", 4, 4, operator=operator))
    found = Workload("three", layers, (("b", "c"), ("a", "c"))).operands["c"]
    assert found == Operands(inputs=("b",))._replace(**{part: ("a",)})


def test_edges_of_an_unknown_part_and_residuals_of_the_vector_unit_are_refused() -> None:
    layers = (Layer("a", 4, 4), Layer("b", 4, 4, operator="gelu"))
    with pytest.raises(InputError, match="one part of input, other, added, not second"):
        Workload("two", layers, (("a", "b", "second"),))
    with pytest.raises(InputError, match=r"'b' adds nothing to its output.* let a sum follow it"):
        Workload("two", layers, (("a", "b", "added"),))


def test_layers_of_the_vector_unit_read_all_that_leads_to_them_side_by_side() -> None:
    layers = (Layer("a", 4, 4), Layer("b", 4, 4), Layer("c", 8, 8, operator="copy"))
    found = Workload("three", layers, (("b", "c"), ("a", "c"))).operands["c"]
    assert found == Operands(inputs=("a", "b"))


@pytest.mark.parametrize(
    ("operator", "parts", "said"),
    [
        ("gelu", ("other", "input"), "reads 'a' besides, which gelu has no use for"),
        ("conv", ("other", "input"), "reads 'a' besides, which conv has no use for"),
        ("matmul", ("other", "other"), "multiplies by one tensor, not by a and b"),
        ("sum", ("other", "other"), "takes in 2 tensors: others says how many elements"),
        ("sum", ("input", "input"), "reads 8 elements side by side where its map has 4"),
    ],
)
def test_operands_that_an_operator_has_no_use_for_are_refused(
    operator: str, parts: tuple[str, str], said: str
) -> None:
    layers = (Layer("a", 4, 4), Layer("b", 4, 4), Layer("c", 4, 4, operator=operator))
    edges = tuple((name, "c", part) for name, part in zip("ab", parts, strict=True))
    with pytest.raises(InputError, match=said):
        Workload("three", layers, edges)


@pytest.mark.parametrize("edge", ["ab", ("a",), None, ("a", "b", ["input"]), ("a", "b", "c", "d")])
def test_edges_that_are_none_are_refused(edge: Any) -> None:
    with pytest.raises(InputError, match="an edge names two layers"):
        Workload("two", (Layer("a", 4, 4), Layer("b", 4, 4)), (edge,))


def test_a_second_residual_is_fetched_and_added_too() -> None:
    layers = tuple(Layer(name, 32, 32, in_size=(8, 8)) for name in "abcd")
    both = (("a", "d", "added"), ("b", "d", "added"), ("c", "d", "input"))
    runs = [simulate(Workload("n", layers, both[n:]), MACHINE, "8").layers[3] for n in range(3)]
    read = [int(run.counts[ACTIONS.index("dram_read_bits")]) for run in runs]
    operations = [int(run.counts[ACTIONS.index("vector_operations")]) for run in runs]
    assert read[0] - read[1] == read[1] - read[2] == 32 * 64 * 8
    assert operations[0] - operations[1] == operations[1] - operations[2] == 32 * 64


def test_what_a_product_multiplies_by_waits_at_the_width_that_it_asks_for() -> None:
    tokens: dict[str, Any] = {"in_size": (16, 1)}
    inside: dict[str, Any] = {"role": "body", "unit": "u", **tokens}
    for asked, own in (("8", 4), ("4", 8)):
        layers = (
            *(Layer(name, 32, 32, **inside) for name in "qk"),
            Layer("qk", 32, 16, operator="matmul", widths=Precision(own, own), **inside),
        )
        edges = (("q", "qk", "input"), ("k", "qk", "other"))
        q, k, qk = simulate(Workload("n", layers, edges), MACHINE, {"u": asked}).layers
        written = [int(one.counts[ACTIONS.index("dram_write_bits")]) for one in (q, k)]
        assert written == [16 * 32 * own] * 2
        assert qk.counts[ACTIONS.index("dram_read_bits")] == sum(written)


def test_both_operands_of_a_product_are_as_wide_as_they_are_multiplied_where_all_are() -> None:
    published = load_accelerator("bitfusion-published")
    product = Layer("p", 64, 64, in_size=(64, 1), operator="matmul")
    alike = Layer("c", 64, 64, in_size=(64, 1))
    costs = [simulate(Workload("n", (one,)), published, "8") for one in (product, alike)]
    assert costs[0].cycles == costs[1].cycles
    assert costs[0].counts.tolist() == costs[1].counts.tolist()


def test_names_that_a_table_cannot_hold_are_refused(tmp_path: Path) -> None:
    for name in ("conv 1", "+conv", "*conv", "-", " conv"):
        with pytest.raises(InputError, match="a table cannot name a layer"):
            write_layers(Workload.chain("one", [Layer(name, 4, 4)]), tmp_path / "net.csv")


def test_workloads_are_written_down_with_their_parts() -> None:
    workload = attention()
    again = Workload.from_dict(workload.to_dict() | {"edges": [list(e) for e in workload.edges]})
    assert again == workload
    assert again.key == workload.key


def test_fields_that_say_nothing_leave_keys_alone() -> None:
    """A network without the operators that came later is written, and named, as it was before."""
    written = Workload.chain("two", [Layer("a", 3, 8, (3, 3), (4, 4)), Layer("b", 8, 2)]).to_dict()
    assert "operator" not in written["layers"][0]
    assert Workload.from_dict(written).to_dict() == written


@st.composite
def chains(draw: st.DrawFn) -> Workload:
    """Layers of many operators, each reading some of those before it, whatever their sizes."""
    layers: list[Layer] = []
    edges: list[tuple[str, ...]] = []
    for number in range(draw(st.integers(1, 6))):
        operator = draw(st.sampled_from(("conv", "max_pool", "sum", "matmul", "layer_norm")))
        shape = draw(geometries()) if operator in ("conv", "max_pool") else {"in_size": (3, 2)}
        groups = draw(st.sampled_from((1, 2)))
        name = f"layer{number}"
        layers.append(
            Layer(
                name,
                4,
                4,
                groups=groups,
                operator=operator,
                others=draw(st.integers(0, 9)) if operator == "sum" else 0,
                activation=draw(st.sampled_from(("", "gelu"))) if operator == "conv" else "",
                reads_image=number == 0 and operator != "matmul" and draw(st.booleans()),
                **shape,
            )
        )
        parts = ["input"] + ["added"] * layers[-1].on_array
        for maker in draw(st.sets(st.integers(0, max(0, number - 1)), max_size=3)):
            if number:
                once = operator == "sum" and any(edge[1] == name for edge in edges)
                if not once:
                    edges.append((f"layer{maker}", name, draw(st.sampled_from(parts))))
        if number and all(edge[1] != name for edge in edges) and draw(st.booleans()):
            edges.append((f"layer{number - 1}", name, "input"))
    return Workload("net", tuple(layers), tuple(edges))


@given(chains())
def test_a_table_written_is_the_workload_read(workload: Workload) -> None:
    from tempfile import TemporaryDirectory

    with TemporaryDirectory() as folder:
        path = Path(folder) / "net.csv"
        write_layers(workload, path)
        again = read_layers(path)
    assert again.layers == workload.layers
    assert again.operands == workload.operands
    assert not [said for said in again.assumed if "taken to read the image" in said]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("b,4,4,3,gelus,a", "line 3: layer 'b': operator is one of"),
        ("b,4,4,3,gelu,c", "line 3: reads names no row above: 'c'"),
        ("b,4,4,3,gelu,+a", "'b' adds nothing to its output"),
    ],
)
def test_what_a_row_reads_is_checked(tmp_path: Path, row: str, said: str) -> None:
    path = tmp_path / "net.csv"
    path.write_text(f"name,in_channels,out_channels,in_size,operator,reads\na,9,4,3,,\n{row}\n")
    with pytest.raises(InputError, match=said):
        read_layers(path)


MACS_AND_WEIGHTS = {
    "mobilenet_v1": (568_740_352, 4_209_088),
    "mobilenet_v2": (300_774_272, 3_469_760),
    "resnet50": (4_089_184_256, 25_502_912),
    "vgg16": (15_470_264_320, 138_344_128),
    "vit_b_16": (17_563_828_224, 86_292_480),
    "vit_tiny": (1_253_683_200, 5_647_872),
}
"""Counted by hand from the papers' tables of layers; of MobileNetV1, the 1,000 classes of the paper
(Howard et al., 2017: 569 million, 4.2 million)."""


LEAST_MS = {
    "mobilenet_v1": 2.777,
    "mobilenet_v2": 1.469,
    "resnet50": 19.97,
    "vgg16": 75.54,
    "vit_b_16": 85.76,
}
"""All MACs at 512 in a cycle of 2.5 ns: more than all weights at 12.8 GB/s take, of any of them."""


@pytest.mark.parametrize("name", LEAST_MS)
def test_no_network_takes_less_than_its_multiplications_at_the_peak(name: str) -> None:
    run = simulate(listed_network(name), MACHINE, "8")
    assert run.latency_s * 1e3 >= LEAST_MS[name]
    computing = sum(cost.compute_cycles for cost in run.layers)
    busy = sum(cost.occupancy * cost.compute_cycles for cost in run.layers)
    assert busy * 2.5e-6 == pytest.approx(LEAST_MS[name], rel=1e-3)
    assert computing >= busy


def test_layer_lists_have_the_macs_and_weights_of_their_papers() -> None:
    found = {
        name: (network.macs, sum(layer.weights for layer in network.layers))
        for name in MACS_AND_WEIGHTS
        for network in [listed_network(name)]
    }
    extra = found["mobilenet_v1"]  # its released weights have a class more, for the background
    found["mobilenet_v1"] = (extra[0] - 1024, extra[1] - 1024)
    assert found == MACS_AND_WEIGHTS
    assert all(not listed_network(name).assumed for name in found)
