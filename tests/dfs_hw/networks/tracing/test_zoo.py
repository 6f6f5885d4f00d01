"""Networks of the literature, read as they are: their MACs, their price, and what has none."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from functools import cache

import numpy as np
import plain_networks
import pytest
from zoo import NETS, built, counted

from accel_models import Layer, Workload, load_accelerator, simulate
from accel_models.workloads.layer_csv import INPUTS, listed_network, listed_networks
from accel_models.workloads.operators import ACTIVATIONS
from dfs_hw import workload_of

WITHOUT_PRICE = {
    "gpt2_token": "not exported",  # a cache is an object of a class that PyTorch cannot look into
}
"""Beginning of the one sentence that is said of a network; nothing is said of others."""


@cache
def read_as(name: str) -> Workload:
    return workload_of(built(name), NETS[name].example(), name=name)


@pytest.fixture(params=NETS)
def read(request: pytest.FixtureRequest) -> Workload:
    return read_as(request.param)


@pytest.mark.slow
def test_macs_are_those_that_pytorch_counts(read: Workload) -> None:
    assert read.macs == counted(read.name)


@pytest.mark.slow
def test_nothing_is_left_without_a_price(read: Workload) -> None:
    expected = WITHOUT_PRICE.get(read.name)
    assert len(read.assumed) == (expected is not None)
    assert all(said.startswith(expected or "") for said in read.assumed)


@pytest.mark.slow
def test_every_network_is_priced_whole(read: Workload) -> None:
    result = simulate(read, load_accelerator("bitfusion"), 8)
    assert np.isfinite(result.energy_pj).all()
    assert result.cycles > 0


@pytest.mark.slow
def test_whatever_is_made_is_read(read: Workload) -> None:
    """But for the result of the network."""
    assert sum(not readers for readers in read.readers.values()) == 1


def without_names(layers: tuple[Layer, ...]) -> Counter[Layer]:
    """Layers however they are called; clipping is part of rounding, and lists leave it out."""

    def plain(layer: Layer) -> Layer:
        clips = ACTIVATIONS.get(layer.activation) == 0
        return replace(layer, name="", activation="" if clips else layer.activation)

    return Counter(map(plain, layers))


@pytest.mark.slow
def test_every_network_is_listed_with_its_macs(read: Workload) -> None:
    listed = listed_network(read.name)
    assert listed.macs == read.macs
    assert not listed.assumed
    if read.name in ("resnet18", "mobilenet_v3", "densenet121", "swin_t", "gpt2_token"):
        assert listed.layers == read.layers
        assert listed.operands == read.operands


def test_the_listed_networks_are_those_of_the_zoo() -> None:
    assert set(listed_networks()) == NETS.keys()
    assert set(INPUTS) <= NETS.keys()


PARAMETERS = {"efficientnet_b0": 5_288_548, "swin_t": 28_288_354}
"""As pytorch.org/vision/stable/models/generated/torchvision.models.NAME.html has them."""


@pytest.mark.slow
@pytest.mark.parametrize("name", ["resnet50", "mobilenet_v1", "mobilenet_v2"])
def test_lists_that_come_with_the_package_are_the_networks(name: str) -> None:
    workload, listed = read_as(name), listed_network(name)
    assert without_names(workload.layers) == without_names(listed.layers)
    machine = load_accelerator("bitfusion")
    one, other = (simulate(each, machine, 8) for each in (workload, listed))
    assert one.energy_pj.sum() == pytest.approx(other.energy_pj.sum(), rel=1e-12)
    assert one.cycles == other.cycles


@pytest.mark.slow
@pytest.mark.parametrize("name", ["vit_b_16", "vit_tiny"])
def test_listed_transformers_differ_in_their_last_norm(name: str) -> None:
    """The lists normalise the class token alone, transformers all of them."""
    workload, listed = read_as(name), listed_network(name)
    ours, theirs = without_names(workload.layers), without_names(listed.layers)
    (more,), (less,) = ours - theirs, theirs - ours
    assert replace(more, in_size=(1, 1), out_size=(1, 1)) == less
    assert more.operator == "layer_norm"
    assert workload.macs == listed.macs


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "parameters"), [*plain_networks.PARAMETERS.items(), *PARAMETERS.items()]
)
def test_definitions_have_the_parameters_published(name: str, parameters: int) -> None:
    assert sum(tensor.numel() for tensor in built(name).parameters()) == parameters
