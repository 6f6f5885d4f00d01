"""Layer lists from CSV files: both kinds of columns, and all that is refused."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from accel_models import InputError, Layer, Precision, Workload, load_accelerator, simulate
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
HEADER = SCALE_SIM.splitlines()[0]
DOCS = Path(__file__).parents[3] / "docs" / "layer_tables.md"


@pytest.fixture
def read(tmp_path: Path) -> Callable[[str | bytes], Workload]:
    def reads(text: str | bytes) -> Workload:
        path = tmp_path / "net.csv"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return read_layers(path)

    return reads


Read = Callable[[str | bytes], Workload]


def test_own_columns(read: Read) -> None:
    workload = read(OWN)
    assert workload.name == "net"
    assert workload.layers == (
        Layer("stem", 3, 16, (3, 3), (32, 32), padding=(1, 1), reads_image=True),
        Layer("down", 16, 32, (3, 1), (16, 16), stride=(2, 2), padding=(1, 0)),
        Layer("head", 32, 10),
    )
    assert workload.edges == (("stem", "down"), ("down", "head"))
    assert workload.assumed == (
        "'stem' is taken to read the image, in 8-bit pixels",
        "without in_size, strided layers read the smallest maps that give their outputs: down",
    )


def test_the_documented_examples(read: Read) -> None:
    own, _, topology = re.findall(r"```csv\n(.*?)```", DOCS.read_text(), re.DOTALL)
    stem, dw, pw, head = read(own).layers
    assert (stem.in_size, stem.out_size, stem.reads_image) == ((33, 33), (17, 17), True)
    assert (dw.padding, dw.out_size, dw.groups) == ((0, 2, 0, 2), (17, 17), 16)
    assert [layer.widths for layer in (stem, dw, pw, head)] == [
        Precision.parse(text) for text in ("8", "4/8", "4/8", "8")
    ]
    first, second = read(topology).layers
    assert (first.out_size, first.padding) == ((110, 110), (0, 1, 0, 1))
    assert (second.groups, second.out_channels) == (64, 64)


def test_every_documented_column_is_read(read: Read) -> None:
    (layer,) = read(
        "name,in_channels,out_channels,in_size,out_size,kernel,stride,padding,padding_mode,dilation,"
        "groups,reads_image,weight_bits,activation_bits\n"
        "a,4,8,9x8,5x3,3x2,2x3,1x1x2x0,Circular,1x3,2,no,3,5\n"
    ).layers
    assert layer == Layer(
        "a",
        4,
        8,
        kernel=(3, 2),
        in_size=(9, 8),
        stride=(2, 3),
        padding=(1, 1, 2, 0),
        padding_mode="circular",
        dilation=(1, 3),
        groups=2,
        widths=Precision(3, 5),
    )


def test_widths_of_a_layer_hold_whatever_is_asked_for(read: Read) -> None:
    workload = read("name,in_channels,out_channels,in_size,precision\na,16,16,8,4/2\nb,16,16,8,\n")
    first, second = simulate(workload, load_accelerator("bitfusion"), 8).layers
    assert (first.precision, second.precision) == (Precision(4, 2), Precision(8, 8))


@pytest.mark.parametrize(
    "text",
    [
        b"\xef\xbb\xbf" + OWN.encode(),
        OWN.replace("\n", "\r\n"),
        OWN.replace("down", "\n  \ndown") + ",,,,,,\n\n",
        OWN.replace(",", "\t"),
        OWN.replace("name", " Name ").replace("down", " down "),
        OWN.replace("padding\n", "padding,\n").replace(",,\n", ",,,\n"),
    ],
)
def test_what_spreadsheets_leave_behind_passes(read: Read, text: str | bytes) -> None:
    assert read(text) == read(OWN)


@pytest.mark.parametrize("word", ["True", "TRUE", "1", "yes", "true"])
def test_booleans_as_programs_write_them(read: Read, word: str) -> None:
    text = "name,in_channels,out_channels,kernel,out_size,padding,reads_image\n"
    text += f"c1,3,16,3,32,1,{word}\nc2,16,16,3,32,1,False\n"
    workload = read(text)
    assert [layer.reads_image for layer in workload.layers] == [True, False]
    assert workload.assumed == ()
    assert simulate(workload, load_accelerator("bitfusion"), 4).bitops == 51_904_512


def test_only_few_channels_are_an_image(read: Read) -> None:
    columns = "name,in_channels,out_channels,out_size\n"
    assert read(columns + "a,4,8,9\n").layers[0].reads_image
    deep = read(columns + "a,5,8,9\n")
    assert not deep.layers[0].reads_image
    assert "no layer is taken to read 8-bit pixels" in deep.assumed[0]
    topology = read(SCALE_SIM.replace("3, 3, 3, 16", "3, 3, 64, 16"))
    assert not topology.layers[0].reads_image


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a,b\n1,2\n", "is no list of layers"),
        ("", "is empty"),
        (OWN.replace("stem,3", "stem,three"), "line 2: in_channels must be a whole number"),
        (OWN.replace("stem,3", "stem,-3"), "line 2: in_channels must be a whole number, got '-3'"),
        (
            OWN.replace("3x1", "3y1"),
            "line 3: kernel must be a size such as 3, 3x5 or 1x3x3",
        ),
        (OWN.replace("3x1", "3x1x1"), "line 3: layer 'down': padding has one number, 3 or 6"),
        (OWN.replace("3x1", "3x1x1x1"), "line 3: kernel must be a size"),
        (OWN.replace("1x0", "1x0x1"), "line 3: layer 'down': padding has one number, 2 or 4"),
        (OWN.replace("head,32", "head,0"), "line 4: layer 'head' has a size below 1"),
        (OWN.replace("head,32", "head,"), "line 4: in_channels is missing"),
        (OWN.replace("1,1,,", "1,,,"), "line 4: out_size or in_size is missing"),
        (OWN.replace("head", "stem"), "two layers called 'stem'"),
        (OWN.splitlines()[0], "has no layers"),
        (OWN.replace("stem,3", "stem," + "9" * 5000), "line 2: in_channels must be"),
        (OWN.replace("3,16,3", "99999999,16999,3"), "line 2: .* MACs, over 1e\\+15"),
        (OWN.replace("1,1\n", "1,1,7\n"), "line 2 has 8 values in 7 columns"),
        (OWN.replace("out_channels", "in_channels"), "two columns called 'in_channels'"),
        (OWN.replace("kernel", ""), "column 4 has no name"),
        (OWN.replace("out_size", "size"), "an unknown column: 'size'"),
        (
            OWN.replace("stride", "strides").replace("padding", "pad"),
            r"'strides' \(did you mean 'stride'\?\), 'pad' \(did you mean 'padding'\?\)",
        ),
        (OWN.replace(",out_channels", "").replace("3,16", "3"), "lacks the column out_channels"),
        (OWN.replace("padding\n", "reads_image\n"), "line 3: reads_image must be true or false"),
        (OWN.replace("stride,padding", "precision,weight_bits"), "states widths twice"),
        (OWN.replace("padding\n", "precision\n").replace("1x0", "skip"), "it cannot be skip"),
        (OWN.replace("padding\n", "weight_bits\n"), "weight_bits needs activation_bits"),
        (OWN.replace(",", ";"), "separates its columns by semicolons"),
        (OWN.encode("utf-16"), "is UTF-16 text: save it as UTF-8"),
        (b"\xff" + OWN.encode(), "is not a CSV file"),
        (
            OWN.replace("stride,", "in_size,").replace("3,32,1,1", "3,32,31,1"),
            "line 2: layer 'stem': rows: an input of 31 .* gives 31 outputs .*, not 32",
        ),
        (SCALE_SIM.replace("32, 2,", "32, 0,"), "line 3: strides must be at least 1"),
        (SCALE_SIM.replace("18, 34", "2, 34"), "line 3: a filter of height 3 is larger than"),
        (SCALE_SIM.replace("Channels, Num Filter", "Num Filter, Channels"), "column 6 should be"),
        (SCALE_SIM.replace("Strides,", "Strides, Colour,"), "a column 'colour' that SCALE-Sim"),
        (SCALE_SIM.replace("16, 32, 2,", "16, 32,"), "line 3: strides must be a whole number"),
        (
            HEADER + " Sparsity,\nConv1, 8, 8, 3, 3, 3, 32, 1, 2:4,\n",
            "line 2: a sparsity of 2:4: no machine here leaves out zero weights",
        ),
        (
            HEADER + " Batch Size,\nConv1, 8, 8, 3, 3, 3, 32, 1, 4,\n",
            "line 2: a batch size of 4: the batch is one for all layers",
        ),
        (
            HEADER + "\nConv_dw, 8, 8, 3, 3, 32, 32, 1,\n",
            "called depthwise and has 32 filters of 32 channels",
        ),
    ],
)
def test_malformed_files_are_named(read: Read, text: str | bytes, said: str) -> None:
    with pytest.raises(InputError, match=said):
        read(text)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No such file"):
        read_layers(tmp_path / "none.csv")


def test_a_topology_rounds_its_sizes_up(read: Read) -> None:
    """A map of 18 under windows of 3, 2 apart: the ninth ends a row below it."""
    first, second = read(SCALE_SIM).layers
    assert (first.out_size, first.macs) == ((32, 32), 32 * 32 * 27 * 16)
    assert (second.out_size, second.stride) == ((9, 17), (2, 2))
    assert (second.in_size, second.padding) == ((18, 34), (0, 1, 0, 1))
    (large,) = read(HEADER + "\nConv1, 224, 224, 7, 7, 3, 64, 2,\n").layers
    assert large.macs == 113_836_800


def test_a_topology_with_two_strides_titles_blanks_and_names_that_come_again(read: Read) -> None:
    header = HEADER.replace("Strides", "Stride height, Stride width")
    workload = read(
        header
        + "\nNet,\nConv1, 8, 8, 3, 3, 3, 32, 1, 2,\n\n  \nConv1, 9, 9, 1, 1, 3, 3, 1, 1\n,,,,\n"
    )
    first, second = workload.layers
    assert (first.stride, first.out_size) == ((1, 2), (6, 4))
    assert (first.name, second.name) == ("Conv1", "Conv1 (2)")
    assert "line 2, 'Net', has no sizes: a title" in workload.assumed


def test_depthwise_rows_of_a_topology(read: Read) -> None:
    rows = "a, 50, 50, 3, 3, 3, 8, 2, 2\nDepthwiseConv2D_x, 26, 26, 3, 3, 8, 1, 1,\n"
    workload = read(f"{HEADER}\n{rows}b_DP, 24, 24, 3, 3, 8, 2, 1,\nc_dw, 22, 22, 3, 3, 1, 1, 1,\n")
    _, named, tools, single = workload.layers
    dense = Layer("own", 8, 8, (3, 3), in_size=(26, 26), groups=8)
    assert named.geometry == dense.geometry
    assert (tools.groups, tools.in_channels, tools.out_channels) == (8, 8, 16)
    assert single.groups == 1
    assert [said for said in workload.assumed if "DepthwiseConv2D_x" in said]


def test_matrix_products_of_a_topology(read: Read) -> None:
    """M positions of K inputs and N outputs, in a list of them or as a convolution."""
    (listed,) = read("Layer,M,N,K,\nL0,196,192,384,\n").layers
    (written,) = read(HEADER + "\nL0, 196, 384, 1, 384, 1, 192, 1,\n").layers
    assert listed.geometry == written.geometry == Layer("x", 384, 192, in_size=(196, 1)).geometry


def test_a_dense_sparsity_and_a_batch_of_one_pass(read: Read) -> None:
    (layer,) = read(HEADER + " Sparsity, Batch Size,\nC, 8, 8, 3, 3, 3, 4, 1, 1:1, 1,\n").layers
    assert layer.out_size == (6, 6)


def test_rows_that_read_other_channels_than_there_are_are_named(read: Read) -> None:
    rows = "name,in_channels,out_channels,out_size,reads\na,3,16,8,-\n"
    more = read(rows + "b,17,8,8,a\nc,24,8,8,a b\nd,16,8,8,a +b\n")
    assert more.assumed[1:] == (
        "rows read more channels than there are in what they read: b (17, not 16)",
    )
    alone = "name,in_channels,out_channels,out_size\na,3,16,8\n"
    fewer = read(alone + "b,17,8,8\nc,4,8,8\n")
    assert "above, which has other channels: b (17, not 16), c (4, not 8)" in fewer.assumed[1]
    flat = ("fc,1024,10,1", "fc,256,10,1", "fc,16,10,1")  # as a map is, after a pool, after a mean
    assert all(len(read(f"{alone}{row}\n").assumed) == 1 for row in flat)
    parts = read(rows + "b,8,8,8,a\n")  # a row may read a part of what another one made
    assert len(parts.assumed) == 1
