"""Tables on disk: exactly what was computed, or computed again."""

import multiprocessing
import os
import pickle
import shutil
import subprocess
import sys
import textwrap
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from kept_tables import CHOICES, FIGURES, MACHINE, SHAPE, TRUE, assert_true, hammer, table
from networks import gated_pair

from accel_models import Workload, cost_table
from accel_models.accelerators.arrays.bit_fusion import BitFusion
from accel_models.costs.table_cache import PACKAGE, Figures, load, save, source_digest, table_path


@pytest.fixture
def entry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the table is kept, in a cache that is still empty."""
    monkeypatch.setenv("DFS_HW_CACHE", str(tmp_path / "cache"))
    return table_path(TRUE.key)


def test_a_table_read_back_is_the_table_computed(entry: Path) -> None:
    assert FIGURES.infeasible
    assert_true(table())
    assert list(entry.parent.iterdir()) == [entry]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert_true(load(TRUE.key, SHAPE))
        assert_true(table())
    assert table().key == entry.stem


def test_what_is_kept_is_what_is_used_unless_told_otherwise(entry: Path) -> None:
    save(TRUE.key, FIGURES._replace(cycles=FIGURES.cycles + 1))
    assert np.array_equal(table().cycles, FIGURES.cycles + 1)
    assert_true(table(cache=False))


def test_every_flipped_byte_is_noticed(entry: Path) -> None:
    save(TRUE.key, FIGURES)
    whole = entry.read_bytes()
    with pytest.warns(UserWarning, match="checksum") as warned:
        for at in range(len(whole)):
            damaged = bytearray(whole)
            damaged[at] ^= 1 << at % 8
            entry.write_bytes(damaged)
            assert load(TRUE.key, SHAPE) is None
    assert len(warned) == len(whole)


@pytest.mark.parametrize("keep", [0, 1, 63, 64, 65, 500, -65, -64, -1])
def test_a_truncated_entry_is_computed_again_and_replaced(entry: Path, keep: int) -> None:
    table()
    whole = entry.read_bytes()
    entry.write_bytes(whole[:keep])
    with pytest.warns(UserWarning, match=entry.name):
        assert_true(table())
    assert_true(load(TRUE.key, SHAPE))


@pytest.mark.parametrize(
    ("figures", "said"),
    [
        (FIGURES._replace(head=FIGURES.head[:-1]), r"head is int64 \[6, 4, 2\], not"),
        (FIGURES._replace(counts=FIGURES.counts[..., :-1]), r"counts is int64 \[7, 4, 2, 11\]"),
        (FIGURES._replace(cycles=FIGURES.cycles.astype(float)), "cycles is float64"),
    ],
)
def test_figures_of_another_kind_are_replaced(entry: Path, figures: Figures, said: str) -> None:
    save(TRUE.key, figures)
    with pytest.warns(UserWarning, match=said):
        assert_true(table())
    assert_true(load(TRUE.key, SHAPE))


def test_an_entry_under_a_wrong_name_is_not_taken(entry: Path) -> None:
    save("another", FIGURES)
    table_path("another").rename(entry)
    with pytest.warns(UserWarning, match="it holds the table another"):
        assert_true(table())


class Bomb:
    """Unpickled, it leaves a file."""

    def __init__(self, fuse: Path) -> None:
        self.fuse = fuse

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self.fuse),)


def test_foreign_pickles_are_not_executed(entry: Path, tmp_path: Path) -> None:
    fuse = tmp_path / "executed"
    entry.parent.mkdir(parents=True)
    entry.write_bytes(pickle.dumps(Bomb(fuse)))
    with pytest.warns(UserWarning, match="checksum"):
        assert_true(table())
    # Likewise inside an archive whose checksum is right.
    save(TRUE.key, FIGURES._replace(cycles=np.array([Bomb(fuse)], dtype=object)))
    with pytest.warns(UserWarning, match="allow_pickle=False"):
        assert_true(table())
    assert not fuse.exists()
    pickle.loads(pickle.dumps(Bomb(fuse)))
    assert fuse.exists()  # it would have shown


@pytest.mark.slow
def test_processes_that_share_a_cache_see_whole_tables_only(entry: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    processes = [spawn.Process(target=hammer, args=(100,)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0]
    assert list(entry.parent.iterdir()) == [entry]


def test_a_cache_that_cannot_be_written_costs_one_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("DFS_HW_CACHE", str(tmp_path / "file"))
    with pytest.warns(UserWarning) as warned:
        assert_true(table())
    assert len(warned) == 1
    assert "cannot be kept" in str(warned[0].message)


def test_a_table_that_others_may_have_planted_is_not_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("DFS_HW_CACHE", str(tmp_path / "open"))
    table()
    (planted,) = (tmp_path / "open" / "tables").iterdir()
    (tmp_path / "open").chmod(0o777)
    with pytest.warns(
        UserWarning, match="open that DFS_HW_CACHE names is not used, since others may write to it"
    ):
        assert_true(table())
    (own,) = (tmp_path / ".cache" / "dfs-hw" / "tables").iterdir()
    assert own.name == planted.name
    assert own.parent.stat().st_mode & 0o777 == 0o700


def test_where_tables_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DFS_HW_CACHE")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert table_path("k").is_relative_to(tmp_path / "xdg" / "dfs-hw")
    for unusable in ("", "relative"):
        monkeypatch.setenv("XDG_CACHE_HOME", unusable)
        assert table_path("k").is_relative_to(tmp_path / "home" / ".cache" / "dfs-hw")
    monkeypatch.setenv("DFS_HW_CACHE", str(tmp_path / "own"))
    assert table_path("k").is_relative_to(tmp_path / "own")


def test_one_constant_or_one_layer_more_is_another_key(entry: Path) -> None:
    pair = gated_pair()
    wider = replace(pair.layers[-1], out_channels=11)
    others = [
        cost_table(pair, MACHINE.configured(energy__vector_pj=9), CHOICES, always=8),
        cost_table(pair, MACHINE.configured(buffers__input_bytes=65536), CHOICES, always=8),
        cost_table(Workload("pair", (*pair.layers[:-1], wider), pair.edges), MACHINE, "8"),
        cost_table(pair, MACHINE, "8"),
        cost_table(pair, MACHINE, "8", always=4),
        cost_table(pair, MACHINE, "8", always=4, max_group=2),
    ]
    assert len({table.key for table in others}) == len(others)
    assert len(list(entry.parent.iterdir())) == len(others)


def test_another_version_is_another_key(entry: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed, digest = table().key, table().digest
    info = entry.parent / "dfs_hw-99.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: dfs-hw\nVersion: 99\n")
    monkeypatch.syspath_prepend(str(info.parent))
    assert table().key != installed
    assert table().digest == digest  # which goes by the figures, whoever works them out


def test_the_digest_covers_source_and_data(tmp_path: Path) -> None:
    copy = tmp_path / "accel_models"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    seen = [source_digest(copy)]
    assert seen == [source_digest()]
    changed = (
        "mapping/kernel/tiling.py",
        "accelerators/arrays/loom.py",
        "energy/data/sram_cacti.csv",
    )
    for name in changed:
        with (copy / name).open("a") as file:
            file.write("\n")
        seen.append(source_digest(copy))
    (copy / "new.py").touch()
    seen.append(source_digest(copy))
    assert len(set(seen)) == 5
    (copy / "notes.txt").touch()
    assert source_digest(copy) == seen[-1]


def test_a_model_edited_while_it_runs_keeps_nothing(entry: Path, tmp_path: Path) -> None:
    copy = tmp_path / "accel_models"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    script = """
        import numpy as np
        from accel_models.costs.table_cache import PACKAGE, Figures, save, table_path

        empty = Figures(*[np.zeros(1, dtype=np.int64)] * 6, {})
        save("before", empty)
        (PACKAGE / "mapping/kernel/tiling.py").write_text("changed")
        save("after", empty)
        print([path.stem for path in table_path("x").parent.iterdir()])
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "['before']\n"


class OwnArray(BitFusion):
    """An array that is not part of the package."""


def test_arrays_of_others_have_keys_of_their_own(entry: Path) -> None:
    own = OwnArray.model_validate(MACHINE.array.model_dump())
    found = table(machine=MACHINE.model_copy(update={"array": own}))
    assert_true(found)
    assert [path.stem for path in entry.parent.iterdir()] == [found.key] != [entry.stem]


def test_machines_with_arrays_without_source_are_not_kept(entry: Path) -> None:
    nowhere = type("Nowhere", (OwnArray,), {"__module__": "nowhere"})
    own = nowhere.model_validate(MACHINE.array.model_dump())
    assert_true(table(machine=MACHINE.model_copy(update={"array": own})))
    assert not entry.parent.exists()
