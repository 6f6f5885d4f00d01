"""Layer lists from CSV files."""

from pathlib import Path

import pytest

from accel_models import InputError, Layer
from accel_models.workloads.layer_csv import read_layers

OWN = """name,in_channels,out_channels,kernel,out_size,stride,padding
stem,3,16,3,32,1,1
down,16,32,3x1,16,2,1x0
head,32,10,1,1,,
"""
SCALE_SIM = """Layer name, IFMAP Height, IFMAP Width, Filter Height, Filter Width, Channels, Num Filter, Strides,
Conv1, 34, 34, 3, 3, 3, 16, 1,
Conv2, 18, 34, 3, 3, 16, 32, 2,
"""  # noqa: E501


def test_own_columns(tmp_path: Path) -> None:
    (tmp_path / "net.csv").write_text(OWN)
    workload = read_layers(tmp_path / "net.csv")
    assert workload.name == "net"
    assert workload.layers == (
        Layer("stem", 3, 16, (3, 3), (32, 32), padding=(1, 1), reads_image=True),
        Layer("down", 16, 32, (3, 1), (16, 16), stride=(2, 2), padding=(1, 0)),
        Layer("head", 32, 10),
    )
    assert workload.edges == (("stem", "down"), ("down", "head"))


def test_scale_sim_topology(tmp_path: Path) -> None:
    (tmp_path / "topology.csv").write_text(SCALE_SIM)
    first, second = read_layers(tmp_path / "topology.csv").layers
    assert (first.out_size, first.macs) == ((32, 32), 32 * 32 * 27 * 16)
    assert (second.out_size, second.stride) == ((8, 16), (2, 2))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a,b\n1,2\n", "is no list of layers"),
        (OWN.replace("stem,3", "stem,three"), "line 2: in_channels must be a whole number"),
        (OWN.replace("3x1", "3y1"), "line 3: kernel must be a size such as 3 or 3x5, got '3y1'"),
        (OWN.replace("head,32", "head,0"), "line 4: layer 'head' has a size below 1"),
        (OWN.replace("head", "stem"), "two layers called 'stem'"),
        (OWN.splitlines()[0], "has no layers"),
        (OWN.replace("stem,3", "stem," + "9" * 5000), "line 2: in_channels must be"),
        (OWN.replace("stem,3", "stem,999999999"), "MACs, over 1e\\+13"),
        (SCALE_SIM.replace("32, 2,", "32, 0,"), "line 3: strides must be at least 1"),
    ],
)
def test_malformed_files_are_named(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "net.csv").write_text(text)
    with pytest.raises(InputError, match=said):
        read_layers(tmp_path / "net.csv")


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot read"):
        read_layers(tmp_path / "absent.csv")
