"""Commands that ask machines: simulate, validate and accelerators."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from accel_models.errors import InputError
from accel_models.files import ending_in
from dfs_hw.cli.app import app, print_json
from dfs_hw.cli.loading import load_machine, load_workload
from dfs_hw.cli.options import (
    DEFAULTS,
    Accelerator,
    AsJson,
    ImageSide,
    MachineSettings,
    NoSettings,
    OpenSizes,
    Plugins,
    Precisions,
    WidthsFile,
)
from dfs_hw.cli.show import tables as show

COMPARED_NETWORK, DEPARTURES_NETWORK = "resnet20", "resnet38"
COMPARED_BITS = (8, 4, 2)
SILICON = Path("silicon")


Simulated = Annotated[
    str,
    typer.Argument(
        help="One of `dfs-hw networks`, your own model as module:function, a CSV of layers "
        "(SCALE-Sim's too), or an .onnx file."
    ),
]
Batch = Annotated[int, typer.Option(help="Inputs processed together.", min=1)]
Explained = Annotated[
    str, typer.Option(metavar="LAYER", help="Take one layer apart: why it costs what it does.")
]
Pareto = Annotated[
    bool, typer.Option("--pareto", help="With --explain: every mapping worth having.")
]
BestBy = Annotated[
    str,
    typer.Option(
        help="Best mapping by latency, energy, edp or latency-then-energy, instead of what "
        "the machine's file says."
    ),
]
Ranged = Annotated[
    bool, typer.Option("--uncertainty", help="How far off energy may be, and what moves it.")
]
CsvFile = Annotated[
    Path | None,
    typer.Option(
        help="Write every layer's cycles, traffic by tensor and memory, energy by component "
        "and action, and mapping."
    ),
]
Picture = Annotated[
    Path | None,
    typer.Option(help="Draw roofline and energy by layer, as .png, .svg or .pdf."),
]
Compared = Annotated[
    bool, typer.Option("--compare", help="Machines side by side; none named: rank common ground.")
]
Departed = Annotated[
    bool, typer.Option("--departures", help="What each difference from its base machine changes.")
]
Listed = Annotated[
    bool, typer.Option("--fields", help="What a machine's file may say: units, ranges, meanings.")
]
Placed = Annotated[
    bool, typer.Option("--operators", help="Which operators run where: array, vector unit, or not.")
]
RunOnThem = Annotated[
    str, typer.Option(help="What to run on them: resnet20, resnet38, ... or a CSV of layers.")
]
Equal = Annotated[
    str,
    typer.Option(
        help="With --compare: scale arrays to the first machine's peak at 8 bits, or to its area."
    ),
]


@app.command()
def simulate(
    network: Simulated,
    accelerator: Accelerator = DEFAULTS.accelerator,
    machine_settings: MachineSettings = None,
    precision: Precisions = None,
    widths: WidthsFile = None,
    batch: Batch = 1,
    image: ImageSide = None,
    sizes: OpenSizes = None,
    explain: Explained = "",
    pareto: Pareto = False,
    objective: BestBy = "",
    uncertainty: Ranged = False,
    csv: CsvFile = None,
    picture: Picture = None,
    plugins: Plugins = None,
    as_json: AsJson = False,
    _: NoSettings = None,
) -> None:
    """What a network costs at fixed precisions, layer by layer."""
    from accel_models import simulate as run_simulation

    if pareto and not explain:
        raise InputError("--pareto goes with --explain LAYER")
    if csv is not None:
        ending_in(csv, ".csv", "tables of layers")
    machine = load_machine(accelerator, machine_settings)
    if objective:
        machine = machine.configured(mapping__objective=objective)
    workload = load_workload(network, image, widths, sizes)
    runs = {
        bits: run_simulation(workload, machine, bits, batch=batch, uncertainty=uncertainty)
        for bits in precision or ["8"]
    }
    if csv is not None:
        _write_csv(runs, csv)
    if picture is not None:
        from accel_models.explain.static_picture import write_static_picture

        write_static_picture(picture, {f"{bits} bit": run for bits, run in runs.items()})
    if explain:
        _explain(runs, explain, pareto, as_json)
    elif as_json:
        print_json(
            {
                bits: show.simulation_facts(run) | {"layers": show.layer_facts(run)}
                for bits, run in runs.items()
            }
        )
    else:
        show.simulations(runs, widths.name if widths else "")
    for path, what in ((csv, "every layer as a row"), (picture, "a picture")):
        if path is not None and not as_json:
            show.line(f"{path}: {what}")


@app.command()
def validate(
    table: Annotated[
        Path | None,
        typer.Argument(
            help="CSV of published results; default: the 305 that come along. Or the word silicon: "
            "figures of chips and RTL, and claims of papers, beside the model."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Recompute a table of published Bit Fusion results; exit status 0 only if all are exact.

    dfs-hw validate silicon
    """
    if table == SILICON:
        _silicon(as_json)
        return
    from accel_models.validation.eyeriss import compare_with_eyeriss
    from accel_models.validation.published_rows import PUBLISHED, validate_table

    outcome = validate_table(table or PUBLISHED)
    against = compare_with_eyeriss() if table is None else None
    if as_json:
        extra = asdict(against) if against else {}
        print_json({**asdict(outcome), "exact": outcome.exact, **extra})
    else:
        show.validation(outcome, against)
    if not outcome.all_exact:
        raise typer.Exit(1)


