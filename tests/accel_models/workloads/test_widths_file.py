"""Files of widths by name: TOML, CSV and JSON, there and back, and all that is refused."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from places import ROOT

from accel_models import InputError, Precision
from accel_models.workloads.widths_file import read_widths, write_widths

NAMES = st.text(st.characters(exclude_categories=("C", "Z")) | st.just(" "), min_size=1).filter(
    lambda name: name == name.strip()
)
PRECISIONS = st.one_of(
    st.builds(Precision, st.integers(1, 32), st.integers(1, 32)),
    st.sampled_from([Precision.parse("skip"), Precision.parse("full")]),
)


@pytest.mark.parametrize("kind", ["toml", "csv", "json"])
@given(policy=st.dictionaries(NAMES, PRECISIONS, min_size=1))
def test_what_is_written_is_read(
    tmp_path_factory: pytest.TempPathFactory, kind: str, policy: dict[str, Precision]
) -> None:
    """In the same order, on which the last match depends."""
    path = tmp_path_factory.mktemp("widths") / f"mixed.{kind}"
    write_widths(policy, path)
    found = read_widths(path)
    assert isinstance(found, dict)
    assert list(found.items()) == list(policy.items())


def test_examples_of_the_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Both files say what the Python does, which is cheaper than 4 bits everywhere."""
    monkeypatch.chdir(tmp_path)
    page = (ROOT / "docs" / "layer_tables.md").read_text()
    section = page.partition("## Widths by name")[2].partition("\n## ")[0]
    examples = dict(re.findall(r"```(python|toml|csv)\n(.*?)```", section, re.DOTALL))
    assert set(examples) == {"python", "toml", "csv"}
    names: dict[str, object] = {}
    exec(examples["python"], names)
    assert 0.5 < float(capsys.readouterr().out) < 1
    written = read_widths("mixed.toml")
    assert isinstance(written, dict)
    for kind in ("toml", "csv"):
        Path(f"given.{kind}").write_text(examples[kind])
        given = read_widths(f"given.{kind}")
        assert isinstance(given, dict)
        assert list(given.items()) == list(written.items())


def test_operands_in_two_columns(tmp_path: Path) -> None:
    path = tmp_path / "mixed.csv"
    path.write_text("activation_bits,name,weight_bits\n8,*,4\n2,fc,2\n")
    assert read_widths(path) == {"*": Precision(4, 8), "fc": Precision(2, 2)}


def test_operands_in_json(tmp_path: Path) -> None:
    path = tmp_path / "mixed.json"
    path.write_text(
        '{"*": 8, "a": "4/8", "b": {"weight_bits": 2, "activation_bits": 4}, "c": {"a": 8, "w": 4}}'
    )
    assert read_widths(path) == {
        "*": Precision(8, 8),
        "a": Precision(4, 8),
        "b": Precision(2, 4),
        "c": Precision(4, 8),
    }


@pytest.mark.parametrize(
    ("kind", "text", "said"),
    [
        ("toml", "", "gives no layer a width"),
        ("toml", "fc = ", "is not valid TOML"),
        ("toml", "fc = 8\nfc = 4", "is not valid TOML"),
        ("toml", "a.b = 8", "'a' is a table: a name with dots stands in quotes, such as \"a.b\""),
        ("toml", "[widths]", "'widths' is a table"),
        ("toml", "fc = 8.5", "'fc' is 8 or \"4/8\", got 8.5"),
        ("toml", "fc = true", "'fc' is 8 or \"4/8\", got True"),
        ("toml", "fc = [4, 8]", "'fc' is 8 or \"4/8\", got [4, 8]"),
        ("toml", "fc = 'wide'", "'fc': 'wide' is not a precision"),
        ("toml", "fc = 64", "'fc': a precision is 1 to 32 bits"),
        ("csv", "", "is empty"),
        ("csv", "name,precision\n", "gives no layer a width"),
        ("csv", "name,bits\nfc,8\n", "unknown column: 'bits'"),
        ("csv", "name,precison\nfc,8\n", "(did you mean 'precision'?)"),
        ("csv", "precision\n8\n", "lacks the column name"),
        ("csv", "name\nfc\n", "lacks the column precision"),
        ("csv", "name,weight_bits\nfc,8\n", "lacks the column activation_bits"),
        ("csv", "name,precision,weight_bits\nfc,8,8\n", "states widths twice"),
        ("csv", "name,precision\nfc,\n", "line 2: precision is missing"),
        ("csv", "name,precision\n,8\n", "line 2: name is missing"),
        ("csv", "name,precision\nfc,8,8\n", "line 2 has 3 values in 2 columns"),
        ("csv", "name,precision\nfc,8\nfc,4\n", "line 3 names 'fc' again"),
        ("csv", "name,precision\nfc,wide\n", "line 2: 'wide' is not a precision"),
        ("csv", "name,weight_bits,activation_bits\nfc,0,8\n", "line 2: weight_bits must be at"),
        ("csv", "name,weight_bits,activation_bits\nfc,99,8\n", "line 2: a precision is 1 to 32"),
        ("json", "{}", "gives no layer a width"),
        ("json", "[]", "gives no layer a width"),
        ("json", "8", "must be a table of widths by name, or a list, got 8"),
        ("json", '{"fc": 8', "is not valid JSON"),
        ("json", '{"fc": 8, "fc": 4}', "names 'fc' twice"),
        ("json", '{"fc": true}', "'fc' is 8, \"4/8\" or {"),
        ("json", '{"fc": [4, 8]}', "got [4, 8]"),
        ("json", '{"fc": 99}', "'fc': a precision is 1 to 32"),
        ("json", '{"fc": {"w": 4}}', "'fc': activation_bits is missing"),
        ("json", '{"fc": {"w": 4, "a": 8, "o": 8}}', "'fc': o is not a known field"),
        ("json", '{"fc": {"w": 4, "a": 8, "weight_bits": 2}}', "bits of one operand twice"),
        ("json", '{"fc": {"w": "4", "a": 8}}', "weight_bits must be a valid integer"),
        ("yaml", "fc: 8", "widths by name are a file that ends in .toml, .csv, .json"),
    ],
)
def test_what_is_not_understood_is_refused(tmp_path: Path, kind: str, text: str, said: str) -> None:
    path = tmp_path / f"mixed.{kind}"
    path.write_text(text)
    with pytest.raises(InputError) as refused:
        read_widths(path)
    assert said in str(refused.value)
    assert path.name in str(refused.value)


def test_files_that_cannot_be_read_or_written(tmp_path: Path) -> None:
    for kind in ("toml", "csv", "json"):
        with pytest.raises(InputError, match=r"cannot read .*none"):
            read_widths(tmp_path / f"none.{kind}")
    latin = tmp_path / "latin.toml"
    latin.write_bytes(b'"caf\xe9" = 8')
    with pytest.raises(InputError, match="is not valid TOML"):
        read_widths(latin)
    for policy, said in (
        ({" fc": 8}, "' fc' is no name: it is empty or has blanks"),
        ({"": 8}, "'' is no name"),
        ({"fc": "wide"}, "'wide' is not a precision"),
    ):
        with pytest.raises(InputError, match=said):
            write_widths(policy, tmp_path / "mixed.csv")
    with pytest.raises(InputError, match=r"ends in \.toml, \.csv, \.json"):
        write_widths({"fc": 8}, tmp_path / "mixed.yaml")
    assert not (tmp_path / "mixed.csv").exists()
