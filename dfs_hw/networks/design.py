"""How a dynamic network computes and decides, beside its architecture and its choices."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from accel_models.errors import InputError

FAULTS = {
    "stochastic-activations": "activations are rounded with random dither, in training and test",
    "inverted-ema": "activation ranges are 0.1 old + 0.9 new, practically the last batch's",
    "untrained-ranges": "activation ranges start at zero, so an untrained width yields noise",
    "shared-norm": "one batch norm for all precisions, updated by each of them in every step",
    "free-shortcut": "a skipped block that changes shape runs its shortcut without the ReLU",
    "ties-run-both": "choices of exactly equal probability all run, and are charged",
}
"""What the released code of DFS does beside the evident intent, by name, as far as it is in the
network; those of training are `dfs_hw.training.config.FAULTS`."""


@dataclass(frozen=True)
class Design:
    """Design of a dynamic network.

    Attributes:
        gate: family of the gates, one of `dfs_hw.gates.GATES`.
        quantizer: family of the quantisers, one of `dfs_hw.quantize.QUANTIZERS`.
        first_block: whether the first block is decided too, from the stem's output.
        knob: whether the gates take the price of cost as an input.
        faults: which of `FAULTS` to reproduce.
        exits: names of units, or patterns of `fnmatch`, at which inputs may leave; all that are
            decided where there are none and the choices have ``exit``.
    """

    gate: str = "lstm"
    quantizer: str = "normal"
    first_block: bool = False
    knob: bool = False
    faults: tuple[str, ...] = ()
    exits: tuple[str, ...] = field(default=(), repr=False)  # what is shown tells trainings apart

    def __post_init__(self) -> None:
        object.__setattr__(self, "faults", tuple(sorted(self.faults)))
        object.__setattr__(self, "exits", tuple(self.exits))
        for fault in self.faults:
            if fault not in FAULTS:
                raise InputError(
                    f"no fault of the released code is called '{fault}': "
                    f"choose from {', '.join(FAULTS)}"
                )

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Design:
        """Design that `dataclasses.asdict` made plain data of, also by way of JSON.

        Raises:
            InputError: if an option is unknown.
        """
        known = {one.name for one in fields(cls)}
        if unknown := sorted(set(data) - known):
            raise InputError(
                f"no design option is called '{unknown[0]}': choose from {', '.join(sorted(known))}"
            )
        return cls(**{**data, "faults": tuple(data.get("faults", ()))})
