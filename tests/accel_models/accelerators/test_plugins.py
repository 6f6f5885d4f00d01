"""Families from outside the package: how they are found, refused, carried and covered by keys."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from pathlib import Path

import own_machine
import pytest
from exploring import SPACE, trace_of
from hypothesis import given, settings
from hypothesis import strategies as st
from places import ROOT

from accel_models import (
    InputError,
    Layer,
    Precision,
    Workload,
    cost_table,
    load_accelerator,
    load_plugin,
    register_family,
    simulate,
)
from accel_models.accelerators.arrays import FAMILIES, Array, Datapath
from accel_models.accelerators.arrays.array import NO_PASS
from accel_models.accelerators.plugins import outside_families, source_of
from accel_models.costs.table_cache import table_path
from accel_models.exploration import explore
from accel_models.exploration.report.outputs import model_provenance
from dfs_hw.provenance import provenance

pytestmark = pytest.mark.usefixtures("own_families")

CONV = Layer("conv", 24, 72, (3, 3), (9, 11), padding=(1, 1))
NET = Workload.chain("net", [CONV, Layer("fc", 72, 10)])


def ant(folder: Path):  # type: ignore[no-untyped-def]
    module, machine = own_machine.written(folder)
    assert load_plugin(module) == ("ant",)
    return load_accelerator(machine)


# ---- the worked example


def test_the_example_is_short_and_its_figures_are_own(tmp_path: Path) -> None:
    assert sum(len(text.splitlines()) for text in own_machine.example()) < 80
    machine = ant(tmp_path)
    statuses = {path: source.status for path, _, source in machine.constants()}
    assert statuses["array.stated.pj_per_operation"] == "own"
    assert statuses["frequency_hz"] == "assumed"


@given(
    sizes=st.tuples(*[st.integers(1, 90)] * 2, *[st.integers(1, 40)] * 2),
    kernel=st.integers(1, 5),
    bits=st.tuples(st.integers(1, 8), st.integers(1, 8)),
)
@settings(max_examples=30)
def test_the_example_computes_as_long_as_its_released_simulator(
    tmp_path_factory: pytest.TempPathFactory,
    sizes: tuple[int, ...],
    kernel: int,
    bits: tuple[int, int],
) -> None:
    machine = ant(tmp_path_factory.getbasetemp())
    ins, outs, rows, columns = sizes
    layer = Layer("conv", ins, outs, (kernel, kernel), (rows, columns))
    data = machine.array.datapath(layer, Precision(*bits))
    steps = math.ceil(rows * columns / data.windows) * math.ceil(outs / data.columns)
    fw, fa = (int(8 / max(width, 4)) for width in bits)
    published = math.ceil(rows * columns / (32 * fa)) * math.ceil(outs / (32 * fw))
    assert steps * kernel**2 * ins == published * kernel**2 * ins
    assert data.operations_per_mac * data.windows * data.columns == 4 * 32 * 32


@pytest.mark.parametrize(("bits", "cycles"), [(8, 4 * 3 * 9 * 24), (4, 2 * 2 * 9 * 24)])
def test_a_layer_simulated_takes_these_cycles(bits: int, cycles: int, tmp_path: Path) -> None:
    layer = simulate(NET, ant(tmp_path), bits).layers[0]
    assert layer.compute_cycles >= cycles
    whole = ant(tmp_path).configured(
        buffers__weight_bytes=2**20, buffers__input_bytes=2**20, buffers__output_bytes=2**20
    )
    fastest = simulate(NET, whole.configured(mapping__objective="latency"), bits).layers[0]
    assert fastest.compute_cycles == cycles


# ---- refusals

HEADER = """
from typing import Literal
from accel_models import register_family
from accel_models.accelerators.arrays import Array
from accel_models.accelerators.arrays.loom import Loom
"""
BROKEN = {
    "import nothing_of_that_name": "does not import: ModuleNotFoundError: No module named 'noth",
    "def f(": "does not import: SyntaxError",
    "raise SystemExit(3)": "does not import: SystemExit: 3",
    "x = 1": "it registers no family: put @register_family above its class",
    "@register_family\nclass Mine:\n    family = 3": "Mine is no family of arrays: it must derive",
    "@register_family\ndef mine(): pass": "mine is no family of arrays: it must derive from Array",
    '@register_family\nclass Mine(Array):\n    family: Literal["mine"]': "it must define data",
    "@register_family\nclass Mine(Loom):\n    family: str": 'a field family: Literal["name"]',
    '@register_family\nclass Mine(Loom):\n    family: Literal["stripes"]': "Stripes of accel",
    '@register_family\nclass Mine(Loom):\n    lane_rules = ("row",)\n    family: Literal["mine"]': (
        "Mine has lane_rules = ('row',): it must name some of channels, kernel-row, window"
    ),
}


@pytest.mark.parametrize("text", BROKEN)
def test_what_is_wrong_with_a_plugin_is_one_sentence(text: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(HEADER + text + "\n")
    before = dict(FAMILIES)
    with pytest.raises(InputError) as error:
        load_plugin(path)
    said = str(error.value)
    assert said.startswith(f"plugin {path}") and BROKEN[text] in said and "\n" not in said
    assert before == FAMILIES


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (Datapath(0, 4), "rows must be a whole number of at least 1, got 0"),
        (Datapath(4, 4, windows=2.5), r"windows must be a whole number of at least 1, got 2\.5"),  # type: ignore[arg-type]
        (Datapath(4, 4, ramp=-1), "ramp must be a whole number of at least 0, got -1"),
        (Datapath(4, 4, passes=((0, 1), *[NO_PASS] * 3)), r"passes\[0\]\[0\] must be a whole n"),
    ],
)
def test_an_answer_that_no_array_gives_is_refused(
    answer: Datapath, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = ant(tmp_path)
    monkeypatch.setattr(type(machine.array), "datapath", lambda *_: answer)
    with pytest.raises(InputError, match=f"datapath of family ant for conv at 8 bits: {said}"):
        simulate(NET, machine, 8)


def test_a_plugin_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot read .*absent\.py: No such file"):
        load_plugin(tmp_path / "absent.py")
    with pytest.raises(InputError, match=r"plugin no\.such: there is no such module; the path"):
        load_plugin("no.such")
    with pytest.raises(InputError, match=r"ant\.toml: array\.family .* plugin .* got 'ant'"):
        load_accelerator(own_machine.written(tmp_path)[1])


def test_a_family_edited_and_loaded_again_replaces_itself(tmp_path: Path) -> None:
    module, machine = own_machine.written(tmp_path)
    load_plugin(module)
    assert load_plugin(module) == ("ant",)
    first, source = FAMILIES["ant"], source_of(FAMILIES["ant"])
    module.write_text(module.read_text().replace("PRODUCTS = 4", "PRODUCTS = 8"))
    load_plugin(module)
    assert FAMILIES["ant"] is not first
    assert source_of(FAMILIES["ant"]) != source
    assert load_accelerator(machine).array.operations_per_cycle == 8 * 32 * 32
    other = tmp_path / "other.py"
    other.write_text(module.read_text())
    with pytest.raises(InputError, match="Ant cannot have family = 'ant': Ant of dfs_hw"):
        load_plugin(other)


# ---- packages


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An importable package `antics`, with its family in one module and a constant in another."""
    folder = tmp_path / "antics"
    folder.mkdir()
    (folder / "__init__.py").touch()
    text = own_machine.example()[0]
    (folder / "sizes.py").write_text("PRODUCTS = 4\n\n\ndef same(x: int) -> int:\n    return x\n")
    (folder / "ant.py").write_text(
        text.replace("PRODUCTS = 4\n", "from antics.sizes import PRODUCTS, same\n")
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in ("antics", "antics.ant", "antics.sizes"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return folder


def test_a_module_is_found_by_name_and_its_helpers_count(package: Path) -> None:
    assert load_plugin("antics.ant") == ("ant",)
    kind = FAMILIES["ant"]
    before = source_of(kind)
    assert before
    source_of.cache_clear()
    assert source_of(kind) == before
    for name in ("sizes.py", "ant.py"):
        with (package / name).open("a") as file:
            file.write("# edited\n")
        source_of.cache_clear()
        now = source_of(kind)
        assert now and now != before
        before = now


def installed(package: Path, name: str, value: str) -> None:
    """Declare a family as an entry point, as an installer would."""
    info = package.parent / "antics-1.0.dist-info"
    info.mkdir(exist_ok=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: antics\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[dfs_hw.families]\n{name} = {value}\n")


MACHINE = """
import sys
from accel_models import InputError, load_accelerator
try:
    print(type(load_accelerator(sys.argv[1]).array).__module__)
except InputError as error:
    print(error)
"""


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("ant", "antics.ant:Ant", "antics.ant"),
        ("ant", "antics.bee:Bee", "ant = 'antics.bee:Bee' of group dfs_hw.families does not load"),
        ("ant", "antics.sizes:same", "same is no family of arrays"),
        ("ants", "antics.ant:Ant", "array.family must be one of ants, bismo"),
        ("loom", "antics.ant:Ant", "takes a name that accel_models has"),
    ],
)
def test_an_installed_package_is_found_or_named(
    name: str, value: str, said: str, package: Path, tmp_path: Path
) -> None:
    installed(package, name, value)
    machine = own_machine.written(tmp_path)[1]
    env = os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{tmp_path}"}
    command = [sys.executable, "-c", MACHINE, str(machine)]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
    (line,) = done.stdout.splitlines()
    assert said in line


# ---- workers and keys


def test_workers_know_the_families_that_are_known_here(tmp_path: Path) -> None:
    """Spawned processes, which import everything anew."""
    module, machine = own_machine.written(tmp_path)
    load_plugin(module)
    space = SPACE | {"base": str(machine), "fields": {"array": {"rows": [8, 16]}}}
    space["objectives"] = ["energy", "p95"]
    runs = {
        workers: explore(
            space, [trace_of()], out=tmp_path / str(workers), sampler="sweep", workers=workers
        )
        for workers in (1, 2)
    }
    assert runs[2].trials.table.equals(runs[1].trials.table)
    assert runs[1].machine().array.family == "ant"


def test_a_results_provenance_names_what_came_from_outside(tmp_path: Path) -> None:
    assert provenance()["families"] == {}
    module, _ = own_machine.written(tmp_path)
    load_plugin(module)
    (source,) = {source_of(kind) for name, kind in FAMILIES.items() if name == "ant"}
    assert source is not None
    known = {"ant": {"from": str(module), "source": source[:16]}}
    assert outside_families() == provenance()["families"] == model_provenance()["families"] == known


@pytest.mark.slow
def test_workers_of_a_cluster_do_too_without_the_file(tmp_path: Path) -> None:
    from distributed import LocalCluster

    module, machine = own_machine.written(tmp_path)
    load_plugin(module)
    module.unlink()
    space = SPACE | {"base": str(machine), "fields": {"array": {"rows": [8, 16]}}}
    space["objectives"] = ["energy", "p95"]
    here = explore(space, [trace_of()], out=tmp_path / "here", sampler="sweep")
    with LocalCluster(
        n_workers=1, threads_per_worker=1, processes=True, dashboard_address=None
    ) as running:
        there = explore(
            space,
            [trace_of()],
            out=tmp_path / "there",
            sampler="sweep",
            dask=running.scheduler_address,
        )
    assert there.trials.table.equals(here.trials.table)


def test_tables_are_kept_under_the_familys_source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DFS_HW_CACHE", str(tmp_path / "cache"))
    module, machine = own_machine.written(tmp_path)
    load_plugin(module)
    table = cost_table(NET, load_accelerator(machine), "8")
    kept = table_path(table.key)
    assert kept.is_file()
    module.write_text(module.read_text().replace("max(widths.weight_bits, 4)", "8"))
    load_plugin(module)
    again = cost_table(NET, load_accelerator(machine), "8")
    assert again.key != table.key
    assert {path.stem for path in kept.parent.iterdir()} == {table.key, again.key}


def test_a_family_edited_since_it_was_imported_keeps_nothing(
    package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DFS_HW_CACHE", str(tmp_path / "cache"))
    load_plugin("antics.ant")
    machine = load_accelerator(own_machine.written(tmp_path)[1])
    with (package / "sizes.py").open("a") as file:
        file.write("# edited\n")
    cost_table(NET, machine, "8")
    assert not (tmp_path / "cache" / "tables").exists()


def test_the_packages_own_families_go_through_the_same_door() -> None:
    assert set(FAMILIES) >= {"bit_fusion", "loom", "systolic"}
    for kind in FAMILIES.values():
        assert register_family(kind) is kind
        assert issubclass(kind, Array)
        assert source_of(kind) == ""
