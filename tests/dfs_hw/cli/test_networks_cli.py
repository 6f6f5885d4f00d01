"""Networks on the command line: the list, models of one's own, and tables of their layers."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from accel_models import InputError
from accel_models.workloads.layer_csv import listed_networks, read_layers
from dfs_hw.cli.loading import load_workload

NETS = """
import torch
from accel_models import Layer, Workload


def small():
    net = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.ReLU(), torch.nn.Conv2d(8, 4, 1))
    return net, torch.empty(1, 3, 8, 8)


def listed():
    return Workload("mine", (Layer("only", 4, 4),))


def alone():
    return torch.nn.Linear(2, 2)


def broken():
    return 1 / 0


def leaving():
    raise SystemExit(0)


class Leaving(torch.nn.Linear):
    def forward(self, x):
        raise SystemExit(0)


def leaves_as_it_runs():
    return Leaving(2, 2), torch.empty(1, 2)
"""


@pytest.fixture
def nets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module of its own name in the current directory."""
    name = f"nets_{tmp_path.name}".replace("-", "_")
    (tmp_path / f"{name}.py").write_text(NETS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    return name


def test_networks_are_listed(printed: Callable[..., str]) -> None:
    listed = json.loads(printed("networks", "--json"))
    assert {*listed_networks(), "resnet20"} <= {one["name"] for one in listed}
    assert all(name in printed("networks") for name in listed_networks())


def test_a_model_of_ones_own_is_priced_and_written(nets: str, printed: Callable[..., str]) -> None:
    workload = load_workload(f"{nets}:small")
    assert workload.name == "small"
    assert [layer.name for layer in workload.layers] == ["0", "2"]
    facts = json.loads(printed("simulate", f"{nets}:small", "--json"))
    assert [layer["name"] for layer in facts["8"]["layers"]] == ["0", "2"]
    text = printed("networks", f"{nets}:small", "--csv", "small.csv")
    assert "conv relu" in text
    assert "dfs-hw simulate small.csv" in text
    assert read_layers("small.csv").layers == workload.layers
    (one, _) = json.loads(printed("networks", "small.csv", "--json"))["layers"]
    assert one["macs"] == workload.layers[0].macs


def test_a_function_may_give_layers_themselves(nets: str) -> None:
    assert load_workload(f"{nets}:listed").macs == 16


@pytest.mark.parametrize(
    ("function", "said"),
    [
        ("none", "has no attribute 'none'"),
        ("alone", "gives Linear, and should give a model and an example"),
        ("broken", "failed with ZeroDivisionError: .* called without arguments"),
        ("leaving", "failed with SystemExit: 0"),
    ],
)
def test_functions_that_give_no_model_are_refused(nets: str, function: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        load_workload(f"{nets}:{function}")


@pytest.mark.parametrize(
    ("content", "said"),
    [("def", "SyntaxError"), ("1 / 0", "ZeroDivisionError"), ("exit(0)", "SystemExit: 0")],
)
def test_modules_that_do_not_import_are_refused(nets: str, content: str, said: str) -> None:
    Path(f"{nets}.py").write_text(content)
    with pytest.raises(InputError, match=f"{nets}:f: {nets} does not import: {said}"):
        load_workload(f"{nets}:f")


def test_a_model_that_exits_is_not_done(nets: str, refused: Callable[..., str]) -> None:
    assert "has called exit (status 0)" in refused("simulate", f"{nets}:leaves_as_it_runs")


def test_what_cannot_apply_is_refused(nets: str) -> None:
    with pytest.raises(InputError, match=r"No module named 'nowhere'.*MODULE:FUNCTION is a file"):
        load_workload("nowhere:small")
    with pytest.raises(InputError, match="--image cannot apply"):
        load_workload(f"{nets}:small", 64)


def test_an_onnx_file_is_priced_with_its_sizes_given(
    tmp_path: Path,
    printed: Callable[..., str],
    refused: Callable[..., str],
) -> None:
    pytest.importorskip("onnx")
    from onnx_files import floats, node, write_onnx

    nodes, inputs = [node("MatMul", "x w", "y")], {"x": ("batch", "seq", 8)}
    path = str(write_onnx(tmp_path / "net.onnx", nodes, inputs, ["y"], {"w": floats(8, 4)}))
    sizes = ("--size", "batch=1", "--size", "seq=5")
    facts = json.loads(printed("simulate", path, *sizes, "--json"))
    assert [layer["name"] for layer in facts["8"]["layers"]] == ["y_"]
    table = str(tmp_path / "net.csv")
    printed("networks", path, *sizes, "--csv", table)
    assert read_layers(table).macs == 5 * 8 * 4
    for given, why in (
        ((path,), "leaves batch, seq open: give --size batch=N --size seq=N"),
        ((path, "--size", "seq"), "--size seq: write NAME=N"),
        ((path, *sizes, "--image", "32"), "--image cannot apply"),
        (("resnet20", *sizes), "resnet20 is no .onnx file"),
    ):
        assert why in refused("simulate", *given)
