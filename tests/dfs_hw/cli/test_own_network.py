"""A network of one's own through the whole chain: trained, recorded, replayed, reported."""

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from accel_models.errors import InputError
from accel_models.trace import GateTrace
from dfs_hw.cli.own_model import register_own_model
from dfs_hw.networks import NETWORKS, build_network
from dfs_hw.networks.checkpoint import load_checkpoint

pytestmark = pytest.mark.slow

NETS = """
import torch
from torch import nn


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.norm1 = nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.conv2, self.norm2 = nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4)

    def forward(self, x):
        inner = self.conv2(torch.relu(self.norm1(self.conv1(x))))
        return torch.relu(x + self.norm2(inner))


def small():
    blocks = [Residual() for _ in range(3)]
    stem, head = nn.Conv2d(1, 4, 3, stride=2, padding=1), [nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    model = nn.Sequential(stem, nn.ReLU(), *blocks, *head, nn.Linear(4, 10))
    return model, torch.empty(1, 1, 16, 16), "Residual"


def words():
    return nn.Embedding(9, 4), torch.zeros(1, 7, dtype=torch.long)
"""

SHORT = [
    *("--choices", "skip,4,8", "--budget", "0.9", "--quiet"),
    *(f"--set={stage}_steps=2" for stage in ("backbone", "supernet", "gate", "joint")),
]


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A function that nothing knows yet, and nothing knows afterwards."""
    name = f"own_{tmp_path.name}".replace("-", "_")
    (tmp_path / f"{name}.py").write_text(NETS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    yield f"{name}:small"
    NETWORKS.pop(f"{name}:small", None)
    sys.modules.pop(name, None)


def test_trained_recorded_and_replayed(own: str, printed: Callable[..., str]) -> None:
    said = printed("train", "--network", own, *SHORT, "--out", "out")
    command = f"dfs-hw record out/network.safetensors --out out/trace.parquet --network {own}"
    assert command in " ".join(said.split())
    del NETWORKS[own]
    with pytest.raises(InputError, match=f"--network {own}"):
        load_checkpoint("out/network.safetensors")
    printed("record", "out/network.safetensors", "--out", "trace.parquet", "--network", own)
    trace = GateTrace.read("trace.parquet")
    assert trace.header.workload.units == ("2", "3", "4")
    replayed = json.loads(printed("replay", "trace.parquet", "--json"))
    assert replayed["inputs"] == len(trace)


def test_the_whole_chain_with_its_report(own: str, printed: Callable[..., str]) -> None:
    printed("demo", "--network", own, *SHORT, "--out", "out")
    page = Path("out/report.html").read_text()
    assert own in page
    Path("out/report.html").unlink()
    printed("report", "out")
    assert Path("out/report.html").read_text()


def test_a_registered_function_builds_networks_by_name(own: str) -> None:
    register_own_model(own)
    first, second = (build_network(own, "skip,8", 10, 1, image_size=(16, 16)) for _ in range(2))
    assert first.units == ("2", "3", "4")
    for one, other in zip(first.parameters(), second.parameters(), strict=True):
        assert one.equal(other)


def test_data_of_other_channels_is_refused_by_its_option(
    own: str, refused: Callable[..., str]
) -> None:
    path = Path(f"{own.partition(':')[0]}.py")
    path.write_text(path.read_text().replace("(1, 4, 3,", "(3, 4, 3,").replace("(1, 1,", "(1, 3,"))
    said = refused("train", "--network", own, *SHORT, "--out", "out")
    assert "reads images of 3 channels, and those of this data have 1: give --data" in said


def test_what_reads_no_images_is_sent_to_a_loop_of_its_own(own: str) -> None:
    with pytest.raises(InputError, match=r"something else than images.*docs/own_loop\.md"):
        register_own_model(own.replace("small", "words"))
