import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from accel_models.errors import InputError
from dfs_hw.data import (
    Augmentation,
    Dataset,
    MappedPixels,
    Splits,
    TrainingStream,
    degrade,
    load_dataset,
    load_digits,
)
from dfs_hw.data.pixels import channel_statistics


@pytest.fixture(scope="module")
def digits() -> Splits:
    return load_digits(0)


def test_digits_come_in_disjoint_stratified_splits(digits: Splits) -> None:
    parts = (digits.train, digits.validation, digits.test)
    assert [len(part) for part in parts] == [1100, 3 * 247, 6 * 450]
    drawn = [set(part.source.tolist()) for part in parts if part.source is not None]
    assert [len(digits) for digits in drawn] == [1100, 247, 450]
    assert len(set.union(*drawn)) == 1797
    for part in parts:
        assert part.pixels.shape[1:] == (1, 16, 16)
        shares = part.labels.bincount(minlength=10) / len(part)
        assert shares.min() > 0.08
        assert shares.max() < 0.12


def test_digits_are_the_same_for_a_seed_and_others_for_another(digits: Splits) -> None:
    again, other = load_dataset("digits", 0), load_dataset("digits", 1)
    assert torch.equal(digits.test.pixels[:], again.test.pixels[:])
    assert not torch.equal(digits.test.labels, other.test.labels)


def test_training_images_are_normalised(digits: Splits) -> None:
    images = torch.cat([images for images, _ in digits.train.batches(300)])
    assert len(images) == 1100
    assert images.mean().abs() < 1e-4
    assert abs(images.std() - 1) < 1e-4


def test_severity_says_how_far_an_image_is_from_its_original(digits: Splits) -> None:
    severity = digits.train.severity
    assert severity is not None
    assert 0.35 < (severity == 0).float().mean() < 0.45
    assert severity.max() <= 1
    rng = np.random.default_rng(0)
    image = digits.test.pixels[0][0].numpy() / 255
    damage = [
        np.mean([np.abs(degrade(image, s, rng) - image).mean() for _ in range(30)])
        for s in (0, 0.3, 0.6, 1)
    ]
    assert damage == sorted(damage)
    assert damage[0] == 0


def test_evaluation_batches_are_all_images_in_order(digits: Splits) -> None:
    data = digits.validation
    batches = list(data.batches(100))
    assert [len(labels) for _, labels in batches] == [*[100] * 7, 41]
    assert torch.equal(
        torch.cat([images for images, _ in batches]), data.normalized(data.pixels[:])
    )
    assert torch.equal(torch.cat([labels for _, labels in batches]), data.labels)


def test_unknown_data_sets_list_the_known() -> None:
    for name in ("mnist", "folder", "folder:", "folder@big:x", "CIFAR10"):
        with pytest.raises(InputError, match=rf"'{name}'.*digits, cifar10, cifar100, folder:PATH"):
            load_dataset(name)


@given(st.integers(1, 700), st.integers(1, 3), st.integers(0, 2**32 - 1))
def test_statistics_are_those_of_all_pixels_together(count: int, channels: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 256, (count, channels, 4, 3), dtype=np.uint8)
    mean, std = channel_statistics(torch.from_numpy(pixels))
    np.testing.assert_allclose(mean, pixels.mean((0, 2, 3)) / 255, rtol=1e-6)
    np.testing.assert_allclose(std, pixels.std((0, 2, 3)) / 255, rtol=1e-6)


def test_a_sample_for_statistics_is_spread_over_all_images() -> None:
    pixels = torch.arange(250, dtype=torch.uint8).view(-1, 1, 1, 1)
    mean, std = channel_statistics(pixels, sample=25)
    tenth = pixels[::10].double()
    assert float(mean) * 255 == pytest.approx(float(tenth.mean()))
    assert float(std) * 255 == pytest.approx(float(tenth.std(correction=0)))


def test_images_of_one_colour_are_normalised_to_zero() -> None:
    pixels = torch.full((5, 1, 2, 2), 77, dtype=torch.uint8)
    data = Dataset("flat", pixels, torch.zeros(5), *channel_statistics(pixels))
    assert data.normalized(pixels).abs().max() < 1e-4


def test_mapped_pixels_answer_as_a_tensor_does() -> None:
    values = torch.arange(60, dtype=torch.uint8).view(10, 1, 2, 3)
    rows = torch.tensor([7, 1, 9, 3])
    mapped, plain = MappedPixels(values.numpy(), rows), values[rows]
    assert len(mapped) == 4
    assert mapped.shape == plain.shape
    for index in (2, -1, slice(1, 3), slice(None, None, 2), torch.tensor([3, 0, 0])):
        assert torch.equal(mapped[index], plain[index])
    order = torch.tensor([2, 0])
    assert torch.equal(mapped.subset(order)[:], plain[order])
    mapped[0].zero_()
    assert torch.equal(mapped[:], plain)


def test_batches_move_to_the_device_and_pixels_in_a_file_stay() -> None:
    mapped = MappedPixels(np.zeros((10, 1, 4, 4), np.uint8), torch.arange(10))
    one, changes = torch.ones(1), Augmentation(max_shift=1, mirror=True)
    data = Dataset("m", mapped, torch.arange(10), one, one, changes, severity=torch.ones(10))
    moved = data.to("meta")
    assert moved.pixels is mapped
    assert moved.device.type == "meta"
    assert moved.severity is not None and moved.severity.is_meta
    for images, labels in (*moved.batches(3), TrainingStream(moved, 4, "0").batch(1)):
        assert images.is_meta
        assert labels.is_meta
    assert data.subset(torch.tensor([4, 2])).labels.tolist() == [4, 2]