@app.command()
def accelerators(
    names: Annotated[
        list[str] | None, typer.Argument(help="Machines, or paths to .toml files; none: list all.")
    ] = None,
    compare: Compared = False,
    departures: Departed = False,
    fields: Listed = False,
    operators: Placed = False,
    network: RunOnThem = "",
    equal: Equal = "",
    plugins: Plugins = None,
    as_json: AsJson = False,
) -> None:
    """The library of machines; the data sheet of one, with every constant and its source.

    dfs-hw accelerators --compare --network resnet38             # all on common ground, ranked
    dfs-hw accelerators --compare bitfusion stripes --equal area
    """
    from accel_models import list_accelerators, load_accelerator
    from accel_models.explain.data_sheet import spec_sheet
    from dfs_hw.cli.show import machines

    if compare + departures + fields + operators > 1:
        raise InputError(
            "--compare, --departures, --fields and --operators answer different questions: ask "
            "for one"
        )
    if network and not (compare or departures):
        raise InputError("--network goes with --compare or --departures")
    if equal and not (compare and names):
        raise InputError("--equal goes with --compare and the names of machines")
    if fields:
        _fields(names, as_json)
        return
    chosen = [load_accelerator(name) for name in names or list_accelerators()]
    if compare:
        if names:
            _compare(_equal(chosen, equal), network or COMPARED_NETWORK, as_json)
        else:
            _rank(network or COMPARED_NETWORK, as_json)
    elif operators:
        _operators(chosen, as_json)
    elif departures:
        _departures(chosen if names else [], network or DEPARTURES_NETWORK, as_json)
    elif as_json:
        print_json([machines.sheet_facts(spec_sheet(machine), machine) for machine in chosen])
    elif names:
        for machine in chosen:
            machines.machine(spec_sheet(machine))
    else:
        machines.machine_list([spec_sheet(machine) for machine in chosen])


def _operators(chosen: list[Any], as_json: bool) -> None:
    """Where each operator runs on each machine."""
    from accel_models.explain.operators import placements
    from dfs_hw.cli.show import machines

    found = {machine.name: placements(machine) for machine in chosen}
    if as_json:
        print_json({name: [one._asdict() for one in placed] for name, placed in found.items()})
    else:
        machines.placements(found)


def _write_csv(runs: dict[str, Any], path: Path) -> None:
    """One row for each layer of each run, which its first column names."""
    import pyarrow as pa
    from pyarrow.csv import write_csv

    from accel_models.files import whole_file

    frames = [
        run.to_frame().add_column(0, "run", pa.array([bits] * len(run.layers)))
        for bits, run in runs.items()
    ]
    with whole_file(path) as partial:
        write_csv(pa.concat_tables(frames), partial)


