"""Training a gated network against a hardware budget, in the three stages of DFS.

1. backbone: every unit at the highest precision, gates absent.
2. gates: the backbone frozen, the gates taught to ask for the highest precision, so that stage 3
   starts from the network that stage 1 left.
3. joint: everything, at all choices, under the budget.

Static baselines continue from the same backbone for as long as stage 3 lasts, with the same norms
and the same teacher. Epochs are chosen by the validation split; the test split is never looked at.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from accel_models.precision import Precision
from dfs_hw.logs import Log
from dfs_hw.networks import DynamicNetwork
from dfs_hw.training.config import TrainConfig
from dfs_hw.training.folder import training_folder
from dfs_hw.training.setup import TrainingSetup
from dfs_hw.training.stages.before_joint import train_fixed
from dfs_hw.training.stages.joint import train_joint
from dfs_hw.training.stages.results import Trained


def train(
    config: TrainConfig,
    out: Path | str,
    network: DynamicNetwork | None = None,
    *,
    device: str = "cpu",
    progress: bool = True,
    log: Log | None = None,
    overwrite: bool = False,
) -> Trained:
    """Train a gated network under its budget; it ends in ``out/network.safetensors``.

    A run that was stopped goes on where it was, and a stage that an earlier run with the same
    settings has completed is not repeated. One run at a time has the folder. Under ``torchrun``
    all processes call this alike.

    Args:
        network: to train instead of the one that ``network``, ``widths``, ``choices``, ``gate``,
            ``quantizer``, ``first_block`` and ``faults`` of the configuration name, made by
            `make_dynamic`; it stays as it is. Give ``backbone_epochs=0`` if it is trained already.
        device: where to train; the network returned is there.
        progress: show bars on stderr.
        log: takes curves, such as a `TensorBoardLog`, a `LightningLog` or an object of one's own.
        overwrite: take a folder that a run with other settings left; the stages before those that
            differ are not repeated.

    Raises:
        InputError: if the configuration or the network cannot be used, another run works in the
            folder, or one with other settings did.
        DfsHwError: if the loss stops being finite.
    """
    setup = TrainingSetup.of(config, network, device=device, progress=progress, log=log)
    with training_folder(setup, out, overwrite) as folder:
        return train_joint(setup, folder)


def train_static(
    config: TrainConfig,
    choice: Precision | str | int | Sequence[Precision | str | int],
    out: Path | str,
    network: DynamicNetwork | None = None,
    *,
    device: str = "cpu",
    progress: bool = True,
    log: Log | None = None,
    overwrite: bool = False,
) -> Trained:
    """Train the baseline: the same backbone, at choices fixed for all inputs, as long as stage 3.

    It ends in ``out/static-<choices>.safetensors``; its gates are never asked. Other arguments and
    errors are those of `train`.

    Args:
        choice: of every unit, or of each unit in order.
    """
    setup = TrainingSetup.of(config, network, device=device, progress=progress, log=log)
    with training_folder(setup, out, overwrite) as folder:
        return train_fixed(setup, choice, folder)
