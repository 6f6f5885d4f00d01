"""Layers listed by name are those of the network that is built under the name."""

import pytest
from gating import LEARNED

from accel_models.errors import InputError
from accel_models.workloads.cifar_resnet import NAMES, WIDTHS, cifar_resnet
from dfs_hw.networks import Design, build_network
from dfs_hw.networks.workload_of import workload_of
from dfs_hw.quantize import QuantizedConv2d, QuantizedLinear

SHAPES = {
    "CIFAR-10": (10, 3, (32, 32), WIDTHS),
    "CIFAR-100": (100, 3, (32, 32), WIDTHS),
    "digits": (10, 1, (32, 32), WIDTHS),
    "smallest": (10, 3, (8, 8), WIDTHS),
    "odd": (7, 3, (33, 17), WIDTHS),
    "large": (10, 3, (224, 224), WIDTHS),
    "narrow": (2, 3, (32, 32), (4, 8, 8)),
    "one width": (2, 3, (9, 9), (4, 4, 4)),
}


def assert_listed(
    name: str,
    classes: int = 10,
    in_channels: int = 3,
    image_size: tuple[int, int] = (32, 32),
    widths: tuple[int, ...] = WIDTHS,
    choices: str = "skip,2,4,8",
    design: Design | None = None,
) -> None:
    listed = cifar_resnet(
        NAMES[name],
        classes=classes,
        in_channels=in_channels,
        image_size=image_size,
        widths=widths,
    )
    built = build_network(
        name,
        choices,
        classes,
        in_channels,
        image_size=image_size,
        widths=widths,
        design=design,
    )
    found = workload_of(built).without_gates()
    assert listed == found
    assert listed.key == found.key


@pytest.mark.slow
@pytest.mark.parametrize("name", ["resnet8", "resnet14", "resnet20", "resnet38"])
def test_depths(name: str) -> None:
    assert_listed(name)


@pytest.mark.parametrize("name", NAMES)
def test_every_depth_has_the_layers_of_its_modules(name: str) -> None:
    """Deeper ones repeat a block, which takes long to trace and nothing to count."""
    modules = build_network(name, "skip,8", 10, 3).model.named_modules()
    weights = {
        path.replace(".block.", "."): module.weight.shape
        for path, module in modules
        if isinstance(module, QuantizedConv2d | QuantizedLinear)
    }
    listed = {layer.name: layer for layer in cifar_resnet(NAMES[name]).layers}
    assert listed.keys() == weights.keys()
    for path, (outputs, inputs, *kernel) in weights.items():
        layer = listed[path]
        assert (layer.out_channels, layer.in_channels) == (outputs, inputs)
        assert layer.kernel == tuple(kernel or (1, 1))


@pytest.mark.slow
@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_of_data(shape: str) -> None:
    """With a block of either kind in every stage: one that changes sizes, and one that does not."""
    assert_listed("resnet14", *SHAPES[shape])


@pytest.mark.parametrize("side", range(8, 16))
def test_every_side_of_images(side: int) -> None:
    """Halved twice: what is rounded repeats every four."""
    assert_listed("resnet8", image_size=(side, side))


@pytest.mark.slow
@pytest.mark.parametrize("gate", LEARNED)
@pytest.mark.parametrize("knob", [False, True])
def test_whatever_decides(gate: str, knob: bool) -> None:
    assert_listed("resnet8", design=Design(gate=gate, knob=knob))


@pytest.mark.slow
@pytest.mark.parametrize("choices", ["skip,8", "skip,4/8,full", "skip,1,16"])
def test_whatever_there_is_to_choose_from(choices: str) -> None:
    assert_listed("resnet8", choices=choices)


def test_a_depth_that_is_none() -> None:
    with pytest.raises(InputError, match="6n\\+2 layers deep, and 21 is not"):
        cifar_resnet(21)
