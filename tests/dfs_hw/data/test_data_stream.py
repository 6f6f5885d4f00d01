from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from accel_models.errors import InputError
from dfs_hw.data import Augmentation, Dataset, MappedPixels, TrainingStream, generator_for

CHANGES = (
    Augmentation(),
    Augmentation(max_shift=2, mirror=True),
    Augmentation(mirror=True, min_area=0.3),
)


def numbered(count: int, augmentation: Augmentation = CHANGES[0]) -> Dataset:
    """Images of noise whose labels are their numbers."""
    pixels = torch.randint(256, (count, 2, 5, 6), dtype=torch.uint8, generator=generator_for("x"))
    return Dataset(
        "numbered",
        pixels,
        torch.arange(count),
        mean=torch.tensor([0.4, 0.5]),
        std=torch.tensor([0.2, 0.3]),
        augmentation=augmentation,
    )


def same(one: tuple[Tensor, Tensor], other: tuple[Tensor, Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def labels_of(stream: TrainingStream, steps: range) -> Tensor:
    """Numbers of the images seen, [step, batch]."""
    return torch.stack([stream.batch(step)[1] for step in steps])


@given(
    st.sampled_from(CHANGES),
    st.integers(1, 4),
    st.integers(1, 5),
    st.integers(0, 60),
    st.integers(0, 9),
    st.booleans(),
)
def test_processes_together_see_exactly_what_one_sees(
    change: Augmentation, world: int, each: int, more: int, step: int, with_replacement: bool
) -> None:
    data, batch = numbered(world * each + more, change), world * each

    def stream() -> TrainingStream:
        return TrainingStream(data, batch, "0/weights", with_replacement=with_replacement)

    parts = [stream().batch(step, (rank, world)) for rank in range(world)]
    joined = torch.cat([images for images, _ in parts]), torch.cat([labels for _, labels in parts])
    assert same(joined, stream().batch(step))


@pytest.mark.parametrize("change", CHANGES)
def test_a_step_is_the_same_whatever_was_asked_before(change: Augmentation) -> None:
    data = numbered(23, change)
    first = TrainingStream(data, 5, "3/gates")
    forwards = [first.batch(step) for step in range(10)]
    for step in reversed(range(10)):
        assert same(first.batch(step), forwards[step])
        assert same(TrainingStream(data, 5, "3/gates").batch(step), forwards[step])


def test_each_pass_visits_every_image_once_in_an_order_of_its_own() -> None:
    stream = TrainingStream(numbered(24), 6, "0")
    assert stream.steps_per_pass == 4
    passes = labels_of(stream, range(12)).view(3, 24)
    assert torch.equal(passes.sort(1).values, torch.arange(24).expand(3, -1))
    assert len(passes.unique(dim=0)) == 3


def test_an_incomplete_last_batch_is_left_out() -> None:
    stream = TrainingStream(numbered(29), 6, "0")
    assert stream.steps_per_pass == 4
    assert len(labels_of(stream, range(4)).unique()) == 24


def test_a_batch_of_more_than_there_is_takes_all_images() -> None:
    stream = TrainingStream(numbered(7), 100, "0")
    assert (stream.batch_size, stream.steps_per_pass) == (7, 1)
    orders = labels_of(stream, range(2))
    assert torch.equal(orders.sort(1).values, torch.arange(7).expand(2, -1))
    assert not torch.equal(*orders)


def test_with_replacement_every_step_draws_from_all_images() -> None:
    stream = TrainingStream(numbered(20), 10, "0", with_replacement=True)
    batches = labels_of(stream, range(400))
    assert all(len(batch.unique()) == 10 for batch in batches)
    pairs = [len(pair.unique()) for pair in batches.view(200, 20)]
    assert min(pairs) < 20  # without it, two steps would be a pass
    counts = batches.flatten().bincount(minlength=20)
    assert (counts - 200).abs().max() < 50  # five deviations of 10


def test_seed_words_decide_order_and_augmentation() -> None:
    data = numbered(40, CHANGES[1])
    one, other = TrainingStream(data, 40, "0/weights"), TrainingStream(data, 40, "1/weights")
    assert not torch.equal(labels_of(one, range(1)), labels_of(other, range(1)))
    alike = data.subset(torch.zeros(40, dtype=torch.int64))
    changed = [TrainingStream(alike, 40, words).batch(0)[0] for words in ("0", "1")]
    assert not torch.equal(*changed)


def test_every_step_of_every_pass_is_augmented_anew_and_order_stays() -> None:
    plain, changed = (TrainingStream(numbered(12, change), 4, "0") for change in CHANGES[:2])
    assert torch.equal(labels_of(plain, range(6)), labels_of(changed, range(6)))
    data = numbered(1, CHANGES[1])
    alike = data.subset(torch.zeros(12, dtype=torch.int64))
    stream = TrainingStream(alike, 4, "0")
    batches = torch.stack([stream.batch(step)[0] for step in range(6)])
    assert len(batches.unique(dim=0)) == 6


def test_images_come_normalised_with_their_labels() -> None:
    data = numbered(9)
    images, labels = TrainingStream(data, 4, "0").batch(1)
    raw = data.pixels[labels].double() / 255
    assert torch.allclose(images[:, 1].double(), (raw[:, 1] - 0.5) / 0.3, atol=1e-5)
    assert images.is_contiguous()


@pytest.mark.parametrize("change", CHANGES)
def test_pixels_in_a_file_give_the_batches_of_pixels_in_memory(change: Augmentation) -> None:
    data = numbered(30, change)
    order = torch.randperm(30, generator=generator_for("rows"))
    stored = np.empty(data.pixels.shape, np.uint8)
    stored[order.numpy()] = data.pixels[:].numpy()
    mapped = replace(data, pixels=MappedPixels(stored, order))
    for step in range(5):
        one, other = (TrainingStream(d, 8, "0").batch(step, (1, 2)) for d in (data, mapped))
        assert same(one, other)


def test_what_cannot_be_streamed_is_refused() -> None:
    with pytest.raises(InputError, match="at least 1 image, got 0"):
        TrainingStream(numbered(5), 0, "0")
    with pytest.raises(InputError, match="'numbered' holds no image"):
        TrainingStream(numbered(0), 4, "0")
    stream = TrainingStream(numbered(50), 10, "0")
    with pytest.raises(InputError, match="10 images cannot be shared evenly by 4"):
        stream.batch(0, (0, 4))
    with pytest.raises(InputError, match="of 2 processes none has the rank 2"):
        stream.batch(0, (2, 2))
    with pytest.raises(InputError, match="from 0, got -1"):
        stream.batch(-1)


def test_generators_depend_on_every_word_and_number() -> None:
    assert generator_for("123456789").initial_seed() == 0xCBF43926  # check value of CRC-32
    seeds = {
        generator_for(words, *numbers).initial_seed()
        for words in ("0", "1", "0/gates")
        for numbers in ((), (0,), (1,), (0, 0), (0, 1), (10,), (1, 0))
    }
    assert len(seeds) == 21
    again = [torch.rand(3, generator=generator_for("noise", 5)) for _ in range(2)]
    assert torch.equal(*again)
