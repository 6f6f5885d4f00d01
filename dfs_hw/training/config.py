"""Settings of a training run, and recipes known to work.

PyTorch is not needed to write settings down, so nothing here loads it before it must.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any, NamedTuple

from accel_models.errors import InputError

if TYPE_CHECKING:
    from dfs_hw.networks import Design

FAULTS = {
    "with-replacement": "every step draws its batch from a fresh permutation of all images, "
    "so there are no passes over the data",
    "carried-best": "stage 3 keeps an epoch only if it is more accurate than the backbone and all "
    "epochs before, whatever it costs",
    "last-batch-counts-alike": "the validation cost averages batches, so the inputs of a short "
    "last one count for more",
    "selects-on-test": "epochs are chosen by the test split",
}
"""What the released code of DFS does against its evident intent when it trains; those in the
network are `dfs_hw.networks.FAULTS`."""

OPTIONS = {
    "controller": ("sign", "hinge", "pi", "paper"),
    "estimator": ("straight-through", "gumbel"),
    "schedule": ("cosine", "step"),
    "norm": ("running", "batch"),
    "gate_start": ("taught", "biased"),
}
"""What the settings with names of their own can be."""


class StageLength(NamedTuple):
    """How long a stage is."""

    steps: int
    """In all."""
    epoch_steps: int
    """Between two validations; the last epoch may be shorter."""


@dataclass(frozen=True)
class TrainConfig:
    """Everything that shapes a training run.

    Equal settings give identical networks on one CPU with one number of threads. The defaults are
    the recipe for the bundled digits, which takes a minute or two on two cores.
    """

    data: str = "digits"
    """See `load_dataset`."""
    network: str = "resnet14"
    """See `build_network`."""
    widths: tuple[int, ...] = (16, 32, 64)
    """Channels of the network's three stages."""
    choices: str = "skip,2,4,8"
    """Of every block: ``skip``, bits, weight/activation bits, or ``full`` for floating point.
    ``skip,8`` is SkipNet's choice, and ``4/3,4/4,4/6`` the kind that DFQ (FracTrain) has."""
    accelerator: str = "bitfusion"
    metric: str = "energy"
    """What the budget limits: one of `metrics.budgeted` on the accelerator, or ``paper``: the
    mean of (b/32)^2 over the blocks, which DFS counts and no accelerator charges."""
    budget: str = "0.5"
    """See `Budget.parse`."""

    gate: str = "lstm"
    quantizer: str = "normal"
    first_block: bool = False
    """Whether the first block is decided too, from the stem's output."""
    knob: bool = False
    """Whether the gates take the price of cost as an input. The network is then trained at all
    prices, for no budget; the budget says at which of them it is left."""
    faults: tuple[str, ...] = ()
    """Which faults of the released code to reproduce, of `FAULTS` and `dfs_hw.networks.FAULTS`;
    ``("all",)`` stands for every one."""

    backbone_epochs: int = 15
    """Epochs of stage 1; 0 takes the network's weights as they are."""
    supernet_epochs: int = 10
    """Epochs between stages 1 and 2 in which every block runs at a choice drawn for each step, so
    that all precisions are trained before gates choose among them; 0 leaves them out, as DFS."""
    gate_epochs: int = 1
    """Epochs of stage 2, where gates are taught."""
    joint_epochs: int = 10
    """Epochs of stage 3. Static baselines have as many, and those of the supernet."""
    backbone_steps: int = 0
    supernet_steps: int = 0
    gate_steps: int = 0
    joint_steps: int = 0
    """Lengths of the stages in steps, instead of epochs, if above 0."""
    epoch_steps: tuple[int, ...] = (0, 0, 0)
    """Steps between two validations, for each of the three stages; 0 is a pass over the data, as it
    is for the supernet."""

    backbone_lr: float = 0.1
    supernet_lr: float = 0.05
    """Of the supernet, and of static baselines where there is one."""
    joint_lr: float = 0.01
    """Of all but the gates in stage 3, and of static baselines where there is no supernet."""
    gate_lr: float = 0.1
    """Of the gates in stages 2 and 3."""
    schedule: str = "cosine"
    """How learning rates fall: ``cosine`` to zero; ``step`` to a tenth at 1/2 and again at 3/4 of
    stages 1 and 3, and not at all in stage 2."""
    nesterov: bool = True
    weight_decay: float = 5e-4
    decay_all: bool = False
    """Whether biases, batch norms, quantisers and gates decay too, not only weights."""
    batch: int = 64
    """Images a step, over all processes together."""

    controller: str = "sign"
    """What holds training to the budget, see `dfs_hw.budgets.controllers`; ``paper`` is the sign
    switch as DFS has it."""
    beta: float = 0.3
    """Strength the controller starts from: loss at a relative cost of 1. For ``paper`` it is that
    of the released code: loss where costs summed over the batch and the blocks come to 1."""
    top_price: float = 1.0
    """Loss, at a relative cost of 1, that the dearest price of a gate with a knob stands for."""
    estimator: str = "straight-through"
    """How gates get gradients; ``gumbel`` draws their choices for the first 80 % of stage 3."""
    temperature: float = 1.0
    """Of the softmax that gates learn through where choices are drawn."""
    tries: float = 0.0
    """Branches that are tried per input and block beside the chosen one, for the gates' gradient in
    stage 3, on average at most: faster, and right on average (see `dfs_hw.gates.trials`). 0
    tries them all, which makes it exact."""
    distill: float = 0.0
    """Weight of the divergence from the backbone's predictions in stage 3; 0 leaves it out."""
    norm: str = "running"
    """What batch norms in stage 3 normalise by: their ``running`` statistics, so that each input
    runs only the branch it chose, or those of the ``batch``, which needs all branches for all."""
    gate_start: str = "taught"
    """How gates come to ask for the highest precision before stage 3: ``taught`` by stage 2, or
    ``biased`` from the start."""
    feasibility: bool = True
    """Whether the gates' logits are shifted at the end until the validation split is within 2 % of
    the budget, see `meet_budget`."""
    amp: bool = False
    """Whether the forward pass runs in bfloat16 where that is safe."""
    seed: int = 0
    """Drives splits, degradation of digits, initial weights, order and augmentation."""

    def __post_init__(self) -> None:
        for field in fields(self):
            _check_type(field.name, getattr(self, field.name), field.default)
        _check_numbers(self)
        for name, known in OPTIONS.items():
            if getattr(self, name) not in known:
                raise InputError(
                    f"{name} must be one of {', '.join(known)}, got '{getattr(self, name)}'"
                )
        if self.faults:
            object.__setattr__(self, "faults", _faults(self.faults))
        if self.knob and self.controller == "paper":
            raise InputError(
                "a network with a knob is trained at all prices, without a controller: "
                "controller 'paper' cannot go with knob"
            )
        if self.tries and self.norm == "batch":
            raise InputError(
                "norms that go by the batch need every branch for every input: "
                "tries goes with norm=running"
            )

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> TrainConfig:
        """Inverse of `dataclasses.asdict`, also by way of JSON.

        Raises:
            InputError: if a setting is unknown, or what it is set to makes no sense.
        """
        known = {field.name for field in fields(cls)}
        unknown = sorted(set(data) - known)
        if unknown:
            raise InputError(
                f"no setting of training is called '{unknown[0]}': choose from "
                + ", ".join(sorted(known))
            )
        return cls(**{key: _tuple_if_list(value) for key, value in data.items()})

    @property
    def training_faults(self) -> frozenset[str]:
        """Those that are not the network's."""
        return frozenset(self.faults) & FAULTS.keys()

    def design(self) -> Design:
        """How the network is built, beside its architecture and choices."""
        from dfs_hw.networks import Design

        own = tuple(fault for fault in self.faults if fault not in FAULTS)
        return Design(self.gate, self.quantizer, self.first_block, self.knob, own)

    def length(self, stage: str, pass_steps: int) -> StageLength:
        """How long a stage is.

        Args:
            stage: backbone, supernet, gate, joint, or static for a baseline.
            pass_steps: of one pass over the data.
        """
        if stage == "static":
            supernet, joint = (self.length(part, pass_steps) for part in ("supernet", "joint"))
            return StageLength(supernet.steps + joint.steps, joint.epoch_steps)
        epoch = dict(zip(("backbone", "gate", "joint"), self.epoch_steps, strict=True)).get(stage)
        epoch = epoch or pass_steps
        steps = getattr(self, f"{stage}_steps") or getattr(self, f"{stage}_epochs") * epoch
        return StageLength(steps, epoch)


