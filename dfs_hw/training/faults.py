"""Faults of the released code of DFS in training, which settings can ask for."""

from __future__ import annotations

from accel_models.errors import InputError

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


def named_faults(wanted: tuple[str, ...]) -> tuple[str, ...]:
    """The faults of training and of the network by name, sorted; all of them for "all".

    Raises:
        InputError: if one of them is unknown.
    """
    if not wanted:
        return ()
    from dfs_hw.networks import FAULTS as NETWORK_FAULTS  # which takes PyTorch

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
