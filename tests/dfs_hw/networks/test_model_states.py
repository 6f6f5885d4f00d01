"""Models in the states that people have them in: converted to the same function, or refused."""

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations, prune

from accel_models.errors import InputError
from dfs_hw import make_dynamic, workload_of
from dfs_hw.networks import DynamicNetwork

IMAGE = (3, 12, 12)


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.norm1 = nn.Conv2d(8, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8)
        self.conv2, self.norm2 = nn.Conv2d(8, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8)

    def forward(self, x: Tensor) -> Tensor:
        inner = torch.relu(self.norm1(self.conv1(x)))
        return torch.relu(x + self.norm2(self.conv2(inner)))


class Plain(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.blocks = nn.Sequential(*(Residual() for _ in range(3)))
        self.head = nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.blocks(torch.relu(self.stem(x))).mean((2, 3)))


def with_first(change: Callable[[nn.Module], object]) -> nn.Module:
    """A model of whose blocks the first convolution was changed, and that ran since."""
    model = Plain()
    for block in model.blocks:
        change(block.get_submodule("conv1"))
    model(torch.randn(2, *IMAGE))
    return model


def compiled_in_place() -> nn.Module:
    model = Plain()
    model.compile(backend="eager")
    return model


def lazy() -> nn.Module:
    model = Plain()
    model.stem, model.head = nn.LazyConv2d(8, 3, padding=1), nn.LazyLinear(4)
    return model


def made_in_inference() -> nn.Module:
    with torch.inference_mode():
        return Plain()


SAME: dict[str, Callable[[], nn.Module]] = {
    "weight_norm of old": lambda: with_first(nn.utils.weight_norm),
    "weight_norm": lambda: with_first(parametrizations.weight_norm),
    "spectral_norm of old": lambda: with_first(nn.utils.spectral_norm),
    "spectral_norm": lambda: with_first(parametrizations.spectral_norm),
    "pruned": lambda: with_first(lambda conv: prune.l1_unstructured(conv, "weight", 0.5)),
    "wrapped": lambda: nn.DataParallel(Plain()),
    "compiled": lambda: torch.compile(Plain(), backend="eager"),
    "compiled in place": compiled_in_place,
    "half": lambda: Plain().half(),
    "bfloat16": lambda: Plain().bfloat16(),
    "double": lambda: Plain().double(),
    "norms of several processes": lambda: nn.SyncBatchNorm.convert_sync_batchnorm(Plain()),
    "made in inference mode": made_in_inference,
}

REFUSED: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "traced": (
        lambda: torch.jit.trace(Plain().eval(), torch.randn(1, *IMAGE)),
        "script of torch.jit: give the module it was made from",
    ),
    "taken apart": (lambda: torch.fx.symbolic_trace(Plain()), "torch.fx took it apart"),
    "on meta": (lambda: Plain().to("meta"), r"'stem.weight' is on the device .meta.\): load them"),
    "quantised": (
        lambda: torch.ao.quantization.quantize_dynamic(Plain(), {nn.Linear}),
        r"Plain is quantised already \('head' is a Linear",
    ),
}


@pytest.mark.parametrize("state", SAME)
@pytest.mark.filterwarnings("ignore")
def test_a_network_computes_what_the_model_does(state: str) -> None:
    torch.manual_seed(0)
    model = SAME[state]()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    network = make_dynamic(model, "skip,4,full", image=IMAGE, blocks="Residual").eval()
    assert all(value.equal(model.state_dict()[name]) for name, value in before.items())
    x = torch.randn(4, *IMAGE)
    with torch.no_grad():
        wanted = model.float().eval()(x)
        found = network(x, network.uniform("full")).logits
    assert torch.allclose(found, wanted, rtol=1e-4, atol=1e-4)
    network.train()(x).logits.sum().backward()
    assert all(p.requires_grad and p.dtype == torch.float32 for p in network.parameters())
    assert network.name == "Plain"


@pytest.mark.parametrize("state", REFUSED)
@pytest.mark.filterwarnings("ignore")
def test_what_cannot_learn_any_more_is_refused(state: str) -> None:
    make, said = REFUSED[state]
    with pytest.raises(InputError, match=said):
        make_dynamic(make(), "skip,4,8", image=IMAGE, blocks="Residual")


@pytest.mark.filterwarnings("ignore")
def test_lazy_layers_take_their_sizes_in_a_copy() -> None:
    model = lazy()
    network = make_dynamic(model, "skip,4,8", image=IMAGE, blocks="Residual")
    assert isinstance(network, DynamicNetwork)
    wanted = workload_of(Plain(), torch.empty(1, *IMAGE)).macs
    assert workload_of(model, torch.empty(1, *IMAGE)).macs == wanted
    assert workload_of(network).without_gates().macs == wanted
    assert isinstance(model.stem, nn.LazyConv2d)
    model.unused = nn.LazyLinear(3)
    with pytest.raises(InputError, match="Plain has lazy layers that never ran: unused"):
        make_dynamic(model, "skip,4,8", image=IMAGE, blocks="Residual")


@pytest.mark.filterwarnings("ignore")
def test_every_state_is_priced_as_the_model_is() -> None:
    example = torch.empty(1, *IMAGE)
    wanted = workload_of(Plain(), example)
    others = {name: make for name, (make, _) in REFUSED.items() if name != "quantised"}
    for state, make in (SAME | others).items():
        found = workload_of(make(), example)
        assert found.macs == wanted.macs, state
        assert found.name == "Plain" or state == "traced", state


def test_a_frozen_parametrised_weight_stays_frozen() -> None:
    model = with_first(parametrizations.weight_norm)
    model.requires_grad_(False)
    network = make_dynamic(copy.deepcopy(model), "skip,4,8", image=IMAGE, blocks="Residual")
    assert not any(p.requires_grad for p in network.model.parameters() if p.ndim == 4)
