"""The step from a gate's logits to one choice per input, with a gradient that says what others
would do.

The choice is exactly one-hot, as hardware needs it; the gradient is that of probabilities
(straight-through: Bengio et al., "Estimating or Propagating Gradients Through Stochastic Neurons",
2013). Gumbel noise turns the choice into a draw from those probabilities (Jang et al., "Categorical
Reparameterization with Gumbel-Softmax", ICLR 2017), so that training also tries what the gate does
not prefer yet. Noise belongs to training alone: a choice recorded with it would be a lottery.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from accel_models.errors import InputError

ESTIMATORS = ("straight-through", "gumbel")

NOISY_SHARE = 0.8
"""Share of training that draws noise. The code of dynconv (Verelst & Tuytelaars, CVPR 2020) drops
it for the last 20 % of the epochs: the network is tuned on the choices it will live with."""


def decide(
    logits: Tensor,
    offered: Tensor,
    *,
    estimator: str = "straight-through",
    temperature: float = 1.0,
    noise: Tensor | None = None,
    ties_run_both: bool = False,
) -> Tensor:
    """One-hot choices with the gradient of the probabilities behind them.

    A choice that is not offered is never made; its probability and its gradient are exactly zero.

    Args:
        logits: [N, K], or any number of leading axes.
        offered: bool [K], or of more axes that broadcast against `logits`; at least one True for
            each decision (not checked: that would wait for the device).
        estimator: "straight-through" has the gradient of ``softmax(logits)``, as DFS; "gumbel" that
            of ``softmax((logits + noise) / temperature)``.
        temperature: of "gumbel" alone. The choice itself does not depend on it.
        noise: for "gumbel", of the shape of `logits`, from `gumbel_noise`; None takes the largest
            logit, as evaluation must.
        ties_run_both: a fault of the code released with DFS, for comparison: choices whose
            probabilities tie for the largest are all made, and their outputs and costs add up.

    Returns:
        Of the shape of `logits`: 1 at the choice, the first one if several tie, and 0 elsewhere.

    Raises:
        InputError: if the estimator is unknown or takes no noise, if the temperature is not
            positive, or if the noise has another shape than the logits.
    """
    _check(logits, estimator, temperature, noise)
    scores = _scores(logits, offered, noise)
    likely = _probabilities(scores, estimator, temperature)
    constant = likely.detach()
    if ties_run_both:
        hard = (constant == constant.amax(-1, keepdim=True)).to(constant.dtype)
    else:
        first = scores.detach().argmax(-1, keepdim=True)
        hard = torch.zeros_like(constant).scatter_(-1, first, 1.0)
    return hard + (likely - constant)


def probabilities(
    logits: Tensor,
    offered: Tensor,
    *,
    estimator: str = "straight-through",
    temperature: float = 1.0,
    noise: Tensor | None = None,
) -> Tensor:
    """What `decide` has the gradient of; arguments and errors as there."""
    _check(logits, estimator, temperature, noise)
    return _probabilities(_scores(logits, offered, noise), estimator, temperature)


def gumbel_noise(shape: Sequence[int], generator: torch.Generator) -> Tensor:
    """Independent standard Gumbel numbers: added to logits, they make argmax a draw from softmax.

    Drawn on the CPU, so that a seed means the same noise on every device, and in double precision,
    where a number is so rarely drawn as 0 that replacing it does not show.

    Args:
        shape: of the logits they will be added to.
        generator: of the CPU.

    Returns:
        float32 of the given shape, all finite.
    """
    uniform = torch.rand(tuple(shape), dtype=torch.float64, generator=generator)
    uniform.clamp_min_(torch.finfo(torch.float64).tiny)
    return uniform.log_().neg_().log_().neg_().float()


def noise_is_on(progress: float) -> bool:
    """Whether training should draw noise now (evaluation never should), see `NOISY_SHARE`.

    Args:
        progress: share of training already done, 0 to 1.

    Raises:
        InputError: if `progress` is not from 0 to 1.
    """
    if not 0 <= progress <= 1:
        raise InputError(f"progress of training is from 0 to 1, got {progress}")
    return progress <= NOISY_SHARE


def _scores(logits: Tensor, offered: Tensor, noise: Tensor | None) -> Tensor:
    scores = logits if noise is None else logits + noise.to(logits)
    return scores.masked_fill(~offered, float("-inf"))


def _probabilities(scores: Tensor, estimator: str, temperature: float) -> Tensor:
    return (scores / temperature if estimator == "gumbel" else scores).softmax(-1)


def _check(logits: Tensor, estimator: str, temperature: float, noise: Tensor | None) -> None:
    if estimator not in ESTIMATORS:
        raise InputError(
            f"no estimator is called '{estimator}': choose from {', '.join(ESTIMATORS)}"
        )
    if not temperature > 0:
        raise InputError(f"the temperature of a softmax must be above 0, got {temperature}")
    if noise is None:
        return
    if estimator != "gumbel":
        raise InputError(f"the estimator '{estimator}' takes no noise: choose 'gumbel' to use it")
    if noise.shape != logits.shape:
        raise InputError(
            f"noise for logits {list(logits.shape)} must have that shape, not {list(noise.shape)}"
        )
