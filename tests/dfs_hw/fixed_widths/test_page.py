"""The page on widths by layer, and the command that it shows."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from places import ROOT

from accel_models.workloads.layer_csv import read_layers
from accel_models.workloads.write_csv import workload_frame
from dfs_hw.fixed_widths import accuracy_of, train_further

NETS = """
import torch
from torch import nn


def points(seed):
    torch.manual_seed(seed)
    maps = torch.randn(256, 3, 6, 6)
    labels = (maps.mean((2, 3)) @ torch.tensor([1.0, -1.0, 2.0]) > 0).long()
    return list(zip(maps.split(64), labels.split(64), strict=True))


def photos():
    return iter(points(1)), iter(points(2))


def trained():
    torch.manual_seed(0)
    model = nn.Sequential()
    model.append(nn.Conv2d(3, 8, 3))
    model.add_module("layer2", nn.Conv2d(8, 8, 3))
    model.append(nn.Flatten())
    model.add_module("fc", nn.Linear(32, 2))
    return model, torch.empty(1, 3, 6, 6)


def alone():
    return photos()[0]
"""


@pytest.fixture
def nets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module of its own name in the current directory."""
    name = f"nets_{tmp_path.name}".replace("-", "_")
    (tmp_path / f"{name}.py").write_text(NETS)
    (tmp_path / "w.toml").write_text('"*" = 8\nlayer2 = "4/8"\n')
    (tmp_path / "low.csv").write_text("name,precision\n*,2\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    return name


@pytest.mark.slow
def test_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("onnxscript")
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    exec(NETS, names)
    model, _ = names["trained"]()  # type: ignore[operator]
    train, test = (list(one) for one in names["photos"]())  # type: ignore[operator]
    train_further(model, train, epochs=20, learning_rate=1e-2)
    before = accuracy_of(model, test)
    page = (ROOT / "docs" / "fixed_widths.md").read_text()
    shown = {"model": model, "train": train, "test": test}
    for example in re.findall(r"```python\n(.*?)```", page, re.DOTALL):
        exec(example, shown)
    assert (tmp_path / "net.qonnx.onnx").exists()
    assert before > 0.85
    assert accuracy_of(shown["network"], test) > before - 0.05  # type: ignore[arg-type]


def test_accuracy_stands_beside_price(nets: str, printed: Callable[..., str]) -> None:
    words = ("accuracy", f"{nets}:trained", "--data", f"{nets}:photos", "--widths", "w.toml")
    rows = json.loads(printed(*words, "--widths", "low.csv", "--epochs", "1", "--json"))
    assert [row["widths"] for row in rows] == ["as it is", "w.toml", "low.csv"]
    assert rows[1]["layers"]["layer2"] == "4/8"
    assert rows[0]["accuracy_trained_further"] is None
    assert 0 <= rows[2]["accuracy_trained_further"] <= 1
    for figure in ("energy_j", "latency_s", "bitops"):
        assert rows[0][figure] >= rows[1][figure] >= rows[2][figure]
    table = printed(*words)
    assert "as it is" in table
    assert "trained further" not in table


def test_layers_with_widths_go_out_as_tables(nets: str, printed: Callable[..., str]) -> None:
    printed("networks", f"{nets}:trained", "--widths", "w.toml", "--csv", "net.csv")
    read = read_layers("net.csv")
    assert [str(layer.widths) for layer in read.layers] == ["8", "4/8", "8"]
    rows = workload_frame(read).to_pylist()
    assert [row["precision"] for row in rows] == ["8", "4/8", "8"]
    assert sum(row["macs"] for row in rows) == read.macs
    assert (rows[1]["kernel"], rows[1]["reads"]) == ("3x3", "0")


@pytest.mark.slow
def test_the_model_at_its_widths_goes_out(nets: str, printed: Callable[..., str]) -> None:
    pytest.importorskip("onnxscript")
    words = ("accuracy", f"{nets}:trained", "--data", f"{nets}:photos", "--widths", "w.toml")
    assert "dfs-hw simulate net.onnx" in printed(*words, "--onnx", "net.onnx")
    facts = json.loads(printed("simulate", "net.onnx", "--json"))["8"]
    assert {one["name"]: one["precision"] for one in facts["layers"]}["layer2"] == "4/8"


def test_what_cannot_apply_is_refused(nets: str, refused: Callable[..., str]) -> None:
    for model, data, why in (
        ("resnet20", f"{nets}:photos", "'resnet20' is no MODULE:FUNCTION"),
        (f"{nets}:trained", f"{nets}:alone", "and should give batches to learn from and batches"),
        (f"{nets}:photos", f"{nets}:photos", "first, and should give a model and an example"),
        (f"{nets}:trained", "nowhere", "no data set is called 'nowhere'"),
        (f"{nets}:trained", "folder:nowhere", "nowhere"),
    ):
        assert why in refused("accuracy", model, "--data", data, "--widths", "w.toml")


def test_files_of_one_name_in_two_folders_are_two_policies(
    nets: str, printed: Callable[..., str]
) -> None:
    for folder, bits in (("low", 4), ("high", 8)):
        Path(folder).mkdir(exist_ok=True)
        Path(folder, "w.toml").write_text(f'"*" = {bits}\n')
    files = [str(Path(folder, "w.toml")) for folder in ("low", "high")]
    widths = [word for file in files for word in ("--widths", file)]
    words = ("accuracy", f"{nets}:trained", "--data", f"{nets}:photos", *widths, "--json")
    rows = json.loads(printed(*words))
    assert [row["widths"] for row in rows] == ["as it is", *files]
    assert rows[1]["energy_j"] < rows[2]["energy_j"] < rows[0]["energy_j"]
