"""Widths that other tools wrote: quantised checkpoints and HAQ's policies, and what is refused."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accel_models import InputError, Precision, load_accelerator, simulate
from accel_models.precision import FULL
from accel_models.workloads.layer import Layer
from accel_models.workloads.layer_csv import listed_network
from accel_models.workloads.widths_file import read_widths
from accel_models.workloads.workload import Workload

HAQ = [
    *([8, -1], [7, 7], [5, 6], [4, 6], [5, 6], [5, 7], [5, 6], [7, 4], [4, 6], [4, 6], [7, 7]),
    *([5, 6], [4, 6], [7, 3], [5, 7], [4, 7], [7, 3], [5, 7], [4, 7], [7, 7], [4, 7], [4, 7]),
    *([6, 4], [6, 7], [4, 7], [7, 4], [6, 7], [5, 7], [7, 4], [6, 7], [5, 7], [7, 4], [6, 7]),
    *([6, 7], [6, 4], [5, 7], [6, 7], [6, 4], [5, 7], [6, 7], [7, 7], [4, 7], [7, 7], [7, 7]),
    *([4, 7], [7, 7], [7, 7], [4, 7], [7, 7], [7, 7], [4, 7], [7, 7], [8, 8]),
]
"""HAQ's linear quantisation of MobileNetV2 at 60 % of the latency: README of mit-han-lab/haq,
"Finetune Policy"."""

NAMES = tuple(
    f"model.layers.{block}.{layer}"
    for block in range(11)
    for layer in ("self_attn.q_proj", "self_attn.k_proj", "mlp.up_proj", "mlp.down_proj")
)


def language_model() -> Workload:
    """Eleven blocks of four linear layers, a norm, a product of activations, and a head."""
    norm = Layer("model.norm", 8, 8, out_size=(4, 1), operator="layer_norm", row=8)
    product = Layer("model.scores", 8, 4, out_size=(4, 1), operator="matmul")
    linear = [Layer(name, 8, 8, out_size=(4, 1)) for name in (*NAMES, "lm_head")]
    return Workload("llm", (*linear[:-1], product, norm, linear[-1]))


def widths(tmp_path: Path, contents: Any, network: Workload | None = None) -> dict[str, str]:
    """Widths of all layers of a network by a file of JSON."""
    path = tmp_path / "config.json"
    path.write_text(json.dumps(contents))
    network = network or language_model()
    settled = network.with_widths(read_widths(path))
    return {layer.name: str(layer.widths) for layer in settled.layers}


def test_haq_policy_of_mobilenet(tmp_path: Path) -> None:
    """The published list has one entry for each layer with weights, depthwise ones included."""
    found = widths(tmp_path, HAQ, network := listed_network("mobilenet_v2"))
    listed = [name for name, width in found.items() if width != "None"]
    assert listed == [layer.name for layer in network.layers if layer.weights]
    assert found["features.0.0"] == "8"
    assert found["features.1.conv.1"] == "5/6"
    assert found["features.2.conv.1.0"] == "5/6"
    assert found["classifier.1"] == "8"
    assert found["avgpool"] == "None"


def test_haq_shortcuts_come_last_in_their_block(tmp_path: Path) -> None:
    """As torchvision's ResNet-50 defines them: conv1, conv2, conv3, then downsample."""
    policy = [[8, -1], *([1 + number % 8, 8] for number in range(52)), [8, 8]]
    found = widths(tmp_path, policy, listed_network("resnet50"))
    first = ("conv1", "conv2", "conv3", "downsample.0")
    assert [found[f"layer1.0.{name}"] for name in first] == ["1/8", "2/8", "3/8", "4/8"]
    assert found["layer1.1.conv1"] == "5/8"


def test_gptq_dynamic_rules(tmp_path: Path) -> None:
    """First match counts, from the beginning of a name; ``-:`` leaves a layer as it is.

    Rules as in ModelCloud/TinyLlama-1.1B-Chat-v1.0-GPTQ-4bits-dynamic-cfg, quantize_config.json.
    """
    table = {
        "bits": 4,
        "dynamic": {
            r"-:model\.layers\.([2-9]\d*|[1-9]\d+)\..*": {},
            r".*\.1\..*": {"bits": 8, "group_size": 32, "desc_act": False},
        },
        "group_size": 128,
        "desc_act": True,
        "sym": True,
        "lm_head": False,
        "quant_method": "gptq",
        "checkpoint_format": "gptq",
        "meta": {"quantizer": ["gptqmodel:1.5.1-dev"], "damp_percent": 0.01},
    }
    found = widths(tmp_path, table)
    for name in NAMES:
        block = int(name.split(".")[2])
        assert found[name] == ("4/16" if block == 0 else "8/16" if block == 1 else "full")
    assert found["lm_head"] == found["model.norm"] == found["model.scores"] == "full"
    assert widths(tmp_path, {**table, "lm_head": True})["lm_head"] == "4/16"
    in_config = {"model_type": "llama", "num_hidden_layers": 11, "quantization_config": table}
    assert widths(tmp_path, in_config) == found


