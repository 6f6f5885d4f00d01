"""Gates: small networks that look at an input and say how each unit is to run it.

A gate turns pooled features into logits over the choices of a unit; `decide` turns logits into
one choice whose gradient still reaches the gate. The families differ in what a decision may look
at, and in how early the hardware knows it:

- ``lstm``: the features before the unit, and a memory of those before earlier units (DFS);
- ``feedforward``: the features before the unit alone (SkipNet);
- ``upfront``: the features before the first unit, which decide every unit at once (DQNet);
- ``confidence``: what the last exit predicts; thresholds instead of training;
- ``error``: the size of the features before the unit, from which it estimates the error of every
  choice; prices instead of training.
"""

from dfs_hw.gates.confidence import ConfidenceGate
from dfs_hw.gates.decisions import ESTIMATORS, decide, gumbel_noise, noise_is_on, probabilities
from dfs_hw.gates.estimated_error import ErrorGate
from dfs_hw.gates.feedforward import FeedforwardGate
from dfs_hw.gates.gate import Gate, State
from dfs_hw.gates.recurrent import RecurrentGate
from dfs_hw.gates.registry import GATES, make_gate
from dfs_hw.gates.table import POINTS, TableGate
from dfs_hw.gates.trials import Trials, uniform
from dfs_hw.gates.upfront import UpfrontGate

__all__ = [
    "ESTIMATORS",
    "GATES",
    "POINTS",
    "ConfidenceGate",
    "ErrorGate",
    "FeedforwardGate",
    "Gate",
    "RecurrentGate",
    "State",
    "TableGate",
    "Trials",
    "UpfrontGate",
    "decide",
    "gumbel_noise",
    "make_gate",
    "noise_is_on",
    "probabilities",
    "uniform",
]