RECIPES: dict[str, dict[str, Any]] = {
    "digits": {},
    "cifar10": {
        "network": "resnet20",
        "backbone_epochs": 100,
        "supernet_epochs": 40,
        "joint_epochs": 20,
        "batch": 128,
        "weight_decay": 1e-4,
    },
}
"""What differs from the defaults of `TrainConfig`, by data set; others are taken for photographs
like those of CIFAR-10."""

PAPER_RECIPE: dict[str, Any] = {
    "network": "resnet38",
    "choices": "skip,8,10,12,14,16,full",
    "metric": "paper",
    "quantizer": "minmax",
    "backbone_steps": 64_000,
    "supernet_epochs": 0,
    "gate_steps": 2_000,
    "joint_steps": 64_000,
    "epoch_steps": (500, 390, 390),
    "backbone_lr": 0.1,
    "gate_lr": 0.01,
    "joint_lr": 0.01,
    "schedule": "step",
    "nesterov": False,
    "weight_decay": 1e-4,
    "decay_all": True,
    "batch": 128,
    "controller": "paper",
    "beta": 1e-5,
    "norm": "batch",
    "feasibility": False,
}
"""DFS as its released code and README train it. Full precision, which the gates compute in too, is
floating point; the code's faults come on top with ``faults=("all",)``."""