def test_gptq_modules_in_block(tmp_path: Path) -> None:
    """As transformers' GPTQConfig documents it: a list of lists of modules in the block."""
    inside = [["self_attn.k_proj", "self_attn.q_proj"], ["mlp.up_proj"]]
    found = widths(
        tmp_path,
        {
            "bits": 3,
            "quant_method": "gptq",
            "block_name_to_quantize": "model.layers",
            "modules_in_block_to_quantize": inside,
        },
    )
    assert {found[name] for name in NAMES if "down" in name} == {"full"}
    assert {found[name] for name in NAMES if "down" not in name} == {"3/16"}


@pytest.mark.parametrize(
    "table",
    [
        {
            "quant_method": "awq",
            "bits": 4,
            "group_size": 128,
            "zero_point": True,
            "version": "gemm",
        },
        {"w_bit": 4, "q_group_size": 128, "zero_point": True, "version": "GEMM"},
    ],
)
def test_awq(tmp_path: Path, table: dict[str, Any]) -> None:
    """transformers' ``quantization_config`` and AutoAWQ's own quant_config.json, whose parts of
    names are left out (TechxGenus/DeepSeek-Coder-V2-Lite-Base-AWQ, LoneStriker/Synatra-...-AWQ)."""
    found = widths(tmp_path, {**table, "modules_to_not_convert": None})
    assert {found[name] for name in NAMES} == {"4/16"}
    assert found["lm_head"] == "full"
    found = widths(tmp_path, {**table, "modules_to_not_convert": ["self_attn"]})
    assert {found[name] for name in NAMES if "self_attn" in name} == {"full"}
    assert {found[name] for name in NAMES if "mlp" in name} == {"4/16"}


def test_auto_round_extra_config(tmp_path: Path) -> None:
    """Names before regular expressions, and those anywhere in a name; what lies outside blocks has
    only the bits stated for it.

    Fields as in INCModel/Z-Image-tiny-for-testing-W4A16-AutoRound, quantization_config.json, and
    in what auto_round's export writes of a layer.
    """
    table = {
        "bits": 4,
        "act_bits": 8,
        "data_type": "int",
        "act_data_type": "int",
        "group_size": 128,
        "sym": True,
        "iters": 200,
        "autoround_version": "0.13.0",
        "block_name_to_quantize": "model.layers.0,model.layers.1",
        "quant_method": "auto-round",
        "packing_format": "auto_round:auto_gptq",
        "extra_config": {
            ".*up_proj.*": {"bits": 2},
            "model.layers.0.mlp.up_proj": {"bits": 16, "act_bits": 16, "data_type": "fp"},
            "model.layers.1.self_attn.q_proj": {"act_bits": 4},
            "lm_head": {"bits": 8, "act_bits": None, "data_type": "int", "group_size": 32},
        },
    }
    found = widths(tmp_path, table)
    assert found["model.layers.0.self_attn.q_proj"] == "4/8"
    assert found["model.layers.1.self_attn.q_proj"] == "4"
    assert found["model.layers.0.mlp.up_proj"] == "full"
    assert found["model.layers.1.mlp.up_proj"] == "2/8"
    assert found["model.layers.10.mlp.down_proj"] == "full"
    assert found["lm_head"] == "8/16"
    listed = {**table, "block_name_to_quantize": None}
    listed["to_quant_block_names"] = [["model.layers.0", "model.layers.1"]]
    assert widths(tmp_path, listed) == found


