"""What a comparison is asked to do."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

from accel_models.errors import InputError, listed
from accel_models.metrics import additive, names
from accel_models.precision import parse_choices
from accel_models.seeds import checked_seed
from dfs_hw.baselines.smaller import usual_sizes
from dfs_hw.training.config import TrainConfig, plain

CONTENDER_FAMILIES = {
    "static": "one width for all blocks and inputs, for every width of the choice set: ordinary "
    "quantisation-aware training",
    "best-static": "one choice for each block, the same for all inputs, of least validation loss "
    "within the budget: proposed by the integer program of HAWQ-V3 (Yao et al., ICML 2021) over "
    "measured sensitivities and simulated costs, judged as a whole",
    "smaller": "networks of fewer blocks or fewer channels, at one width for all blocks and "
    "inputs, for every width of the choice set",
    "dfs": "DFS (Shen et al., AAAI 2020): an LSTM decides block after block",
    "skipnet": "the choices of SkipNet (Wang et al., ECCV 2018), skip or run; trained like DFS, "
    "without reinforcement learning",
    "dfq": "the choices of DFQ in FracTrain (Fu et al., NeurIPS 2020): 4-bit weights and "
    "activations of several widths, no skipping; trained like DFS",
    "feedforward": "a gate without memory for each block, after SkipNet's feed-forward gates",
    "upfront": "one gate that decides all blocks before the first runs, after DQNet (Liu et al., "
    "CVPR 2022)",
    "knob": "gates that take the price of cost as an input, trained once for all budgets; as in "
    "conditional training over Lagrange multipliers (Dosovitskiy and Djolonga, ICLR 2020)",
    "supervised": "DFS whose gates learn besides which choice was right, by trying all on a share "
    "of each batch; after supervised routing (Muqeeth et al. 2022)",
    "shaped": "DFS whose gates are held to tell the inputs of a batch apart, by a prior that fades "
    "(batch-shaping, Bejnordi et al., ICLR 2020)",
    "static-exits": "one width for all blocks, the static network itself, which inputs leave by "
    "the confidence of its exits: these are trained on it, and it stays as it is",
    "smaller-exits": "exits on every smaller network: a larger one left early is to be worth "
    "more than a smaller one that is, too",
    "exits": "inputs leave at exits, and those that stay run wider, by the confidence of the last "
    "exit; thresholds are settled once for all budgets",
    "error": "blocks run narrower where an estimate of what that changes, from the size of their "
    "input, is worth less than it saves (after DP-LLM, Kwon et al., 2025); nothing is trained for "
    "it beyond the network of all widths",
    "dfs-exits": "DFS whose choices have exits: its LSTM says where an input leaves",
    "cascade": "two of the static networks, the dearer one only for inputs of which the cheaper "
    "one is not sure: its largest softmax probability is below a threshold; nothing is trained for "
    "it",
}
"""Kinds of contender, and where each is from."""
STATIC = ("static", "best-static", "smaller")
"""Kinds that do the same for all inputs."""
COMPOSED = ("cascade",)
"""Kinds made of other contenders, for which nothing is trained."""
TAUGHT_BY = {"supervised": "supervised", "shaped": "shaping"}
"""The setting of training by which gates are taught, for kinds of which that is the difference."""
USUAL = (
    *("static", "best-static", "smaller", "dfs", "skipnet", "dfq", "knob"),
    *("static-exits", "exits", "cascade"),
)


@dataclass(frozen=True)
class Study:
    """Which contenders to train, for which budget, how often, and what to ask of them."""

    config: TrainConfig
    """Settings of DFS, from which the others differ as little as they can; the seed is not used."""
    seeds: tuple[int, ...]
    """Seeds, for each of which everything is trained once."""
    families: tuple[str, ...] = USUAL
    """Kinds of contender that take part, of `CONTENDER_FAMILIES`."""
    dfq_choices: str = "4/3,4/4,4/6"
    """Choices of DFQ, of which those count that the machine supports."""
    points: tuple[float, ...] = (0.75, 1.5)
    """Multiples of the budget that DFS is trained for too, to stand beside the knob's curve."""
    prices: tuple[float, ...] = tuple(number / 10 for number in range(11))
    """Prices of cost, 0 to 1, at which the network with a knob is looked at."""
    shuffles: int = 5
    """How often decisions are dealt to other inputs."""
    smaller: tuple[str, ...] | None = None
    """Smaller networks, as `smaller.Size.of` reads them: a network's name, or a multiple of the
    channels such as ``x0.5``. None for those that are known of the network."""
    grid: tuple[float, ...] = (0.5, 0.75, 1.25, 1.5)
    """Multiples of the budget, beside 1, that whoever has thresholds or a knob is set to."""

    @property
    def sizes(self) -> tuple[str, ...]:
        """Smaller networks that take part."""
        if "smaller" not in self.families:
            return ()
        return usual_sizes(self.config.network) if self.smaller is None else self.smaller

    def to_dict(self) -> dict[str, Any]:
        """All that tells it from others, as plain data for JSON."""
        config = {name: value for name, value in plain(self.config).items() if name != "seed"}
        own = {one.name: getattr(self, one.name) for one in fields(self) if one.name != "config"}
        return config | own | {"smaller": self.sizes}

    def __post_init__(self) -> None:
        _check(self.seeds and _differ(self.seeds), "seeds", self.seeds)
        for seed in self.seeds:
            checked_seed(seed, "seeds of a comparison: each")
        for name in ("points", "grid"):
            multiples = getattr(self, name)
            usable = all(0 < multiple < math.inf for multiple in multiples)
            named = _differ([f"{multiple:g}" for multiple in multiples])  # as folders are called
            _check(usable and named, name, multiples)
        _check(_differ(self.smaller or ()), "smaller", self.smaller)
        possible = all(0 <= price <= 1 for price in self.prices)
        _check(possible and _differ(self.prices), "prices", self.prices)
        _check(self.shuffles >= 1, "shuffles", self.shuffles)
        _check(self.families and _differ(self.families), "contenders", self.families)
        for family in self.families:
            if family not in CONTENDER_FAMILIES:
                known = ", ".join(CONTENDER_FAMILIES)
                raise InputError(f"no contender is called '{family}': choose from {known}")
        try:
            _check(len(parse_choices(self.dfq_choices)) > 1, "dfq_choices", self.dfq_choices)
        except InputError as error:
            raise InputError(f"choices of DFQ: {error}") from error
        self._check_use()
        summed = additive()  # what the integer program can add up
        if self.config.metric not in {metric.name for metric in summed}:
            raise InputError(
                f"contenders are matched in {names(summed)} on a machine, not in "
                f"{self.config.metric}"
            )

    def _check_use(self) -> None:
        """Refuse what was asked for and would have no effect."""
        if self.config.floor:
            raise InputError(
                "floor has no effect in a comparison, whose contenders are matched at a budget"
            )
        if self.config.exits_on != TrainConfig.exits_on:
            raise InputError(
                "exits_on has no effect in a comparison, which has the contenders 'static-exits' "
                "and 'exits'"
            )
        leaving = any(choice.exits for choice in parse_choices(self.config.choices))
        gates = ("lstm", "confidence") if leaving else ("lstm",)  # as recipes have them
        if self.config.gate not in gates:
            raise InputError(
                f"gate has no effect in a comparison, whose contenders have theirs (feedforward, "
                f"upfront, error): leave it at {gates[-1]}, got {self.config.gate}"
            )
        if self.config.knob:
            raise InputError(
                "knob has no effect in a comparison, which has the contender 'knob': leave it out"
            )
        if "smaller-exits" in self.families and "smaller" not in self.families:
            raise InputError(
                "smaller-exits are networks of the contender 'smaller' with exits: it has to take "
                "part too"
            )
        for name, needed in _GOES_WITH.items():
            value, usual = getattr(self, name), type(self).__dataclass_fields__[name].default
            missing = [family for family in needed if family not in self.families]
            if missing and value and value != usual:
                raise InputError(
                    f"{name} of a comparison, {value}, have no effect without the contender "
                    f"'{missing[0]}': it is not among {listed(self.families)}"
                )
        for family, name in TAUGHT_BY.items():
            if getattr(self.config, name) and family not in self.families:
                raise InputError(
                    f"{name} of a comparison has no effect without the contender '{family}': it is "
                    f"not among {listed(self.families)}"
                )


_GOES_WITH = {
    "dfq_choices": ("dfq",),
    "points": ("dfs", "knob"),
    "prices": ("knob",),
    "smaller": ("smaller",),
}
"""Contenders that settings are for."""
_WANTED = {
    "seeds": "different, and at least one",
    "points": "different multiples of the budget, above 0 and finite",
    "grid": "different multiples of the budget, above 0 and finite",
    "smaller": "different",
    "prices": "different, between 0 and 1",
    "shuffles": "at least 1",
    "contenders": "at least one kind of contender, none twice",
    "dfq_choices": "at least two, for gates to choose from",
}


def _differ(values: Sequence[object]) -> bool:
    return len(set(values)) == len(values)


def _check(holds: object, name: str, value: object) -> None:
    if not holds:
        raise InputError(f"{name} of a comparison must be {_WANTED[name]}, got {value}")
