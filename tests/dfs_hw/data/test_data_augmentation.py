import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from accel_models.errors import InputError
from dfs_hw.data import Augmentation


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def augment(pixels: Tensor, how: Augmentation, seed: int = 0) -> Tensor:
    return how.apply(pixels, how.draw(len(pixels), generator(seed)))


def by_hand(image: Tensor, max_shift: int, top: int, left: int, flip: int) -> Tensor:
    """One image at a time: pad, cut, flip."""
    channels, height, width = image.shape
    padded = torch.zeros(channels, height + 2 * max_shift, width + 2 * max_shift, dtype=image.dtype)
    padded[:, max_shift : max_shift + height, max_shift : max_shift + width] = image
    cut = padded[:, top : top + height, left : left + width]
    return cut.flip(2) if flip else cut


@given(
    st.integers(0, 4), st.booleans(), st.integers(1, 3), st.integers(1, 9), st.integers(1, 9),
    st.integers(0, 2**31),
)  # fmt: skip
def test_a_batch_is_changed_as_its_images_would_be_one_by_one(
    max_shift: int, mirror: bool, channels: int, height: int, width: int, seed: int
) -> None:
    how = Augmentation(max_shift, mirror)
    pixels = torch.randint(
        256, (6, channels, height, width), dtype=torch.uint8, generator=generator(seed)
    )
    draws = how.draw(6, generator(seed))
    one_by_one = [
        by_hand(image, max_shift, *draw.tolist()) for image, draw in zip(pixels, draws, strict=True)
    ]
    assert torch.equal(how.apply(pixels, draws), torch.stack(one_by_one))


def test_shifts_are_within_bounds_and_reach_them() -> None:
    pixels = torch.zeros(200, 1, 7, 7, dtype=torch.uint8)
    pixels[:, 0, 3, 3] = 9
    moved = augment(pixels, Augmentation(max_shift=2))
    assert moved.dtype == torch.uint8
    assert (moved.flatten(1).sum(1) == 9).all()
    rows, columns = (moved[:, 0] == 9).nonzero()[:, 1:].T
    for position in (rows, columns):
        assert set(position.tolist()) == {1, 2, 3, 4, 5}


@pytest.mark.parametrize("min_area", [1.0, 0.5])
def test_mirroring_flips_about_half_the_images(min_area: float) -> None:
    pixels = 20 * torch.arange(6, dtype=torch.uint8).expand(300, 2, 6, 6)
    changed = augment(pixels, Augmentation(mirror=True, min_area=min_area)).float()
    flipped = changed[:, 0, 0, 0] > changed[:, 0, 0, -1]
    assert 0.4 < flipped.float().mean() < 0.6
    straight = augment(pixels, Augmentation(min_area=min_area)).float()
    assert (straight[:, 0, 0, 0] < straight[:, 0, 0, -1]).all()


def test_without_augmentation_images_are_as_they_were() -> None:
    pixels = torch.randint(256, (4, 3, 5, 5), dtype=torch.uint8, generator=generator())
    assert torch.equal(augment(pixels, Augmentation()), pixels)


@given(st.floats(0.01, 0.999), st.integers(0, 2**31))
def test_crops_lie_in_the_image_and_have_the_area_and_aspect_promised(
    min_area: float, seed: int
) -> None:
    boxes = Augmentation(mirror=True, min_area=min_area).draw(500, generator(seed)).double()
    x, y, width, height = boxes.T
    width = width.abs()
    assert (x.abs() + width).max() <= 1 + 1e-6
    assert (y.abs() + height).max() <= 1 + 1e-6
    area, aspect = width * height, width / height
    assert area.min() >= min_area - 1e-6
    assert area.max() <= 1 + 1e-6
    assert aspect.min() >= 3 / 4 - 1e-6
    assert aspect.max() <= 4 / 3 + 1e-6


def test_areas_of_crops_are_uniform_and_aspects_as_often_high_as_wide() -> None:
    _, _, width, height = Augmentation(min_area=0.2).draw(20_000, generator()).T
    shares = torch.histc(width * height, bins=8, min=0.2, max=1) / 20_000
    assert (shares - 1 / 8).abs().max() < 0.012  # five standard errors
    assert abs((width > height).float().mean() - 0.5) < 0.018


@settings(max_examples=50)
@given(st.integers(2, 12), st.integers(2, 12), st.booleans(), st.integers(0, 2**31))
def test_a_crop_of_a_ramp_is_the_ramp_between_its_edges(
    height: int, width: int, mirror: bool, seed: int
) -> None:
    """Bilinear interpolation is exact on what is linear, up to the outermost centres."""
    ramp = 10.0 * torch.arange(height)[:, None] + 7.0 * torch.arange(width)
    pixels = ramp.to(torch.uint8).expand(8, 1, -1, -1)
    how = Augmentation(mirror=mirror, min_area=0.1)
    boxes = how.draw(8, generator(seed))

    def positions(centre: Tensor, extent: Tensor, size: int) -> Tensor:
        """Pixel coordinates that output pixels look at, [8, size]."""
        steps = (torch.arange(size) + 0.5) / size - 0.5
        middle = (centre[:, None] + 1) / 2 * size - 0.5
        return (middle + extent[:, None] * size * steps).clamp(0, size - 1)

    x, y, box_width, box_height = boxes.T
    down, across = positions(y, box_height, height), positions(x, box_width, width)
    expected = 10 * down[:, :, None] + 7 * across[:, None, :]
    assert torch.allclose(how.apply(pixels, boxes)[:, 0], expected, atol=0.01)


def test_a_crop_of_everything_changes_nothing() -> None:
    pixels = torch.randint(256, (2, 3, 32, 32), dtype=torch.uint8, generator=generator())
    box = torch.tensor([[0.0, 0.0, 1.0, 1.0]]).expand(2, -1)
    assert torch.allclose(Augmentation(min_area=0.5).apply(pixels, box), pixels.float(), atol=0.01)


@pytest.mark.parametrize("wrong", [{"max_shift": -1}, {"min_area": 0}, {"min_area": 1.5}])
def test_impossible_augmentation_is_refused(wrong: dict[str, float]) -> None:
    (name, value), *_ = wrong.items()
    with pytest.raises(InputError, match=f"{name} .* got {value}"):
        Augmentation(**wrong)  # type: ignore[arg-type]
