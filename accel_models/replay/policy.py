"""What a replay charges beside the work itself: one option for each effect of deciding at run time.

What a machine's file says (`storage`: weight layout, stream width, residency) is in the cost table
already; here is what depends on neighbours, on time and on the batch.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from accel_models.errors import InputError, quoted
from accel_models.seeds import checked_seed

Prefetch = Literal["none", "modal", "planes", "oracle"]
Batching = Literal["single", "grouped", "max", "sorted"]
Arrivals = Literal["none", "poisson", "recorded"]
LEAST_LOAD = 1e-6
"""Share of time that a machine is busy, at least: below, what leaks meanwhile is all there is."""


@dataclass(frozen=True)
class Policy:
    """How a machine executes what a trace chose.

    Args:
        prefetch: what loads while a gate decides, into the half of the weight buffer that is free.
            ``none``: nothing, so the first block of weights is waited for. ``modal``: the first
            block of the unit's most frequent choice; after a wrong guess it was fetched in vain.
            ``planes``: bit planes of the widest choice's first block, from the top, until the
            decision is there; needs nested planes in DRAM. ``oracle``: the right block, a bound;
            also what a controller recovers that decides before the first unit, its own time apart.
        guess: index of the choice of each unit that ``modal`` fetches; by default the most frequent
            one of the trace.
        switches: whether the array waits `array.reconfiguration_cycles` when a layer's operands are
            of other widths than those of the layer executed before.
        batching: ``single``: every input alone. ``grouped``: of a batch, inputs that chose alike
            share a unit's run. ``max``: all run at the highest choice of the batch, which computes
            something else than the network did. ``sorted``: inputs are dealt to batches by what
            they cost alone, then grouped; a bound, as costs are not known beforehand.
        batch: inputs that run together; their latency is the batch's.
        arrivals: when inputs arrive. ``none``: as the machine asks for them. ``poisson``: at random
            at `load`. ``recorded``: as the trace's column ``arrival_s`` has it.
        load: of ``poisson``: share of time that the machine is busy.
        seed: of the random arrivals.
        idle_gating: whether leakage, and DRAM's background, are switched off while the machine
            waits for inputs.

    Raises:
        InputError: if options are out of range or contradict each other.
    """

    prefetch: Prefetch = "none"
    guess: tuple[int, ...] | None = None
    switches: bool = True
    batching: Batching = "single"
    batch: int = 1
    arrivals: Arrivals = "none"
    load: float = 0.5
    seed: int = 0
    idle_gating: bool = False

    def __post_init__(self) -> None:
        for name, kind in (("prefetch", Prefetch), ("batching", Batching), ("arrivals", Arrivals)):
            value = getattr(self, name)
            if value not in get_args(kind):
                known = ", ".join(get_args(kind))
                raise InputError(f"policy: {name} must be one of {known}, got {quoted(value)}")
        if self.guess is not None and self.prefetch != "modal":
            raise InputError("policy: a guess is only for prefetch = modal")
        checked_seed(self.seed, "policy: seed")
        if type(self.batch) is not int:
            raise InputError(f"policy: batch must be a whole number, got {quoted(self.batch)}")
        if self.batching == "sorted" and self.arrivals != "none":
            raise InputError("policy: inputs that arrive by themselves cannot be sorted beforehand")
        if self.batch < 1 or (self.batching == "single" and self.batch > 1):
            raise InputError(
                f"policy: batch = {self.batch} does not go with batching = {self.batching}"
            )
        if not (isinstance(self.load, int | float) and LEAST_LOAD <= self.load < 1):
            raise InputError(
                f"policy: load must lie between 0 and 1, at least {LEAST_LOAD:g}, "
                f"got {quoted(self.load)}"
            )

    @classmethod
    def off(cls) -> Policy:
        """Nothing but the work: what `simulate` charges, to the cycle and the bit."""
        return cls(switches=False)

    @property
    def bounds(self) -> tuple[str, ...]:
        """Why the figures are bounds rather than what a machine would do; empty if they are not."""
        reasons = {
            "oracle prefetch knows every decision beforehand": self.prefetch == "oracle",
            "running at the batch's highest choice computes something else than the network did: "
            "its accuracy is known only from a trace recorded so": self.batching == "max",
            "sorting by cost needs decisions that are not made yet": self.batching == "sorted",
        }
        return tuple(reason for reason, applies in reasons.items() if applies)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for output."""
        return asdict(self)
