"""Machine files: what they hold, and what is said when they are wrong."""

from pathlib import Path

import pytest

from accel_models import InputError, list_accelerators, load_accelerator
from accel_models.accelerators.toml_file import LIBRARY, read_accelerator
from accel_models.costs.pricing import Pricing
from accel_models.energy.array import array_figures, sram_bank

TEXT = LIBRARY.joinpath("bitfusion-published.toml").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", list_accelerators())
def test_every_number_of_every_machine_has_a_source(name: str) -> None:
    machine = load_accelerator(name)
    constants = list(machine.constants())
    assert len(constants) >= 10
    assert all(source.text for _, _, source in constants)
    assert {source.status for _, _, source in constants} <= {"measured", "published", "assumed"}


@pytest.mark.parametrize("name", list_accelerators())
def test_the_figures_of_every_array_have_a_source(name: str) -> None:
    """In its file, or with the table they are read from."""
    machine = load_accelerator(name)
    stated = {path for path, _, _ in machine.constants() if path.startswith("array.stated.")}
    tabled = [path for path, *_ in Pricing(machine).constants() if path.startswith("array")]
    assert (len(stated), len(tabled)) in {(3, 0), (0, 3)}


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("weight_bytes = { value = 65536", "weight_bytes = { value = -4", "greater than 0, got -4"),
        ("rows = { value = 16", 'rows = { value = "many"', "array.rows must be a valid integer"),
        ("weight_bytes = ", "weight_kib = ", "buffers.weight_bytes is missing"),
        ("bits_per_cycle = ", "gb_per_h = ", "dram.gb_per_h is not a known field: do you mean gb"),
        ('preset = "bitfusion"', 'preset = "ddr9"', "ddr9"),
        ('outputs = "accumulators"', 'outputs = "magic"', "got 'magic'"),
        ('family = "bit_fusion"', 'family = "abacus"', "array.family must be one of"),
        ("latency_ns = { value = 0", "latency_ns = { value = true", "dram.latency_ns must be"),
        ('lane_rules = ["channels"]', 'lane_rules = ["row-stationary"]', "cannot follow"),
        ("[fidelity]", "[fidelity]\nsurprise = true", "fidelity.surprise is not a known field"),
        ('32, status = "published"', '32, status = "guessed"', "got 'guessed'"),
        ("min_bits = { value = 2", "min_bits = { value = 16", "at most array.max_bits = 8"),
        ("[array]", "[array", "is not valid TOML"),
        ("[buffers]", "[buffers]\ninput_double_buffered = false", "schedule = 'fluid', in which"),
    ],
)  # fmt: skip
def test_a_wrong_file_is_named_with_field_and_value(old: str, new: str, said: str) -> None:
    assert old in TEXT
    with pytest.raises(InputError) as error:
        read_accelerator(TEXT.replace(old, new), "mine.toml")
    assert said in str(error.value)
    assert str(error.value).startswith("mine.toml")


def test_a_bare_number_is_its_authors_own() -> None:
    bare = TEXT.replace('rows = { value = 16, status = "published", source = "released simulator, '
                        'bf_e_conf.ini: N" }', "rows = 16")  # fmt: skip
    machine = read_accelerator(bare, "mine.toml")
    assert machine.provenance["array.rows"] == ("own", "stated in mine.toml", None, None)
    assert machine.key_fields == load_accelerator("bitfusion-published").key_fields


def test_a_number_of_some_status_says_its_source() -> None:
    bare = TEXT.replace('status = "published", source = "released simulator, bf_e_conf.ini: N" }',
                        'status = "published" }')  # fmt: skip
    with pytest.raises(InputError, match=r"rows.source must say .* needs neither status"):
        read_accelerator(bare, "mine.toml")


def test_own_machine_from_a_path(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(TEXT.replace('name = "bitfusion-published"', 'name = "mine"'))
    assert load_accelerator(path).name == "mine"
    with pytest.raises(InputError, match="cannot read"):
        load_accelerator(tmp_path / "absent.toml")
    with pytest.raises(InputError, match=r"mean bitfusion\?.*known are .*bitfusion-published"):
        load_accelerator("bitfusoin")


def test_configured_changes_one_field_and_says_so() -> None:
    machine = load_accelerator("bitfusion-published").configured(array__rows=8)
    sources = {path: source.text for path, _, source in machine.constants()}
    assert machine.array.rows == 8
    assert sources["array.rows"] == "set by the caller"
    assert "bf_e_conf.ini" in sources["array.columns"]
    with pytest.raises(InputError, match=r"no field array\.depth"):
        machine.configured(array__depth=3)


def test_sram_and_array_figures_are_those_published() -> None:
    bank = sram_bank(2048, 32)
    assert (bank.read_pj_per_bit, bank.write_pj_per_bit) == pytest.approx((0.05947438, 0.1137041))
    assert array_figures(16, 32, 8, 2).pj_per_cycle == pytest.approx(235.104)
    with pytest.raises(InputError, match=r"known sizes are 128, 256"):
        sram_bank(100, 32)
    with pytest.raises(InputError, match=r"known pairs are .*8/2"):
        array_figures(4, 4, 12, 3)
