import io
import os
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch

from accel_models.errors import InputError
from dfs_hw import data
from dfs_hw.data import Splits, augment, degrade, load_cifar10, load_dataset, load_digits


@pytest.fixture(scope="module")
def digits() -> Splits:
    return load_digits(0)


def test_digits_come_in_disjoint_stratified_splits(digits: Splits) -> None:
    parts = (digits.train, digits.validation, digits.test)
    assert [len(part) for part in parts] == [1100, 247, 450]
    for part in parts:
        assert part.pixels.shape[1:] == (1, 16, 16)
        shares = part.labels.bincount(minlength=10) / len(part)
        assert shares.min() > 0.08
        assert shares.max() < 0.12


def test_digits_are_the_same_for_a_seed_and_others_for_another(digits: Splits) -> None:
    again, other = load_digits(0), load_digits(1)
    assert torch.equal(digits.test.pixels, again.test.pixels)
    assert not torch.equal(digits.test.labels, other.test.labels)


def test_training_images_are_normalised(digits: Splits) -> None:
    images = digits.train.normalized(digits.train.pixels)
    assert images.mean().abs() < 1e-4
    assert abs(images.std() - 1) < 1e-4


def test_severity_says_how_far_an_image_is_from_its_original(digits: Splits) -> None:
    severity = digits.train.severity
    assert severity is not None
    assert 0.35 < (severity == 0).float().mean() < 0.45
    assert severity.max() <= 1
    rng = np.random.default_rng(0)
    image = load_digits(0, size=16).test.pixels[0, 0].numpy() / 255
    damage = [
        np.mean([np.abs(degrade(image, s, rng) - image).mean() for _ in range(30)])
        for s in (0, 0.3, 0.6, 1)
    ]
    assert damage == sorted(damage)
    assert damage[0] == 0


def test_an_epoch_visits_every_image_at_most_once(digits: Splits) -> None:
    generator = torch.Generator().manual_seed(0)
    plain = data.replace(digits.validation, max_shift=0)
    batches = list(plain.shuffled_batches(50, generator))
    assert [len(labels) for _, labels in batches] == [50] * 4
    seen = torch.cat([images for images, _ in batches]).flatten(1)
    assert len(seen.unique(dim=0)) == 200
    whole = torch.cat([images for images, _ in plain.batches(100)])
    assert torch.equal(whole, plain.normalized(plain.pixels))


def test_augmentation_shifts_images_within_bounds_and_keeps_them_whole() -> None:
    pixels = torch.zeros(200, 1, 7, 7, dtype=torch.uint8)
    pixels[:, 0, 3, 3] = 9
    moved = augment(pixels, 2, False, torch.Generator().manual_seed(0))
    assert moved.dtype == torch.uint8
    assert (moved.flatten(1).sum(1) == 9).all()
    rows, columns = (moved[:, 0] == 9).nonzero()[:, 1:].T
    for position in (rows, columns):
        assert set(position.tolist()) == {1, 2, 3, 4, 5}


def test_mirroring_flips_about_half_the_images() -> None:
    pixels = torch.arange(4, dtype=torch.uint8).expand(300, 2, 3, 4)
    flipped = augment(pixels, 0, True, torch.Generator().manual_seed(0))
    share = (flipped[:, 0, 0, 0] == 3).float().mean()
    assert 0.4 < share < 0.6
    assert set(flipped[:, 0, 0, 0].tolist()) == {0, 3}


def test_unknown_data_set_lists_the_known() -> None:
    with pytest.raises(InputError, match=r"'mnist'.*digits, cifar10"):
        load_dataset("mnist")


def test_damaged_cifar_files_are_named(tmp_path: Path) -> None:
    short = tmp_path / "data_batch_1.bin"
    short.write_bytes(b"\0" * 3073)
    with pytest.raises(InputError, match=r"data_batch_1\.bin has 3073 bytes.*30730000"):
        data.read_cifar_file(short)
    wrong = tmp_path / "test_batch.bin"
    rows = np.zeros((10_000, 3073), np.uint8)
    rows[77, 0] = 12
    rows.tofile(wrong)
    with pytest.raises(InputError, match=r"test_batch\.bin holds the label 12"):
        data.read_cifar_file(wrong)
    with pytest.raises(InputError, match=r"cannot read .*absent\.bin"):
        data.read_cifar_file(tmp_path / "absent.bin")


def test_a_cifar_file_is_labels_before_planes_of_pixels(tmp_path: Path) -> None:
    rows = np.zeros((10_000, 3073), np.uint8)
    rows[5] = [7, *([1] * 1024), *([2] * 1024), *([3] * 1024)]
    rows[5, 1 + 33] = 99
    rows.tofile(tmp_path / "one.bin")
    pixels, labels = data.read_cifar_file(tmp_path / "one.bin")
    assert labels[5] == 7
    assert pixels[5, :, 0, 0].tolist() == [1, 2, 3]
    assert pixels[5, 0, 1, 1] == 99


def test_a_folder_without_cifar_says_what_to_set(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="DFS_HW_DATA"):
        load_cifar10(tmp_path)


def test_unpacking_writes_the_six_files_and_nothing_else(tmp_path: Path) -> None:
    archive, folder = tmp_path / "a.tar.gz", tmp_path / "in" / "here"
    names = [*data.CIFAR10_TRAINING, data.CIFAR10_TEST]
    with tarfile.open(archive, "w:gz") as tar:
        for name in [*(f"{data.CIFAR10_FOLDER}/{name}" for name in names), "../../evil.txt"]:
            member = tarfile.TarInfo(name)
            member.size = 3
            tar.addfile(member, io.BytesIO(b"abc"))
    data.unpack_cifar10(archive, folder)
    assert sorted(path.name for path in folder.iterdir()) == sorted(names)
    assert not list(tmp_path.rglob("evil.txt"))


def test_an_archive_that_lacks_a_file_says_which(tmp_path: Path) -> None:
    archive = tmp_path / "a.tar.gz"
    with tarfile.open(archive, "w:gz"):
        pass
    with pytest.raises(InputError, match=r"holds no .*data_batch_1\.bin"):
        data.unpack_cifar10(archive, tmp_path / "out")


@pytest.mark.skipif(data.DATA_ENV not in os.environ, reason="needs DFS_HW_DATA")
def test_cifar10_as_published() -> None:
    splits = load_cifar10()
    assert [len(p) for p in (splits.train, splits.validation, splits.test)] == [
        45_000,
        5_000,
        10_000,
    ]
    known = torch.cat([splits.train.labels, splits.validation.labels])
    assert known.bincount().tolist() == [5_000] * 10
    assert splits.test.labels.bincount().tolist() == [1_000] * 10
    assert splits.classes[splits.test.labels[0]] == "cat"
    assert torch.allclose(splits.train.mean, torch.tensor([0.4914, 0.4822, 0.4465]), atol=2e-3)