def _silicon(as_json: bool) -> None:
    from accel_models.validation.silicon import compare_with_silicon
    from dfs_hw.cli.show import silicon as show_silicon

    found = compare_with_silicon()
    if as_json:
        print_json(asdict(found))
    else:
        show_silicon.silicon(found)


def _fields(names: list[str] | None, as_json: bool) -> None:
    from accel_models.explain.machine_fields import machine_fields
    from dfs_hw.cli.show import fields as show_fields

    if names:
        raise InputError(
            f"--fields lists what any machine's file may say: leave out {', '.join(names)}"
        )
    tables = machine_fields()
    if as_json:
        print_json(show_fields.field_facts(tables))
    else:
        show_fields.fields(tables)


def _explain(runs: dict[str, Any], layer: str, pareto: bool, as_json: bool) -> None:
    from accel_models.explain.layer import explain, pareto_set, pieces_of
    from dfs_hw.cli.show import layer as show_layer

    found = {
        bits: [
            (explain(run, name), pareto_set(run, name) if pareto else ())
            for name in pieces_of(run, layer)
        ]
        for bits, run in runs.items()
    }
    if as_json:
        print_json({bits: show_layer.layer_explanation(*found[bits]) for bits in runs})
        return
    for number, (bits, parts) in enumerate(found.items()):
        if number:
            show.line("")
        if len(parts) > 1:
            show_layer.in_pieces(layer, runs[bits], len(parts))
        for part in parts:
            show_layer.explanation(*part, asked=bits)


def _equal(machines: list[Any], by: str) -> list[Any]:
    """The machines, all but the first scaled to it."""
    if not by:
        return machines
    from accel_models.explain.equal import equalised

    first, *others = machines
    return [first, *(equalised(machine, first, by) for machine in others)]  # type: ignore[arg-type]


def _rank(network: str, as_json: bool) -> None:
    """All machines on common ground, the one of least energy first."""
    from accel_models import load_accelerator
    from accel_models.accelerators.ground import ranked
    from accel_models.explain.comparison import compare_machines
    from accel_models.explain.ranking import ranking
    from dfs_hw.cli.show import machine_comparison
    from dfs_hw.cli.show import ranking as show_ranking

    machines, workload = [load_accelerator(name) for name in ranked()], load_workload(network)
    compared = compare_machines(machines, workload, COMPARED_BITS)
    rankings = {str(bits): ranking(machines, workload, bits) for bits in COMPARED_BITS}
    if as_json:
        facts = {bits: show_ranking.ranking_facts(found) for bits, found in rankings.items()}
        print_json(machine_comparison.comparison_facts(compared, machines) | {"ranking": facts})
    else:
        show_ranking.ranking_table(compared, rankings)


def _compare(machines: list[Any], network: str, as_json: bool) -> None:
    from accel_models.explain.comparison import compare_machines
    from dfs_hw.cli.show import machine_comparison as show_comparison

    if len(machines) < 2:
        raise InputError("--compare needs two machines or more")
    compared = compare_machines(machines, load_workload(network), COMPARED_BITS)
    if as_json:
        print_json(show_comparison.comparison_facts(compared, machines))
    else:
        show_comparison.comparison(compared)


def _departures(machines: list[Any], network: str, as_json: bool) -> None:
    from accel_models.explain.departures import effects
    from dfs_hw.cli.show import machine_comparison as show_comparison

    if len(machines) != 1:
        raise InputError("--departures needs one machine, such as bitfusion")
    workload = load_workload(network)
    found = effects(machines[0], workload, COMPARED_BITS)
    if as_json:
        print_json(show_comparison.departure_facts(found, workload.name, COMPARED_BITS))
    else:
        show_comparison.departures(found, workload.name, COMPARED_BITS)
