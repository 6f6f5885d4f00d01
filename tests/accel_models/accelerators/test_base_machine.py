"""Machine files that build on another, and numbers that are their author's own."""

from pathlib import Path

import pytest

from accel_models import InputError, Layer, Workload, load_accelerator, simulate
from accel_models.accelerators.toml_file import LIBRARY

NAMES = 'name = "mine"\ntitle = "Mine"\npaper = "none"\n'


def written(folder: Path, text: str, name: str = "mine.toml") -> Path:
    path = folder / name
    path.write_text(NAMES + text)
    return path


def test_only_what_is_stated_differs(tmp_path: Path) -> None:
    path = written(tmp_path, 'base = "bitfusion"\nfrequency_hz = 400e6\n[dram]\nlatency_ns = 80\n')
    mine, base = load_accelerator(path), load_accelerator("bitfusion")
    expected = base.configured(frequency_hz=400e6, dram__latency_ns=80.0)
    assert mine.key_fields | {"name": ""} == expected.key_fields | {"name": ""}
    assert (mine.name, mine.title, mine.paper, mine.departures) == ("mine", "Mine", "none", None)
    own = {path for path, source in mine.provenance.items() if source.status == "own"}
    assert own == {"frequency_hz", "dram.latency_ns"}
    inherited = {path: source for path, source in mine.provenance.items() if path not in own}
    assert inherited.items() <= base.provenance.items()
    assert len(inherited) == len(base.provenance) - 2


@pytest.mark.parametrize("field", ["name", "title", "paper"])
def test_names_are_not_inherited(field: str, tmp_path: Path) -> None:
    path = written(tmp_path, 'base = "bitfusion"\n')
    lines = path.read_text().splitlines()
    path.write_text("\n".join(line for line in lines if not line.startswith(field)))
    with pytest.raises(InputError, match=rf"mine\.toml: {field} is missing"):
        load_accelerator(path)


