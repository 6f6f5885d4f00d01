"""What can go wrong, in sentences meant for people."""


class DfsHwError(ValueError):
    """Base of every error this project raises on purpose: one sentence that names the culprit."""


class InputError(DfsHwError):
    """A file, name or option that cannot be used as given."""


class InfeasibleError(DfsHwError):
    """A layer that a machine cannot run at the asked precision, and why."""
