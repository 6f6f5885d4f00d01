"""Sizes and paddings of layers, recorded from a network as its tensors really are."""

from __future__ import annotations

import pytest
import torch
from models import IMAGE, MODELS
from torch import Tensor, nn

from dfs_hw.networks import make_dynamic
from dfs_hw.networks.workload_of import workload_of


def read_sizes(model: nn.Module, size: tuple[int, int]) -> dict[str, tuple[int, int]]:
    """Height and width of what each convolution reads, before padding by hand."""
    found: dict[str, tuple[int, int]] = {}
    for path, module in model.named_modules():
        padded_by_hand = type(module).__name__ == "MobileNetV2ConvLayer"
        if padded_by_hand or (type(module) is nn.Conv2d):
            name = f"{path}.convolution" if padded_by_hand else path

            def hook(_: nn.Module, inputs: tuple[Tensor], name: str = name) -> None:
                found.setdefault(name, tuple(inputs[0].shape[2:]))  # the outer module comes first

            module.register_forward_pre_hook(hook)
    with torch.no_grad():
        model.eval()(torch.zeros(1, 3, *size))
    return found


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("size", [(32, 32), (45, 38)])
def test_input_maps_are_those_in_memory(name: str, size: tuple[int, int]) -> None:
    build, blocks = MODELS[name]
    read, made = read_sizes(build(), size), make_dynamic(build(), image=IMAGE, blocks=blocks)
    layers = {layer.name: layer for layer in workload_of(made, size).layers}
    for path, true in read.items():
        assert layers[path].in_size == true, path


class Padded(nn.Module):
    """A block with a convolution of any geometry, something before it."""

    def __init__(self, before: nn.Module, conv: nn.Conv2d) -> None:
        super().__init__()
        self.first, self.before, self.conv = nn.Conv2d(4, 4, 1), before, conv

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x + self.conv(self.before(torch.relu(self.first(x)))))


class WithPadded(nn.Module):
    def __init__(self, before: nn.Module, conv: nn.Conv2d) -> None:
        super().__init__()
        self.stem, self.block = nn.Conv2d(3, 4, 1), nn.Sequential(Padded(before, conv))
        self.fc = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.block(torch.relu(self.stem(x))).mean((2, 3)))


@pytest.mark.parametrize(
    ("before", "conv", "in_size", "padding", "mode"),
    [
        (nn.ZeroPad2d((0, 1, 2, 0)), nn.Conv2d(4, 4, (3, 2)), (9, 7), (2, 0, 0, 1), "zeros"),
        (
            nn.Sequential(nn.ZeroPad2d((1, 0, 0, 0)), nn.ZeroPad2d((0, 0, 1, 0))),
            nn.Conv2d(4, 4, (4, 2), padding=(1, 0)),
            *((9, 7), (2, 1, 1, 0), "zeros"),
        ),
        (nn.Identity(), nn.Conv2d(4, 4, 2, padding="same"), (9, 7), (0, 1, 0, 1), "zeros"),
        (nn.Identity(), nn.Conv2d(4, 4, 3, padding=2, dilation=2), (9, 7), (2,) * 4, "zeros"),
        (
            nn.Identity(),
            nn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect"),
            *((9, 7), (1,) * 4, "reflect"),
        ),
        (nn.CircularPad2d(1), nn.Conv2d(4, 4, 3), (9, 7), (1,) * 4, "circular"),
        # Zeros around copies, and what is no zero, lie in memory as part of the tensor.
        (nn.ReflectionPad2d(1), nn.Conv2d(4, 4, 5, padding=1), (11, 9), (1,) * 4, "zeros"),
        (nn.ConstantPad2d(1, 0.5), nn.Conv2d(4, 4, 3), (11, 9), (0,) * 4, "zeros"),
    ],
)
def test_padding_of_any_kind_is_recorded_as_it_is(
    before: nn.Module,
    conv: nn.Conv2d,
    in_size: tuple[int, int],
    padding: tuple[int, ...],
    mode: str,
) -> None:
    model = WithPadded(before, conv)
    made = make_dynamic(model, "skip,8", image=(3, 9, 7), blocks=["block.0"])
    (layer,) = (one for one in workload_of(made).layers if one.name.endswith("conv"))
    assert (layer.in_size, layer.padding, layer.padding_mode) == (in_size, padding, mode)
    assert layer.out_size == (9, 7)
    assert layer.dilation == conv.dilation