def test_a_base_may_be_a_file_that_builds_on_another(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    written(
        tmp_path,
        'base = "stripes-published"\n[dram]\nlatency_ns = 80\nburst_bytes = 64\n',
        "a.toml",
    )
    path = written(tmp_path / "deep", 'base = "../a.toml"\n[dram]\nlatency_ns = 90\n')
    machine = load_accelerator(path)
    assert machine.array == load_accelerator("stripes-published").array
    assert (machine.dram.latency_ns, machine.dram.burst_bytes) == (90, 64)
    assert machine.provenance["dram.latency_ns"].text == "stated in mine.toml"
    assert machine.provenance["dram.burst_bytes"].text == "stated in a.toml"


def test_a_file_may_be_called_like_the_machine_that_it_builds_on(tmp_path: Path) -> None:
    path = written(tmp_path, 'base = "bitfusion"\n', "bitfusion.toml")
    assert load_accelerator(path).array == load_accelerator("bitfusion").array


@pytest.mark.parametrize(
    ("stated", "is_set", "is_not"),
    [
        ("bits_per_cycle = 128", "bits_per_cycle", "gb_per_s"),
        ("gb_per_s = 24", "gb_per_s", "bits_per_cycle"),
        ("pj_per_bit = 4", "pj_per_bit", "preset"),
        ('preset = "horowitz"', "preset", None),
    ],
)
def test_what_says_the_same_in_another_way_is_taken_back(
    stated: str, is_set: str, is_not: str | None, tmp_path: Path
) -> None:
    dram = load_accelerator(written(tmp_path, f'base = "bitfusion"\n[dram]\n{stated}\n')).dram
    assert getattr(dram, is_set) is not None
    if is_not:
        assert getattr(dram, is_not) is None


def test_another_family_states_its_array_and_banks(tmp_path: Path) -> None:
    array = (
        '[array]\nfamily = "systolic"\nstationary = "output"\nrows = 8\ncolumns = 8\n'
        "node_nm = 45\nreconfiguration_cycles = 0\nwidest_bits = 8\n"
    )
    rules = '[mapping]\nlane_rules = ["window"]\n'
    base = 'base = "bitfusion"\n'
    with pytest.raises(InputError, match=r"mine\.toml: buffers\.weight_banks is missing"):
        load_accelerator(written(tmp_path, base + array + rules))
    banks = "[buffers]\nweight_banks = 8\ninput_banks = 8\noutput_banks = 8\nword_bits = 64\n"
    machine = load_accelerator(written(tmp_path, base + array + rules + banks))
    conv = Layer("conv", 16, 32, (3, 3), (8, 8), padding=(1, 1))
    assert simulate(Workload.chain("one", [conv]), machine, 8).energy_j > 0
    back = (LIBRARY / "bitfusion.toml").read_text(encoding="utf-8")  # type: ignore[operator]
    again = back[back.index("[array]") : back.index("[storage]")]
    rules = '[mapping]\nlane_rules = ["channels"]\nimage_lane_rules = ["channels"]\n'
    slow = 'base = "loom-1b-published"\nfrequency_hz = 4e8\n'
    split = load_accelerator(written(tmp_path, slow + again + rules))
    assert split.buffers.weight_banks is None


REFUSED = [
    ('base = "bitfusoin"', "base = 'bitfusoin' is no machine (do you mean bitfusion?)"),
    ('base = "othr.toml"', "No such file or directory (do you mean other.toml?)"),
    ('base = "mine.toml"', "base = 'mine.toml' is the file itself"),
    ("base = 3", "base = 3 must be common-ground, a machine of the library"),
    ('base = "other.toml"', "goes in a circle, mine.toml > other.toml > mine.toml"),
    ('base = "broken.toml"', "broken.toml: dram.latency_ns must be"),
    ('base = "bitfusion"\n[dram]\nlatency = 3', "dram.latency is not a known field: do you mean"),
    ('base = "bitfusion"\nfrequency_hz = "fast"', "frequency_hz must be a valid number"),
]


@pytest.mark.parametrize(("text", "said"), REFUSED)
def test_a_wrong_base_is_named_with_what_would_be_right(
    text: str, said: str, tmp_path: Path
) -> None:
    written(tmp_path, 'base = "mine.toml"\n', "other.toml")
    written(tmp_path, 'base = "bitfusion"\n[dram]\nlatency_ns = -1\n', "broken.toml")
    with pytest.raises(InputError) as error:
        load_accelerator(written(tmp_path, text + "\n"))
    assert said in str(error.value)
    culprit = {'base = "broken.toml"': "broken.toml", 'base = "other.toml"': "other.toml"}
    assert str(error.value).startswith(culprit.get(text, "mine.toml"))


def test_a_range_may_be_stated_without_a_source(tmp_path: Path) -> None:
    entry = "{ value = 24, low = 12, high = 48 }"
    path = written(tmp_path, f'base = "bitfusion"\n[dram]\ngb_per_s = {entry}\n')
    source = load_accelerator(path).provenance["dram.gb_per_s"]
    assert source == ("own", "stated in mine.toml", 12, 48)


def test_own_numbers_vary_only_within_a_range_of_their_own(tmp_path: Path) -> None:
    text = 'base = "bitfusion"\n[dram]\npj_per_bit = {}\nlatency_ns = 90\n'
    conv = Workload.chain("one", [Layer("conv", 16, 32, (3, 3), (8, 8), padding=(1, 1))])

    def known(entry: str):  # type: ignore[no-untyped-def]
        machine = load_accelerator(written(tmp_path, text.replace("{}", entry)))
        return simulate(conv, machine, 8, uncertainty=True).uncertainty

    bare, ranged = known("15"), known("{ value = 15, low = 5, high = 25 }")
    assert bare is not None and ranged is not None
    assert set(bare.own) == {"dram.pj_per_bit", "dram.latency_ns"}
    assert ranged.own == ("dram.latency_ns",)
    assert "dram.pj_per_bit" not in {one.path for one in bare.contributions}
    assert "dram.pj_per_bit" in {one.path for one in ranged.contributions}
    assert ranged.low < bare.low and bare.high < ranged.high
    assert ranged.nominal == bare.nominal
