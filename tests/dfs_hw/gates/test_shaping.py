"""The prior for what gates make of a batch: where it is met, and which way it pulls."""

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from accel_models.errors import InputError
from dfs_hw.gates.shaping import BetaDistribution, shaping


@pytest.mark.parametrize(("mean", "inputs"), [(0.6, 64), (0.15, 33), (0.9, 7)])
def test_nothing_is_asked_of_values_that_are_as_the_prior_has_them(
    mean: float, inputs: int
) -> None:
    ranks = np.arange(1, inputs + 1) / (inputs + 1)
    values = stats.beta(mean, 1 - mean).ppf(ranks)
    mixed = np.random.default_rng(0).permutation(values)
    assert shaping(torch.tensor(mixed)[:, None], mean).item() < 1e-15
    # Of values that are all alike, F has one value: least is what is lost at the median.
    alike = shaping(torch.full((inputs, 1), float(stats.beta(mean, 1 - mean).median())), mean)
    assert alike.item() == pytest.approx(((ranks - 0.5) ** 2).mean(), rel=1e-4)


def test_every_unit_has_a_distribution_of_its_own() -> None:
    values = torch.rand(20, 3, generator=torch.Generator().manual_seed(1))
    alone = [shaping(values[:, unit, None], 0.3).item() for unit in range(3)]
    assert shaping(values, 0.3).item() == pytest.approx(sum(alone) / 3)


def test_the_distribution_is_scipys_and_its_gradient_that_of_differences() -> None:
    spread = torch.rand(9, 2, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    values = (0.01 + 0.98 * spread).requires_grad_()
    reached: Tensor = BetaDistribution.apply(values, 0.6, 0.4)
    wanted = stats.beta(0.6, 0.4).cdf(values.detach().numpy())
    assert np.allclose(reached.detach().numpy(), wanted, rtol=1e-12)
    assert torch.autograd.gradcheck(lambda x: shaping(x, 0.6), (values,))


def test_what_is_certain_has_a_gradient_that_is_a_number() -> None:
    values = torch.tensor([[0.0], [0.3], [1.0]], requires_grad=True)
    shaping(values, 0.6).backward()
    assert values.grad is not None
    assert values.grad[[0, 2]].eq(0).all()
    assert values.grad[1] != 0


@pytest.mark.parametrize("mean", [0.0, 1.0, float("nan")])
def test_a_mean_that_no_such_distribution_has_is_refused(mean: float) -> None:
    with pytest.raises(InputError, match="between 0 and 1"):
        shaping(torch.rand(3, 1), mean)
