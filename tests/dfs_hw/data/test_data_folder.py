import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from accel_models.errors import InputError
from dfs_hw.data import MappedPixels, Splits, TrainingStream, load_dataset, load_folder
from dfs_hw.data.decoding import decoded, read_image


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of its own for each test."""
    monkeypatch.setenv("DFS_HW_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "images"


def paint(path: Path, grey: int = 0, size: tuple[int, int] = (8, 8)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", size, grey).save(path)
    return path


def folder_of(root: Path, **counts: int) -> Path:
    """Images in ``part/class/``: ``train_cat=3`` is three in train/cat, of one grey value each."""
    for place, count in counts.items():
        part, name = place.split("_")
        for number in range(count):
            paint(root / part / name / f"{number:03}.png", number)
    return root


def greys(splits: Splits, part: str) -> list[int]:
    data = getattr(splits, part)
    return data.pixels[:][:, 0, 0, 0].tolist()


def test_training_images_are_shared_with_validation_class_by_class(tmp_path: Path) -> None:
    root = folder_of(tmp_path / "d", train_cat=40, train_dog=23, train_emu=2, val_dog=3, val_cat=1)
    splits, other = (load_folder(root, 8, seed) for seed in (0, 1))
    assert splits.classes == ("cat", "dog", "emu")
    assert Counter(splits.validation.labels.tolist()) == {0: 4, 1: 2, 2: 1}
    for label, count in ((0, 40), (1, 23), (2, 2)):
        together = [
            part.pixels[:][part.labels == label][:, 0, 0, 0]
            for part in (splits.train, splits.validation)
        ]
        assert torch.equal(torch.cat(together).sort().values, torch.arange(count).byte())
    assert splits.test.labels.tolist() == [0, 1, 1, 1]
    assert greys(splits, "test") == [0, 0, 1, 2]
    assert greys(splits, "validation") != greys(other, "validation")
    assert greys(other, "test") == greys(splits, "test")


def test_val_and_test_are_taken_as_they_are_called(tmp_path: Path) -> None:
    root = folder_of(tmp_path / "d", train_a=1, train_b=2, val_b=3, test_b=4)
    splits = load_folder(root, 8)
    parts = (splits.train, splits.validation, splits.test)
    assert [part.labels.tolist() for part in parts] == [[0, 1, 1], [1] * 3, [1] * 4]
    (root / "val").rename(root / "elsewhere")
    with pytest.raises(InputError, match="class 'a' in train/ has 1 image"):
        load_folder(root, 8)
    paint(root / "train" / "a" / "more.png")
    assert len(load_folder(root, 8).test) == 4


def test_a_name_gives_folder_and_image_size(tmp_path: Path) -> None:
    root = folder_of(tmp_path / "d: e", train_a=5, val_a=1)
    small = load_dataset(f"folder@6:{root}")
    assert small.train.image_size == (6, 6)
    assert small.train.channels == 3
    assert load_dataset(f"folder:{root}").train.image_size == (224, 224)


def test_statistics_are_those_of_the_images_to_train_on(tmp_path: Path) -> None:
    splits = load_folder(folder_of(tmp_path / "d", train_a=30, val_a=30), 8)
    images = splits.train.normalized(splits.train.pixels[:]).double()
    assert images.mean((0, 2, 3)).abs().max() < 1e-5
    assert (images.std((0, 2, 3), correction=0) - 1).abs().max() < 1e-5
    assert torch.equal(splits.validation.mean, splits.train.mean)
    assert torch.equal(splits.test.std, splits.train.std)


def test_many_images_are_kept_in_their_order(tmp_path: Path) -> None:
    """There are more than are decoded at once, and some take longer than others."""
    count = 40 * (os.cpu_count() or 1)
    sizes = [(8, 8), (300, 200)]
    paths = [
        paint(tmp_path / f"{n}.png", n % 251, sizes[n % 7 == 0]).as_posix() for n in range(count)
    ]
    stored = decoded(paths, 4)
    assert stored.shape == (count, 3, 4, 4)
    assert (stored == (np.arange(count) % 251)[:, None, None, None]).all()


def test_shorter_sides_are_resized_and_centres_kept(tmp_path: Path) -> None:
    bands = np.zeros((20, 60, 3), np.uint8)
    bands[:, 20:40] = (10, 130, 250)
    for name, image in (("wide", bands), ("high", bands.transpose(1, 0, 2))):
        Image.fromarray(image).save(tmp_path / f"{name}.png")
        square = read_image(tmp_path / f"{name}.png", 20)
        assert (square == np.array([10, 130, 250])[:, None, None]).all()
    ramp = np.tile(np.arange(0, 240, dtype=np.uint8)[None, :, None], (240, 1, 3))
    Image.fromarray(ramp).save(tmp_path / "ramp.png")
    small = read_image(tmp_path / "ramp.png", 24)
    inner = small[:, :, 1:-1].astype(float)
    assert np.abs(inner - (10 * np.arange(1, 23) + 4.5)).max() <= 0.5


def test_images_of_every_8_bit_kind_become_red_green_blue(tmp_path: Path) -> None:
    color = (200, 100, 50)
    image = Image.new("RGB", (6, 6), color)
    kinds = {"rgb.png": image, "rgba.png": image.convert("RGBA"), "palette.png": image.quantize()}
    for name, kind in kinds.items():
        kind.save(tmp_path / name)
        assert read_image(tmp_path / name, 6)[:, 3, 3].tolist() == list(color)
    image.convert("CMYK").save(tmp_path / "cmyk.jpg", quality=100)
    assert np.abs(read_image(tmp_path / "cmyk.jpg", 6)[:, 3, 3] - np.array(color)).max() <= 3
    image.convert("L").save(tmp_path / "grey.png")
    assert len(set(read_image(tmp_path / "grey.png", 6)[:, 3, 3].tolist())) == 1


def test_a_photo_taken_upright_is_read_upright(tmp_path: Path) -> None:
    lying = Image.new("L", (16, 16), 0)
    lying.paste(240, (0, 0, 16, 8))
    exif = Image.Exif()
    exif[0x0112] = 6  # orientation: to be turned clockwise by a quarter
    lying.save(tmp_path / "photo.jpg", exif=exif, quality=100)
    read = read_image(tmp_path / "photo.jpg", 16)[0]
    assert read[:, 9:].min() > 220
    assert read[:, :7].max() < 20


def test_damaged_images_are_named(tmp_path: Path) -> None:
    root = folder_of(tmp_path / "d", train_a=4, val_a=1)
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    for suffix in ("jpg", "png", "bmp", "webp", "tiff"):
        bad = root / "train" / "a" / f"bad.{suffix}"
        Image.fromarray(noise).save(bad)
        whole = bad.read_bytes()
        for damaged in (whole[: len(whole) // 2], b"", b"no image at all"):
            bad.write_bytes(damaged)
            with pytest.raises(InputError, match=rf"train/a/bad\.{suffix}"):
                load_folder(root, 8)
        bad.unlink()
    pipe = root / "train" / "a" / "pipe.png"  # which nobody writes to: waited for, it would hang
    os.mkfifo(pipe)
    with pytest.raises(InputError, match=r"pipe\.png: it is no regular file"):
        load_folder(root, 8)
    pipe.unlink()
    deep = root / "train" / "a" / "deep.png"
    Image.fromarray(np.full((8, 8), 40_000, np.uint16)).save(deep)
    with pytest.raises(InputError, match=r"deep\.png.*not 8-bit"):
        load_folder(root, 8)


def test_other_files_and_hidden_ones_are_ignored(tmp_path: Path) -> None:
    root = folder_of(tmp_path / "d", train_a=4, val_a=1)
    folder = root / "train" / "a"
    (folder / "notes.txt").write_text("no image")
    (folder / "._000.png").write_bytes(b"what macOS leaves behind")
    paint(folder / ".checkpoints" / "000.png")
    paint(root / "train" / ".trash" / "000.png")
    paint(folder / "deeper" / "UPPER.PNG", 99)
    splits = load_folder(root, 8)
    assert splits.classes == ("a",)
    assert sorted(greys(splits, "train") + greys(splits, "validation")) == [0, 1, 2, 3, 99]


def test_images_are_decoded_once_and_again_when_they_change(tmp_path: Path, cache: Path) -> None:
    path = paint(tmp_path / "one.png", 50)
    status = path.stat()
    assert decoded([str(path)], 8).max() == 50
    path.write_bytes(b"\0" * status.st_size)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert decoded([str(path)], 8).max() == 50
    with pytest.raises(InputError, match=r"one\.png"):
        decoded([str(path)], 9)
    paint(path, 60)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    assert decoded([str(path)], 8).max() == 60
    assert len(list(cache.iterdir())) == 2


def test_nothing_half_done_is_taken_for_whole(tmp_path: Path, cache: Path) -> None:
    paths = [str(paint(tmp_path / f"{n}.png", n)) for n in range(5)]
    good = Path(paths[3]).read_bytes()
    Path(paths[3]).write_bytes(good[:40])
    with pytest.raises(InputError, match=r"3\.png"):
        decoded(paths, 8)
    assert not list(cache.iterdir())
    Path(paths[3]).write_bytes(good)
    first = decoded(paths, 8).copy()
    (file,) = cache.iterdir()
    whole = file.read_bytes()
    for damaged in (whole[:-1], whole[:40], b"", whole.replace(b"(5,", b"(4,")):
        file.write_bytes(damaged)
        assert np.array_equal(decoded(paths, 8), first)
        assert file.read_bytes() == whole


def test_images_beyond_the_disk_are_refused_beforehand(tmp_path: Path) -> None:
    root = folder_of(tmp_path / "d", train_a=2, val_a=1)
    with pytest.raises(InputError, match=r"need 6e\+05 GB.*DFS_HW_CACHE"):
        load_dataset(f"folder@10000000:{root}")


def test_a_batch_is_read_without_the_rest_of_its_file(tmp_path: Path) -> None:
    """The file is far larger than memory, and all but three images of it are a hole."""
    count, image = 10**9, 3 * 8 * 8
    header = {"descr": "|u1", "fortran_order": False, "shape": (count, 3, 8, 8)}
    with (tmp_path / "huge.npy").open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        start = file.tell()
        try:
            file.truncate(start + count * image)
        except OSError:
            pytest.skip("the disk takes no file with holes of this size")
        for row in (0, 777_777_777, count - 1):
            file.seek(start + row * image)
            file.write(bytes([row % 251]) * image)
    stored = np.load(tmp_path / "huge.npy", mmap_mode="r")
    pixels = MappedPixels(stored, torch.tensor([count - 1, 0, 5, 777_777_777]))
    assert pixels[torch.tensor([3, 0, 2])][:, 2, 7, 7].tolist() == [
        777_777_777 % 251,
        (count - 1) % 251,
        0,
    ]


def test_a_folder_can_be_trained_on(tmp_path: Path) -> None:
    root = folder_of(tmp_path / "d", train_a=20, train_b=20, test_a=2)
    data = load_folder(root, 8).train
    images, labels = TrainingStream(data, 12, "0").batch(1)
    assert images.shape == (12, 3, 8, 8)
    number = ((images[:, 0, 4, 4] * data.std[0] + data.mean[0]) * 255).round()
    shown = data.pixels[:][:, 0, 0, 0]
    pairs = set(zip(shown.tolist(), data.labels.tolist(), strict=True))
    assert set(zip(number.long().tolist(), labels.tolist(), strict=True)) <= pairs


def test_folders_that_are_no_data_set_say_why(tmp_path: Path) -> None:
    for counts in ({}, {"val_a": 2}, {"train_a": 2}):
        root = folder_of(tmp_path / f"d{len(list(tmp_path.iterdir()))}", **counts)
        with pytest.raises(InputError, match="needs train/ and val/ or test/"):
            load_folder(root, 8)
    root = folder_of(tmp_path / "whole", train_a=2, val_a=1)
    with pytest.raises(InputError, match="at least 1 pixel, got 0"):
        load_folder(root, 0)
    (root / "train" / "b").mkdir()
    with pytest.raises(InputError, match=r"train/b holds no image: known are \.bmp, \.jpeg"):
        load_folder(root, 8)
    (root / "train" / "b").rmdir()
    paint(root / "val" / "c" / "0.png")
    with pytest.raises(InputError, match="val has the class 'c', and train/ does not"):
        load_folder(root, 8)
