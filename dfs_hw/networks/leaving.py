"""Whether inputs can leave a model half way: found by having some leave a copy without contents."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from accel_models.errors import InputError
from accel_models.precision import Precision, highest
from dfs_hw.gates import Gate, make_gate
from dfs_hw.networks.branches import GatedUnit
from dfs_hw.networks.design import Design
from dfs_hw.networks.dynamic import DynamicNetwork, Reads
from dfs_hw.networks.inputs import empty_input
from dfs_hw.networks.shadow import shadow_of


def require_leaving(
    network: DynamicNetwork, places: Sequence[int], puts_out: tuple[int, ...]
) -> None:
    """Refuse exits that a network has no place for.

    Args:
        network: without exits.
        places: indices of the units at which inputs are to leave.
        puts_out: shape of what the network makes of one input.

    Raises:
        InputError: if it does not put out one row of logits an input, or inputs are read again
            behind a place where they may have left.
    """
    if len(puts_out) != 2:
        raise InputError(
            f"exits: {network.name} puts out {list(puts_out)} for one input; an exit can stand in "
            "for logits [N, classes] alone"
        )
    shadow = shadow_of(network).eval()
    if not _goes_on_with_the_rest(shadow, []):
        raise InputError(
            f"exits: {network.name} does not run on tensors without contents, by which it is found "
            "out whether inputs can leave"
        )
    if _goes_on_with_the_rest(shadow, places):
        return
    for place in places:
        if not _goes_on_with_the_rest(shadow, [place]):
            raise InputError(
                f"exits: inputs cannot leave {network.name} at '{network.units[place]}', since "
                "tensors from before that unit are read behind it, too: name other units"
            )
    raise InputError(f"exits: inputs cannot leave {network.name} at so many units: name fewer")


@torch.no_grad()
def _goes_on_with_the_rest(shadow: DynamicNetwork, places: Sequence[int]) -> bool:
    """Whether the inputs that stay come to the end where one more leaves at each place."""
    images = empty_input(shadow.image)
    # At least two stay to the end: one alone could be taken for something to broadcast.
    batch = images.expand(len(places) + 2, *images.shape[1:])
    leaves = {shadow.units[place] for place in places}

    def run(unit: GatedUnit, features: Tensor) -> Tensor:
        if unit.name in leaves:
            features = features[:-1]
        return unit.run(features, unit.index_of.index(unit.highest))

    shadow.conductor.run = run
    try:
        made = shadow.model(batch)
    except Exception:  # whatever a stranger's model may raise at tensors of two lengths
        return False
    finally:
        shadow.conductor.run = None
    logits = made if isinstance(made, Tensor) else made.logits
    return len(logits) == 2


def gate_for(choices: tuple[Precision, ...], design: Design, reads: Reads) -> Gate:
    """A fresh gate for a network's units."""
    return make_gate(
        design.gate,
        reads.channels,
        len(choices),
        highest(choices),
        signed=reads.signed,
        knob=design.knob,
    )


def without_exits(network: DynamicNetwork) -> DynamicNetwork:
    """A copy of a network with no exits, and with a fresh gate that knows of none: one that went by
    a table, which there is none of for such a network, becomes an LSTM."""
    bare = copy.deepcopy(network)
    choices = tuple(choice for choice in bare.choices if not choice.exits)
    learned = "lstm" if not bare.gate.learned else bare.design.gate
    design = replace(bare.design, exits=(), gate=learned)
    for unit in bare.blocks:
        unit.choose_from(choices)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        gate = gate_for(choices, design, bare.reads)
    made = DynamicNetwork(
        bare.name, bare.model, bare.blocks, gate, choices, design, bare.image, bare.reads, {}
    )
    return made.to(network.shift.device).train(network.training)


__all__ = ["gate_for", "require_leaving", "without_exits"]
