"""Settings of a training run, each explained, and all checked in one place.

PyTorch is not needed to write settings down, so nothing here loads it before it must.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from accel_models.errors import InputError, quoted
from accel_models.precision import EXIT, parse_choices
from accel_models.seeds import checked_seed
from accel_models.workloads.cifar_resnet import checked_widths
from dfs_hw.training.faults import FAULTS, named_faults

if TYPE_CHECKING:
    from dfs_hw.networks import Design

OPTIONS = {
    "controller": ("sign", "hinge", "pi", "paper"),
    "estimator": ("straight-through", "gumbel"),
    "schedule": ("cosine", "step"),
    "norm": ("running", "batch"),
    "gate_start": ("taught", "biased"),
    "exits_on": ("static", "supernet"),
}
"""Names that a setting can have, by setting, where no registry has them."""


BY_TABLE = ("confidence", "error")
"""Beginnings of the names of gates that keep a table, which no gradient teaches."""


class StageLength(NamedTuple):
    """How long a stage is."""

    steps: int
    """Steps in all."""
    epoch_steps: int
    """Steps between two validations; the last epoch may be shorter."""


@dataclass(frozen=True)
class TrainConfig:
    """Everything that shapes a training run.

    Equal settings give identical networks on one CPU with one number of threads. The defaults are
    the recipe for the bundled digits, which takes a minute or two on two cores; they were chosen on
    validation images of the digits, seeds 0 to 2. "DFS" is Shen et al., AAAI 2020: its released
    code where a constant is named. A stage that has both epochs and steps goes by its steps, if
    they are above 0.

    Raises:
        InputError: if a setting is of the wrong kind, out of its range, or contradicts another.
    """

    data: str = "digits"
    """Data set, see `load_dataset`: ``digits``, ``cifar10``, ``cifar100`` or ``folder:PATH``. The
    default is bundled, and so needs no download."""
    network: str = "resnet14"
    """Architecture, see `build_network`: ``resnet8``, ``resnet14``, ``resnet20``, ``resnet38``, or
    one that was registered. The default suits the small digits; DFS has ``resnet38``."""
    widths: tuple[int, ...] = (16, 32, 64)
    """Channels of the three groups of residual blocks, each at least 1. The default is that of
    ResNets for CIFAR-10 (He et al. 2016, section 4.2), as in DFS."""
    choices: str = "skip,2,4,8"
    """What every block may do, with commas between: ``skip``, bits, weight/activation bits, or
    ``full`` for floating point. The default has widths of Bit Fusion; ``skip,8`` is SkipNet's
    choice, ``4/3,4/4,4/6`` the kind that DFQ has (FracTrain, Fu et al., NeurIPS 2020)."""
    accelerator: str = "bitfusion"
    """Machine that charges for the choices: a name of the library, or a TOML file."""
    metric: str = "energy"
    """Quantity that the budget limits: one of `metrics.budgeted` on the accelerator, such as
    ``energy`` or ``latency``, or ``paper``, the mean of (b/32)^2 over the blocks, which DFS counts
    and no accelerator charges."""
    budget: str = "0.5"
    """Cost per input to keep to: a share of the highest precision's (``0.5``, ``50%``) or an amount
    (``45uJ``), for the mean over inputs or a percentile (``45uJ@p95``); see `Budget.parse`. Must be
    within reach of the choices. Results on the digits are reported at the default half."""

    gate: str = "lstm"
    """Kind of gate, one of `dfs_hw.gates.GATES`: ``lstm`` decides block after block (DFS),
    ``feedforward`` has no memory, ``upfront`` decides all blocks before the first runs;
    ``confidence`` goes by what the last exit believes, with thresholds in place of stages 2 and 3,
    as do ``confidence-margin`` and ``confidence-entropy``; ``error`` goes by what narrower choices
    are estimated to change, with prices in place of these stages."""
    exits: str = "*"
    """Blocks at which inputs may leave, where choices have ``exit``: names or patterns, with commas
    between."""
    floor: float = 0.0
    """Accuracy on validation inputs, 0 to 1, that a gate that goes by confidence or by error is to
    keep at least cost, in place of the budget; 0 keeps to the budget."""
    exits_on: str = "static"
    """What network a gate that goes by confidence leaves early: ``static``, of those of one width
    each the one that does best by the budget or the floor; ``supernet``, one of all widths, in
    which inputs that stay may go on at a wider one."""
    quantizer: str = "normal"
    """Kind of quantiser, one of `dfs_hw.quantize.QUANTIZERS`: ``normal`` has the least squared
    error on a normal distribution; ``minmax`` is that of DFS, ``lsq`` learns its steps, and
    ``nested`` makes low-bit weights a prefix of the high-bit ones."""
    first_block: bool = False
    """Whether the first block is decided too, from the stem's output. In DFS it always runs."""
    knob: bool = False
    """Whether the gates take the price of cost as an input. The network is then trained at all
    prices, for no budget; the budget says at which of them it is left. Does not go with
    controller ``paper``."""
    faults: tuple[str, ...] = ()
    """Faults of the released code of DFS to reproduce, of `dfs_hw.training.faults.FAULTS` and
    `dfs_hw.networks.FAULTS`; ``("all",)`` stands for every one. By default none."""

    backbone_epochs: int = 15
    """Epochs of stage 1, at least 0; 0 takes the network's weights as they are."""
    supernet_epochs: int = 10
    """Epochs between stages 1 and 2 in which every block runs at a choice drawn for each step, at
    least 0, so that all precisions are trained before gates choose among them (Guo et al., ECCV
    2020); 0 leaves them out, as DFS does: on the digits, stage 3 by running statistics was then 2
    points less accurate than by the batch's."""
    gate_epochs: int = 1
    """Epochs of stage 2, where gates are taught, at least 1."""
    exit_epochs: int = 10
    """Epochs in which exits are trained on a network that stays as it is, before stage 2; at least
    1. They take a third of the time of others: nothing goes back through the network."""
    joint_epochs: int = 10
    """Epochs of stage 3, at least 1. Static baselines have as many, and those of the supernet."""
    backbone_steps: int = 0
    """Steps of stage 1, which go before its epochs if above 0; 64,000 in DFS."""
    supernet_steps: int = 0
    """Steps of the supernet, which go before its epochs if above 0."""
    gate_steps: int = 0
    """Steps of stage 2, which go before its epochs if above 0; 2,000 in the README of DFS."""
    joint_steps: int = 0
    """Steps of stage 3, which go before its epochs if above 0; 64,000 in DFS."""
    epoch_steps: tuple[int, ...] = (0, 0, 0)
    """Steps between two validations in stages 1, 2 and 3, each at least 0; 0 is a pass over the
    data, as it always is for the supernet. DFS validates every 500, 390 and 390 steps."""

    backbone_lr: float = 0.1
    """Learning rate that stage 1 starts from, above 0; the usual one of ResNets (He et al. 2016,
    section 4.2), as in DFS."""
    supernet_lr: float = 0.05
    """Learning rate that the supernet starts from, and static baselines where there is one; above
    0. Half of stage 1's, which has trained the highest precision already."""
    joint_lr: float = 0.01
    """Learning rate that all but the gates start from in stage 3, and static baselines where there
    is no supernet; above 0. The same in the README of DFS; with running statistics 0.03 diverged
    on the digits."""
    gate_lr: float = 0.1
    """Learning rate that gates start from in stages 2 and 3, above 0. In the README of DFS 0.01."""
    exit_lr: float = 0.1
    """Learning rate that exits start from, before stage 2 and in stage 3, above 0."""
    schedule: str = "cosine"
    """Way in which learning rates fall: ``cosine`` to zero (Loshchilov & Hutter, ICLR 2017);
    ``step``, as in DFS, to a tenth at 1/2 and a hundredth at 3/4 of stages 1 and 3, and not at all
    in stage 2."""
    nesterov: bool = True
    """Whether momentum, which is 0.9, looks ahead. In DFS it does not."""
    weight_decay: float = 5e-4
    """Decay per step of what decays, relative to itself and to the learning rate; at least 0. In
    DFS 1e-4."""
    decay_all: bool = False
    """Whether biases, batch norms, quantisers and gates decay too, not only weights. In DFS they
    do, which pulls every decision towards a tie."""
    batch: int = 64
    """Images a step, over all processes together, at least 1; all images if there are fewer. In
    DFS 128; the digits are few."""

    controller: str = "sign"
    """Kind of controller that holds training to the budget, see `dfs_hw.budgets.controllers`:
    ``sign``, ``hinge`` or ``pi``; ``paper`` is the sign switch as DFS has it."""
    beta: float = 0.3
    """Strength the controller starts from, above 0: loss at a relative cost of 1. The default is
    gentle: the sign switch strengthens itself while it is off target. For ``paper`` it is loss
    where costs summed over the batch and the blocks come to 1: 1e-5 in the released code."""
    top_price: float = 1.0
    """Loss, at a relative cost of 1, that the dearest price of a gate with a knob stands for; above
    0. Only with ``knob``."""
    estimator: str = "straight-through"
    """Way in which gates get gradients: ``straight-through`` past the largest logit, as in DFS;
    ``gumbel`` draws their choices for the first 80 % of stage 3."""
    temperature: float = 1.0
    """Temperature of the softmax that gates learn through where choices are drawn (estimator
    ``gumbel``), above 0. The default is the plain softmax."""
    tries: float = 0.0
    """Branches that are tried per input and block beside the chosen one, for the gates' gradient in
    stage 3, on average at most; at least 0. Above 0 it is faster, and right on average (see
    `dfs_hw.gates.trials`); 0 tries them all, which makes it exact. Goes with norm ``running``."""
    supervised: float = 0.0
    """Share of each batch of stage 3, 0 to 1, on which all choices of one block, drawn for each
    step, are tried: its gate learns which had least loss and cost together, at the price that cost
    has then (after Muqeeth et al. 2022); 0 tries none. For gates that learn."""
    shaping: float = 0.0
    """Weight at the start of stage 3, from which it falls to zero, of a prior by which the gates
    tell the inputs of a batch apart (batch-shaping, Bejnordi et al., ICLR 2020); at least 0. For
    gates that learn and have no knob, whose prices tell inputs apart already."""
    distill: float = 0.0
    """Weight of the divergence from the backbone's predictions after stage 1 (Hinton et al. 2015),
    relative to the cross entropy; at least 0. 0, as in DFS, leaves it out."""
    norm: str = "running"
    """Statistics that batch norms go by in stage 3: ``running`` ones, so that each input runs only
    the branch it chose and is the same in training and inference, or those of the ``batch``, as in
    DFS, which needs all branches for all inputs."""
    gate_start: str = "taught"
    """Way in which gates come to ask for the highest precision before stage 3: ``taught`` by stage
    2, as in DFS, or ``biased`` from the start."""
    feasibility: bool = True
    """Whether the gates' logits are shifted at the end until the validation split is within 2 % of
    the budget, unless that costs accuracy; see `meet_budget`. DFS has nothing like it."""
    amp: bool = False
    """Whether forward passes run in bfloat16 where that is safe. Operands above 8 bits are rounded
    to its 8 significant bits, so it suits choices up to 8. A CPU without bfloat16 arithmetic, which
    would imitate it ten times as slowly, computes in float32 and says so."""
    seed: int = 0
    """Seed of splits, degradation of digits, initial weights, order and augmentation; at least
    0."""

    def __post_init__(self) -> None:
        _check(self)
        object.__setattr__(self, "faults", named_faults(self.faults))

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> TrainConfig:
        """Read what `dataclasses.asdict` or `plain` has written, also by way of JSON.

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
        """Faults of training, which leave the network as it is."""
        return frozenset(self.faults) & FAULTS.keys()

    def design(self) -> Design:
        """The way the network is built, beside its architecture and choices."""
        from dfs_hw.networks import Design

        own = tuple(fault for fault in self.faults if fault not in FAULTS)
        leaving = any(choice.exits for choice in parse_choices(self.choices))
        exits = tuple(word.strip() for word in self.exits.split(",")) if leaving else ()
        return Design(self.gate, self.quantizer, self.first_block, self.knob, own, exits)

    def without_exits(self) -> TrainConfig:
        """Settings of the same training without exits; an LSTM decides where a table did."""
        kept = ",".join(str(one) for one in parse_choices(self.choices) if not one.exits)
        gate = "lstm" if self.gate.startswith(BY_TABLE) else self.gate
        return replace(self, choices=kept, gate=gate, exits="*", floor=0.0, exits_on="static")

    def length(self, stage: str, pass_steps: int) -> StageLength:
        """How long a stage is.

        Args:
            stage: backbone, supernet, exits, gate, joint, or static for a baseline.
            pass_steps: steps of one pass over the data.
        """
        if stage == "exits":
            return StageLength(self.exit_epochs * pass_steps, pass_steps)
        if stage == "static":
            supernet, joint = (self.length(part, pass_steps) for part in ("supernet", "joint"))
            return StageLength(supernet.steps + joint.steps, joint.epoch_steps)
        epoch = dict(zip(("backbone", "gate", "joint"), self.epoch_steps, strict=True)).get(stage)
        epoch = epoch or pass_steps
        steps = getattr(self, f"{stage}_steps") or getattr(self, f"{stage}_epochs") * epoch
        return StageLength(steps, epoch)


def plain(config: TrainConfig) -> dict[str, Any]:
    """The settings as JSON has them."""
    return {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in asdict(config).items()
    }


KINDS = {
    bool: "which is true or false",
    int: "which is a whole number",
    float: "which is a number",
    str: "which is text",
    tuple: "which is a list",
}
"""What a setting of each type is, in a sentence."""

_OF_TABLES = {"floor": BY_TABLE, "exits_on": ("confidence",)}
"""Settings of gates that keep a table alone, and of which."""
_OF_LEARNED = ("supervised", "shaping")
"""Settings of gates that learn alone."""
_LEAST = {
    **dict.fromkeys(("gate_epochs", "joint_epochs", "exit_epochs", "batch"), 1),
    **dict.fromkeys(("backbone_epochs", "supernet_epochs"), 0),
    **dict.fromkeys(("backbone_steps", "supernet_steps", "gate_steps", "joint_steps"), 0),
    **dict.fromkeys(("weight_decay", "distill", "tries", "floor", *_OF_LEARNED), 0),
}
"""Lowest value of the numbers that have one."""
MOST = 10**9
"""Largest number that a setting can have."""
_ABOVE_0 = (
    *("backbone_lr", "supernet_lr", "joint_lr", "gate_lr", "exit_lr"),
    *("beta", "temperature", "top_price"),
)


def _check(config: TrainConfig) -> None:
    """Refuse settings of the wrong kind, out of their range, or against each other."""
    for field in fields(config):
        _check_type(field.name, getattr(config, field.name), field.default)
    _check_numbers(config)
    for name, known in OPTIONS.items():
        if (value := getattr(config, name)) not in known:
            raise InputError(f"{name} must be one of {', '.join(known)}, got '{value}'")
    if config.knob and config.controller == "paper":
        raise InputError(
            "a network with a knob is trained at all prices, without a controller: "
            "controller 'paper' cannot go with knob"
        )
    if config.exits != "*" and EXIT not in parse_choices(config.choices):
        raise InputError(
            f"exits has no effect with choices={config.choices}: it goes with 'exit' among them"
        )
    by_table = config.gate.startswith(BY_TABLE)
    fits = {name: config.gate.startswith(families) for name, families in _OF_TABLES.items()}
    for name, fitting in (fits | dict.fromkeys(_OF_LEARNED, not by_table)).items():
        if not fitting and getattr(config, name) != getattr(TrainConfig, name):
            families = " or ".join(_OF_TABLES.get(name, ()))
            goes = f"gate={families}" if families else "a gate that learns"
            raise InputError(f"{name} has no effect with gate={config.gate}: it goes with {goes}")
    if config.shaping and config.knob:
        raise InputError(
            "gates with a knob tell inputs apart by their prices: shaping goes with knob=false"
        )
    for name, what in (("floor", "an accuracy"), ("supervised", "a share of a batch")):
        if getattr(config, name) > 1:
            raise InputError(f"{name} is {what}, at most 1, got {quoted(getattr(config, name))}")
    if config.tries and config.norm == "batch":
        raise InputError(
            "norms that go by the batch need every branch for every input: "
            "tries goes with norm=running"
        )


def _check_type(name: str, value: Any, default: Any) -> None:
    kind = type(default)
    wanted: Any = (int, float) if kind is float else kind
    fits = isinstance(value, wanted) and (kind is bool or not isinstance(value, bool))
    if fits and kind is tuple and name != "faults":
        fits = all(type(item) is int for item in value)
    if not fits:
        raise InputError(f"{name} is a setting {KINDS[kind]}, not {quoted(value)}")


def _check_numbers(config: TrainConfig) -> None:
    for name, lowest in _LEAST.items():
        value = getattr(config, name)
        if not lowest <= value:
            raise InputError(f"{name} must be at least {lowest}, got {quoted(value)}")
    for name in _ABOVE_0:
        if not getattr(config, name) > 0:
            raise InputError(f"{name} must be above 0, got {quoted(getattr(config, name))}")
    for name in (*_LEAST, *_ABOVE_0):
        if getattr(config, name) > MOST:
            raise InputError(f"{name} must be at most {MOST}, got {quoted(getattr(config, name))}")
    checked_seed(config.seed)
    if len(config.widths) != 3:
        raise InputError(f"widths must be three numbers of channels, got {quoted(config.widths)}")
    checked_widths(config.widths)
    if len(config.epoch_steps) != 3 or not all(0 <= steps <= MOST for steps in config.epoch_steps):
        raise InputError(
            "epoch_steps must be three numbers of steps, for backbone, gates and joint training, "
            f"0 for a pass over the data, got {quoted(config.epoch_steps)}"
        )


def _tuple_if_list(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


DEFAULTS: Mapping[str, Any] = plain(TrainConfig())
"""All settings as they are by default. What an older version wrote down does not name those that
came later: a new one has what went before as its default."""
