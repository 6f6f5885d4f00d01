"""Arrays whose figures come from the one synthesis flow at 28 nm that several of them went through.

Only figures of one flow say what one array costs beside another: the same Bit Fusion element comes
to a fifth as much energy in the 45 nm synthesis released with it, scaled by process alone.
"""

from __future__ import annotations

from functools import cache
from typing import Annotated

from pydantic import Field, model_validator

from accel_models.accelerators.arrays.array import Array
from accel_models.energy.array import LEAKAGE_OF_AREA, ArrayFigures, leakage_of_area_mw
from accel_models.energy.psma import SYNTHESES, PsmaFigures, psma28_between, unit_cycle_pj
from accel_models.errors import InputError
from accel_models.precision import Precision
from accel_models.source import In, Source

STEPS = 200
"""Operations that a brick's or a lane's cycle is counted in: fine enough to tell the energies of
a full cycle at different widths apart within a quarter of a percent."""
LEVELS = (2, 4, 8)
"""Widths that were synthesised; others cost what the next wider does, wide ones what 8 bits do."""
NODE_NM = 28.0


class OneFlowArray(Array):
    """An array that was synthesised with others, if its file says so by `synthesis`.

    Energy of a MAC then goes with the precision as published, registers of inputs and outputs
    included: by the model of `energy.psma` they are 9 to 16 % of Bit Fusion's and BitBlade's, and 4
    to 6 % of Loom's at 8 bits, 14 to 19 % at 2.
    """

    synthesis: str | None = None
    """Array of the flow whose figures it has: BITFUSION, BITBLADE, LOOM, or another by its name in
    the benchmark. None: it has figures of its own."""
    synthesis_ns: Annotated[float | None, In("ns")] = Field(default=None, ge=1, le=5)
    """Clock period that it is synthesised for, between the two of the flow."""

    @model_validator(mode="after")
    def _of_the_flow(self) -> OneFlowArray:
        if (self.synthesis is None) != (self.synthesis_ns is None):
            missing = "synthesis" if self.synthesis is None else "synthesis_ns"
            raise ValueError(f"array.{missing} is missing: it goes with the other")
        if self.synthesis is None:
            return self
        if self.node_nm != NODE_NM:
            raise ValueError(
                f"array.node_nm must be {NODE_NM:g}, which {self.synthesis} was synthesised at, "
                f"got {self.node_nm:g}"
            )
        try:
            self._synthesised()
        except InputError as error:
            raise ValueError(f"array.synthesis: {error}") from error
        return self

    def operation_weight(self, widths: Precision) -> int:
        if self.synthesis is None:
            return 1
        cycles = self._cycles_pj()
        level = Precision(_level(widths.weight_bits), _level(widths.activation_bits))
        return round(STEPS * cycles[level] / max(cycles.values()))

    def filling(self, widths: Precision) -> Precision:
        """Widths that fill what operands take a cycle of."""
        return widths

    @property
    def most_weight(self) -> int:
        """The largest `operation_weight` of any widths."""
        return 1 if self.synthesis is None else STEPS

    def synthesised_figures(self, units: int) -> ArrayFigures:
        """Figures of so many units that multiply 8 by 8 bits, at the widths that take most.

        The flow states no leakage apart: it goes with the area (`leakage_of_area_mw`). CACTI's
        low-power SRAM leaks 30 nW a µm² at 28 nm and 330 K.
        """
        found = self._synthesised()
        area = found.um2_per_mac * units * 1e-6
        return ArrayFigures(
            pj_per_cycle=max(self._cycles_pj().values()) * units,
            leakage_mw=leakage_of_area_mw(area),
            area_mm2=area,
        )

    @property
    def synthesis_source(self) -> Source:
        """Source of `synthesised_figures` but for leakage."""
        return SYNTHESES._replace(text=f"{SYNTHESES.text}, {self.synthesis}, between 1 and 5 ns")

    @property
    def leakage_source(self) -> Source | None:
        return self.figures_source if self.synthesis is None else LEAKAGE_OF_AREA

    def _cycles_pj(self) -> dict[Precision, float]:
        """Energy in pJ of a unit's full cycle at each level of both operands."""
        assert self.synthesis is not None and self.synthesis_ns is not None
        known = _unit_cycle_pj(self.synthesis, self.synthesis_ns)
        filled = {level: self.filling(level) for level in known}
        return {
            level: known[Precision(_level(one.weight_bits), _level(one.activation_bits))]
            for level, one in filled.items()
        }

    def _synthesised(self) -> PsmaFigures:
        assert self.synthesis is not None and self.synthesis_ns is not None
        return psma28_between(self.synthesis, self.synthesis_ns)


@cache
def _unit_cycle_pj(synthesis: str, nanoseconds: float) -> dict[Precision, float]:
    """Energy in pJ of a unit's full cycle as synthesised, looked up once: every layer asks."""
    return unit_cycle_pj(psma28_between(synthesis, nanoseconds))


def _level(bits: int) -> int:
    return next((level for level in LEVELS if bits <= level), LEVELS[-1])
