"""What a long study consists of, as a TOML file says it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from accel_models.accelerators.toml_file import load_accelerator
from accel_models.documents import CLOSED, read_toml, typed
from accel_models.errors import InputError
from dfs_hw.baselines.study import USUAL, Study
from dfs_hw.training.recipes import recipe


@dataclass(frozen=True)
class StudyDefinition:
    """A comparison of many cells, each a contender trained from one seed, on several machines.

    The file lies in the folder that the results go to.
    """

    __pydantic_config__ = CLOSED
    title: str
    """What the study asks, as the heading of its page."""
    machines: tuple[str, ...]
    """Machines that networks are priced on, by name or by a file's path from the study's folder.
    Everything is trained for the first; thresholds are settled anew for each."""
    seeds: tuple[int, ...]
    """Seeds, for each of which everything is trained once."""
    train: dict[str, Any]
    """Settings of `TrainConfig` that all networks share; the rest is as the recipe for the data
    has it."""
    contenders: tuple[str, ...] = USUAL
    """Kinds of contender, of `CONTENDER_FAMILIES`."""
    smaller: tuple[str, ...] | None = None
    """Smaller static networks, as `Study` has them."""
    grid: tuple[float, ...] = (0.5, 0.75, 1.25, 1.5)
    """Multiples of the budget, beside 1, that whoever has thresholds or a knob is set to."""
    points: tuple[float, ...] = ()
    """Multiples of the budget that DFS is trained for too, where the knob takes part."""
    shuffles: int = 5
    """How often decisions are dealt to other inputs."""
    folder: Path = field(default=Path(), repr=False)
    """Where the file lies, and everything that the study leaves; a file cannot say it."""

    @classmethod
    def read(cls, path: str | Path) -> StudyDefinition:
        """Read a study from a TOML file.

        Raises:
            InputError: naming the field that cannot be used.
        """
        data = read_toml(path)
        if "folder" in data:
            raise InputError(f"{path}: folder is not a known field: it is where the file lies")
        definition = replace(typed(cls, data, str(path)), folder=Path(path).parent)
        if not definition.machines:
            raise InputError(f"{path}: machines names none: networks are priced on one or more")
        if len(set(map(machine_name, definition.machines))) < len(definition.machines):
            raise InputError(f"{path}: machines names one twice: {', '.join(definition.machines)}")
        taken = definition.train.keys() & {"accelerator", "seed"}
        if taken:
            raise InputError(
                f"{path}: train.{min(taken)} is not a setting here: it is said by "
                f"{'machines' if 'accelerator' in taken else 'seeds'}"
            )
        try:
            for machine in definition.machines:
                load_accelerator(definition.located(machine))
            definition.study()
        except InputError as error:
            raise InputError(f"{path}: {error}") from error
        return definition

    def located(self, machine: str) -> str:
        """A machine as `load_accelerator` finds it: files are looked for beside the study's."""
        return str(self.folder / machine) if machine.endswith(".toml") else machine

    def checked_seeds(self, seeds: Iterable[int]) -> tuple[int, ...]:
        """Seeds of the study that somebody asks for, each once.

        Raises:
            InputError: if none is asked for, or one that the study has not.
        """
        asked = tuple(dict.fromkeys(seeds))
        there = ", ".join(map(str, self.seeds))
        if not asked:
            raise InputError(f"seeds names none, and the study has {there}")
        if strange := [one for one in asked if one not in self.seeds]:
            raise InputError(f"{strange[0]} is no seed of the study, which has {there}")
        return asked

    def study(self, machine: str = "") -> Study:
        """The comparison on one machine, the first if none is named, with all seeds."""
        settings = {"data": "digits"} | self.train
        data, style = str(settings.pop("data")), str(settings.pop("style", "modern"))
        machine = self.located(machine or self.machines[0])
        config = recipe(data, style, **settings, accelerator=machine)
        return Study(
            config,
            self.seeds,
            self.contenders,
            points=self.points,
            shuffles=self.shuffles,
            smaller=self.smaller,
            grid=self.grid,
        )


def machine_name(machine: str) -> str:
    """A machine's name as folders have it."""
    return Path(machine).stem if machine.endswith(".toml") else machine
