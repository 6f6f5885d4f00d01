"""A study of headroom: networks trained from several seeds, asked, and what they say written."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from accel_models.errors import InputError
from accel_models.files import whole_file, writable_folder
from accel_models.metrics import additive, names
from accel_models.owned_folder import changed_settings, owned_folder
from accel_models.seeds import checked_seed
from dfs_hw.budgets.budget import unit_of
from dfs_hw.headroom.judging import ANSWERS, Judge, image_digest
from dfs_hw.headroom.oracle import ASSIGNMENTS, RESAMPLES, AtCost, Headroom, headroom_of
from dfs_hw.headroom.picture import write_headroom_picture
from dfs_hw.networks.checkpoint import read_facts
from dfs_hw.provenance import provenance, write_json
from dfs_hw.training.config import DEFAULTS, TrainConfig, plain
from dfs_hw.training.setup import TrainingSetup
from dfs_hw.training.stages.before_joint import train_supernet
from dfs_hw.training.stages.results import finished
from dfs_hw.training.start import check_device, fresh_network, load, priced

FORMAT = 1
SUPERNET = "supernet.safetensors"
RESULTS = ("headroom.json", "headroom.csv", "headroom.png")


@dataclass(frozen=True)
class HeadroomStudy:
    """Whose headroom is looked for, and how."""

    config: TrainConfig
    """Settings of the networks, up to the supernet, where every unit runs at any choice; machine,
    metric, and the budget that the answer is about. The seed is not used."""
    seeds: tuple[int, ...]
    """Seeds of the networks, at least two."""
    assignments: int = ASSIGNMENTS
    """Assignments that oracles may choose from, at most."""
    resamples: int = RESAMPLES
    """Samples of the inputs that intervals come from."""

    def __post_init__(self) -> None:
        if len(set(self.seeds)) != len(self.seeds) or len(self.seeds) < 2:
            raise InputError(
                f"seeds of headroom must be two or more, all different, got {self.seeds}: one "
                "network's luck is no headroom"
            )
        for seed in self.seeds:
            checked_seed(seed, "seeds of headroom: each")
        for name, least in (("assignments", 2), ("resamples", 100)):
            value = getattr(self, name)
            if value < least:
                raise InputError(f"{name} of headroom must be at least {least}, got {value}")
        if self.config.metric not in {metric.name for metric in additive()}:
            raise InputError(
                f"headroom is looked for in {names(additive())} on a machine, not in "
                f"{self.config.metric}"
            )

    def to_dict(self) -> dict[str, Any]:
        """All that tells it from others, as plain data for JSON."""
        config = {name: value for name, value in plain(self.config).items() if name != "seed"}
        return config | {name: value for name, value in asdict(self).items() if name != "config"}


def headroom(
    study: HeadroomStudy,
    out: Path | str,
    *,
    trained: Path | str | None = None,
    device: str = "cpu",
    progress: bool = True,
    overwrite: bool = False,
) -> Headroom:
    """Train networks for all widths, or take those of a comparison, and tell what gates can win.

    Leaves ``headroom.json``, ``headroom.csv`` and ``headroom.png`` in `out`, and each network and
    its answers in ``out/seed<k>``. What an earlier call has finished is not repeated, also after
    Ctrl-C; one call at a time has the folder.

    Args:
        trained: folder of a comparison with the same settings, to take the networks from.
        device: to train on.
        progress: show bars on stderr.
        overwrite: take a folder that a call with other settings left; what it trained that fits is
            not repeated.

    Raises:
        InputError: if the study cannot be carried out, the comparison has no such networks, another
            call works in the folder, or one of another study did, or left a file that is damaged.
        DfsHwError: if a loss stops being finite.
    """
    setups = setups_of(study, device, progress)
    budget = setups[0].budget
    if budget.statistic != "mean":
        raise InputError(f"headroom is for a mean over inputs: the budget '{budget}' is not")
    with owned_folder(
        out,
        study.to_dict(),
        RESULTS,
        growing=("seeds",),
        defaults=DEFAULTS,
        overwrite=overwrite,
    ) as folder:
        found = headroom_of(
            [_judge(setup, folder / f"seed{setup.seed}", trained) for setup in setups],
            budget.fraction * setups[0].cost.reference,
            most=study.assignments,
            resamples=study.resamples,
            progress=progress,
        )
        write(study, found, folder)
        return found


def setups_of(study: HeadroomStudy, device: str, progress: bool) -> list[TrainingSetup]:
    """A setup for each seed, all with the same test inputs.

    Where seeds have test inputs of their own, as those of the digits, all networks are trained and
    judged on the first seed's images: elsewhere, one's test inputs are in another's training.

    Raises:
        InputError: if anything in the configuration cannot be used, or no stage trains all widths.
    """
    check_device(device)
    configs = [replace(study.config, seed=seed) for seed in study.seeds]
    splits = [load(config, device, progress) for config in configs]
    if len({image_digest(one.test) for one in splits}) > 1:
        splits = splits[:1] * len(splits)
    setups = [
        TrainingSetup.assembled(
            config,
            images,
            priced(config, fresh_network(config, images), images, device),
            device=device,
            progress=progress,
        )
        for config, images in zip(configs, splits, strict=True)
    ]
    if not setups[0].has_supernet:
        raise InputError(
            "headroom needs networks that have trained all widths, in supernet_epochs: got 0"
        )
    return setups


def write(study: HeadroomStudy, found: Headroom, out: Path) -> None:
    """Write everything as JSON, the curves as CSV, and the picture."""
    write_headroom_picture(found, out / "headroom.png")
    with whole_file(out / "headroom.csv") as partial:
        partial.write_text(as_csv(found.points), encoding="utf-8")
    write_json(
        out / "headroom.json",
        {
            "format": FORMAT,
            "study": study.to_dict(),
            **provenance(),
            "unit": unit_of(found.metric),
            **as_json(found),
        },
    )


def as_json(found: Headroom) -> Mapping[str, Any]:
    """All that was found, and the sentence. Amounts are in SI units, accuracies from 0 to 1."""
    return {"sentence": found.sentence, **asdict(found)}


def as_csv(points: Sequence[AtCost]) -> str:
    """One line an amount, in SI units, accuracies from 0 to 1."""
    rows = [_flat(asdict(point)) for point in points]
    text = io.StringIO()
    writer = csv.DictWriter(text, rows[0], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _flat(row: Mapping[str, Any]) -> dict[str, float]:
    """Fields within fields as ``outer_inner``."""
    found: dict[str, float] = {}
    for name, value in row.items():
        inner = value.items() if isinstance(value, dict) else [("", value)]
        found |= {f"{name}_{part}".rstrip("_"): number for part, number in inner}
    return found


def _judge(setup: TrainingSetup, folder: Path, trained: Path | str | None) -> Judge:
    """The network of one seed, trained if need be."""
    writable_folder(folder)
    if trained is not None and not finished(setup, "supernet", "supernet", folder / SUPERNET):
        source = _find(setup, Path(trained) / folder.name)
        with whole_file(folder / SUPERNET) as partial:
            partial.write_bytes(source.read_bytes())
    return Judge(setup, train_supernet(setup, folder).network, folder / ANSWERS)


def _find(setup: TrainingSetup, folder: Path) -> Path:
    """The network of a setup among a comparison's of one seed.

    Raises:
        InputError: if none is of these settings: says how the first differs.
    """
    candidates = sorted(folder.glob(f"*/{SUPERNET}"))
    for path in candidates:
        if finished(setup, "supernet", "supernet", path):
            return path
    if not candidates:
        raise InputError(f"{folder} has no network that has trained all widths, */{SUPERNET}")
    kept = read_facts(candidates[0])["settings"]["config"]
    changed = changed_settings(kept, {name: setup.settings.get(name) for name in kept})
    why = changed or "it was trained on other images, or another kind of network"
    raise InputError(f"{candidates[0]} does not fit: {why}")