@given(st.data())
def test_a_mapping_of_the_same_widths_costs_the_same(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Rules are no more than the widths that they come to, in the price, too."""
    bits = data.draw(st.dictionaries(st.sampled_from(NAMES), st.sampled_from([2, 4, 8, 16])))
    path = tmp_path_factory.mktemp("tools") / "config.json"
    extra = {name: {"bits": wide} for name, wide in bits.items()}
    path.write_text(
        json.dumps({"quant_method": "auto-round", "bits": 4, "act_bits": 8, "extra_config": extra})
    )
    network = language_model()
    named = {"*": FULL, **{name: Precision(bits.get(name, 4), 8) for name in NAMES}}
    assert network.with_widths(read_widths(path)).layers == network.with_widths(named).layers


def test_rules_are_asked_for_as_mappings_are(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"quant_method": "awq", "bits": 4}))
    network, machine = language_model(), load_accelerator("bitfusion")
    rules = simulate(network, machine, read_widths(path))
    named = simulate(network, machine, {"*": "full", "model.layers.*": "4/16"})
    assert rules.energy_j == named.energy_j < simulate(network, machine, 16).energy_j
    path.write_text(json.dumps(HAQ))
    small = listed_network("mobilenet_v2")
    with pytest.raises(InputError, match="no precision is given to avgpool"):
        simulate(small, machine, read_widths(path))


GPTQ = {"quant_method": "gptq", "bits": 4}


@pytest.mark.parametrize(
    ("contents", "said"),
    [
        ({"model_type": "llama"}, "the configuration of a model without quantization_config"),
        ({"quantization_config": {}}, "quantization_config: bits is missing"),
        ({"quantization_config": {"bits": "4"}}, "bits must be a valid integer, got '4'"),
        ({**GPTQ, "bits": 0}, "bits must be 1 to 32, got 0"),
        ({**GPTQ, "quant_method": "fp8"}, "quant_method must be one of gptq, awq, auto-round"),
        ({**GPTQ, "kv_bits": 8}, "kv_bits is not a known field, got 8"),
        ({**GPTQ, "modules_to_keep": ["a"]}, "modules_to_keep is not a known field"),
        ({**GPTQ, "data_type": "mx_fp"}, "data_type must begin with int at 4 bits"),
        ({**GPTQ, "act_bits": 8, "act_data_type": "fp8"}, "act_data_type must begin with int"),
        ({**GPTQ, "dynamic": {"-:(": {}}}, "dynamic: '(' is no regular expression"),
        ({**GPTQ, "dynamic": {"x" * 2000: {}}}, "a pattern has at most 1000 characters"),
        ({**GPTQ, "dynamic": {"no": {}}}, "dynamic: 'no' matches no layer of 'llm': the nearest"),
        ({**GPTQ, "dynamic": {".*": {"bits": 99}}}, "dynamic..*.bits must be 1 to 32, got 99"),
        ({**GPTQ, "dynamic": {".*": {"top_bits": 2}}}, "dynamic..*: top_bits is not a known"),
        ({**GPTQ, "extra_config": {"no": {}}}, "extra_config: 'no' matches no layer"),
        ({**GPTQ, "extra_config": {"lm_head": 8}}, "extra_config.lm_head must be a table, got 8"),
        ({**GPTQ, "modules_to_not_convert": ["absent"]}, "modules_to_not_convert: 'absent'"),
        ({**GPTQ, "block_name_to_quantize": "model.lay"}, "block_name_to_quantize: 'model.lay'"),
        ({**GPTQ, "block_name_to_quantize": 3}, "block_name_to_quantize must be names of modules"),
        ({**GPTQ, "modules_to_not_convert": ["model."]}, "quantises no layer of 'llm'"),
        ([[8, 8]], "lists widths of 1 layers: 'llm' has 45 with weights"),
        ([[8, -1], [8, -1]], "entry 2 must be at least 1 bit each, got [8, -1]"),
        ([6, 5], "entry 1 must be [weight bits, activation bits], got 6"),
        ([[8, 8.5]], "entry 1 must be [weight bits, activation bits], got [8, 8.5]"),
        ([[64, 8]], "entry 1: a precision is 1 to 32 bits"),
    ],
)
def test_what_is_not_understood_is_refused(tmp_path: Path, contents: Any, said: str) -> None:
    with pytest.raises(InputError) as refused:
        widths(tmp_path, contents)
    assert said in str(refused.value)
    assert "config.json" in str(refused.value)


def test_a_shortcut_whose_place_is_not_known_is_refused(tmp_path: Path) -> None:
    layers = (
        Layer("a.conv", 8, 8, out_size=(4, 4), unit="a", role="body"),
        Layer("a.shortcut", 8, 8, out_size=(4, 4), unit="a", role="shortcut"),
    )
    with pytest.raises(InputError, match=r"that of shortcut 'a\.shortcut' of 'net' depends on how"):
        widths(tmp_path, [[8, 8], [4, 4]], Workload("net", layers))


FIELDS = (
    *("bits", "act_bits", "data_type", "act_data_type", "dynamic", "extra_config", "quant_method"),
    *("modules_to_not_convert", "modules_in_block_to_quantize", "block_name_to_quantize"),
    *("to_quant_block_names", "lm_head", "w_bit", "group_size"),
)
WORDS = st.sampled_from(["", "a", "-:", "+:(", "model", "[[a", "(?i)x", "a{9,2}", "int", "lm_head"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 40) | st.floats(allow_nan=False) | WORDS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(WORDS | st.sampled_from(FIELDS), inner, max_size=3)
    ),
    max_leaves=6,
)


@given(st.dictionaries(st.sampled_from(FIELDS), VALUES, max_size=4) | VALUES)
def test_nothing_but_documented_errors_comes_out(
    tmp_path_factory: pytest.TempPathFactory, contents: Any
) -> None:
    path = tmp_path_factory.mktemp("tools") / "config.json"
    if isinstance(contents, dict):
        contents = {"bits": 4, "quant_method": "gptq", **contents}
    path.write_text(json.dumps(contents))
    try:
        policy = read_widths(path)
    except InputError as refused:
        assert "config.json" in str(refused)
        return
    with contextlib.suppress(InputError):
        language_model().with_widths(policy)