STYLES = ("modern", "paper")


def recipe(data: str = "digits", style: str = "modern", **changes: Any) -> TrainConfig:
    """Settings that suit a data set, with some of them changed.

    Args:
        data: see `load_dataset`.
        style: ``modern``, what worked best here, or ``paper``, DFS to the constant.
        changes: settings by name.

    Raises:
        InputError: if there is no such style or setting, or a setting makes no sense.
    """
    if style not in STYLES:
        raise InputError(f"no style of training is called '{style}': choose from modern, paper")
    settings = PAPER_RECIPE if style == "paper" else RECIPES.get(data, RECIPES["cifar10"])
    return TrainConfig.from_dict({"data": data, **settings, **changes})


def plain(config: TrainConfig) -> dict[str, Any]:
    """The settings as JSON has them."""
    return {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in asdict(config).items()
    }


def read_setting(text: str) -> tuple[str, Any]:
    """Name and value of a setting written as ``joint_lr=0.01``; several values by commas.

    Raises:
        InputError: if there is no such setting, or the value is not of its kind.
    """
    name, equals, value = text.partition("=")
    name, value = name.strip(), value.strip()
    kinds = {field.name: type(field.default) for field in fields(TrainConfig)}
    if not equals or name not in kinds:
        raise InputError(
            f"'{text}' sets nothing: write NAME=VALUE, the name one of {', '.join(kinds)}"
        )
    try:
        return name, _READ[kinds[name]](value)
    except (KeyError, ValueError) as error:
        raise InputError(f"'{value}' is no value for {name}, {_KINDS[kinds[name]]}") from error


def _words(text: str) -> tuple[Any, ...]:
    parts = [part.strip() for part in text.split(",") if part.strip()]
    return tuple(int(part) if part.isdecimal() else part for part in parts)


_READ: dict[type, Any] = {
    bool: {"yes": True, "true": True, "no": False, "false": False}.__getitem__,
    int: int,
    float: float,
    str: str,
    tuple: _words,
}
_KINDS = {
    bool: "which is true or false",
    int: "which is a whole number",
    float: "which is a number",
    str: "which is text",
    tuple: "which is a list",
}


def _check_type(name: str, value: Any, default: Any) -> None:
    kind = type(default)
    wanted: Any = (int, float) if kind is float else kind
    fits = isinstance(value, wanted) and (kind is bool or not isinstance(value, bool))
    if fits and kind is tuple and name != "faults":
        fits = all(type(item) is int for item in value)
    if not fits:
        raise InputError(f"{name} is a setting {_KINDS[kind]}, not {value!r}")


def _check_numbers(config: TrainConfig) -> None:
    least = {
        **dict.fromkeys(("gate_epochs", "joint_epochs", "batch"), 1),
        **dict.fromkeys(("backbone_epochs", "supernet_epochs"), 0),
        **dict.fromkeys(("backbone_steps", "supernet_steps", "gate_steps", "joint_steps"), 0),
        **dict.fromkeys(("seed", "weight_decay", "distill", "tries"), 0),
    }
    for name, lowest in least.items():
        value = getattr(config, name)
        if not lowest <= value < math.inf:
            raise InputError(f"{name} must be at least {lowest}, got {value}")
    for name in (
        "backbone_lr",
        "supernet_lr",
        "joint_lr",
        "gate_lr",
        "beta",
        "temperature",
        "top_price",
    ):
        if not 0 < getattr(config, name) < math.inf:
            raise InputError(f"{name} must be above 0, got {getattr(config, name)}")
    if len(config.widths) != 3 or min(config.widths) < 1:
        raise InputError(f"widths must be three numbers of channels, got {config.widths}")
    if len(config.epoch_steps) != 3 or min(config.epoch_steps) < 0:
        raise InputError(
            "epoch_steps must be three numbers of steps, for backbone, gates and joint training, "
            f"0 for a pass over the data, got {config.epoch_steps}"
        )


def _faults(wanted: tuple[str, ...]) -> tuple[str, ...]:
    """The faults by name, sorted; all of them for "all"."""
    from dfs_hw.networks import FAULTS as NETWORK_FAULTS

    known = {**NETWORK_FAULTS, **FAULTS}
    if tuple(wanted) == ("all",):
        return tuple(sorted(known))
    for fault in wanted:
        if fault not in known:
            raise InputError(
                f"no fault of the released code is called '{fault}': "
                f"choose from all, {', '.join(known)}"
            )
    return tuple(sorted(set(wanted)))


def _tuple_if_list(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
