import hashlib
import io
import os
import tarfile
import threading
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from http.server import HTTPServer, SimpleHTTPRequestHandler
from pathlib import Path

import numpy as np
import pytest
import torch

from accel_models.errors import InputError
from dfs_hw.data import DATA_ENV, load_cifar10, load_cifar100, load_dataset
from dfs_hw.data.cifar import CIFAR10, CIFAR100, Cifar, load_cifar, read_records, unpack

BOTH = pytest.mark.parametrize("source", [CIFAR10, CIFAR100], ids=lambda source: source.name)


def records(source: Cifar, count: int) -> np.ndarray:
    """Black images of class 0 in the file's layout."""
    return np.zeros((count, source.label_bytes + 3072), np.uint8)


def write_archive(path: Path, source: Cifar, names: tuple[str, ...]) -> None:
    with tarfile.open(path, "w:gz") as tar:
        for name in (*(f"{source.folder}/{name}" for name in names), "../../evil.txt"):
            member = tarfile.TarInfo(name)
            member.size = 3
            tar.addfile(member, io.BytesIO(b"abc"))


@BOTH
def test_a_record_is_labels_before_planes_of_pixels(source: Cifar, tmp_path: Path) -> None:
    rows = records(source, 12)
    labels = [7] if source is CIFAR10 else [19, 98]  # a coarse label, then the fine one
    rows[5] = [*labels, *([1] * 1024), *([2] * 1024), *([3] * 1024)]
    rows[5, source.label_bytes + 33] = 99
    rows.tofile(tmp_path / "some.bin")
    pixels, found = read_records(tmp_path / "some.bin", source, 12)
    assert pixels.shape == (12, 3, 32, 32)
    assert found.tolist() == [0] * 5 + [labels[-1]] + [0] * 6
    assert pixels[5, :, 0, 0].tolist() == [1, 2, 3]
    assert pixels[5, 0, 1, 1] == 99


@BOTH
def test_damaged_files_are_named(source: Cifar, tmp_path: Path) -> None:
    short = tmp_path / "short.bin"
    short.write_bytes(b"\0" * 3073)
    bytes_wanted = 10 * (source.label_bytes + 3072)
    with pytest.raises(InputError, match=rf"short\.bin has 3073 bytes.* {bytes_wanted}$"):
        read_records(short, source, 10)
    wrong = tmp_path / "wrong.bin"
    rows = records(source, 10)
    rows[7, source.label_bytes - 1] = 112
    rows.tofile(wrong)
    with pytest.raises(InputError, match=r"wrong\.bin holds the label 112.* 0 to 9"):
        read_records(wrong, source, 10)
    with pytest.raises(InputError, match=r"cannot read .*absent\.bin"):
        read_records(tmp_path / "absent.bin", source, 10)


@pytest.mark.slow
def test_files_of_the_official_sizes_are_read_and_split(tmp_path: Path) -> None:
    folder = tmp_path / CIFAR100.folder
    folder.mkdir()
    for name, count in (("train.bin", 50_000), ("test.bin", 10_000)):
        rows = records(CIFAR100, count)
        number = np.arange(count)
        rows[:, 0] = 255  # the coarse label, which nobody reads
        rows[:, 1] = number % 100
        rows[:, 2], rows[:, 3] = number // 256, number % 256
        rows.tofile(folder / name)
    splits = load_cifar100(tmp_path)
    parts = (splits.train, splits.validation, splits.test)
    assert [len(part) for part in parts] == [45_000, 5_000, 10_000]
    numbers = [
        256 * part.pixels[:][:, 0, 0, 0].long() + part.pixels[:][:, 0, 0, 1].long()
        for part in parts
    ]
    assert torch.equal(torch.cat(numbers[:2]).sort().values, torch.arange(50_000))
    assert torch.equal(numbers[2], torch.arange(10_000))
    for part, number in zip(parts, numbers, strict=True):
        assert torch.equal(part.labels, number % 100)


def test_classes_are_named_in_alphabetical_order_as_published() -> None:
    for source, count in ((CIFAR10, 10), (CIFAR100, 100)):
        assert len(set(source.classes)) == count
        assert list(source.classes) == sorted(source.classes)
    assert CIFAR10.classes[3] == "cat"
    assert (CIFAR100.classes[0], CIFAR100.classes[19], CIFAR100.classes[99]) == (
        "apple",
        "cattle",
        "worm",
    )


@BOTH
def test_a_folder_without_the_files_says_what_to_set(source: Cifar, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=rf"no {source.title}.*{source.folder}.*DFS_HW_DATA"):
        load_cifar(source, tmp_path)


@BOTH
def test_unpacking_writes_the_data_files_and_nothing_else(source: Cifar, tmp_path: Path) -> None:
    archive, folder = tmp_path / "a.tar.gz", tmp_path / "in" / "here"
    write_archive(archive, source, source.files)
    unpack(archive, source, folder)
    assert sorted(path.name for path in folder.iterdir()) == sorted(source.files)
    assert not list(tmp_path.rglob("evil.txt"))


@BOTH
def test_an_archive_that_lacks_a_file_says_which(source: Cifar, tmp_path: Path) -> None:
    archive = tmp_path / "a.tar.gz"
    write_archive(archive, source, source.training_files)
    with pytest.raises(InputError, match=rf"holds no .*{source.test_file}"):
        unpack(archive, source, tmp_path / "out")


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Path, str]]:
    """A folder, and the address at which a web server offers its files; caches are empty."""
    folder = tmp_path / "served"
    folder.mkdir()
    monkeypatch.delenv(DATA_ENV, raising=False)
    monkeypatch.setenv("DFS_HW_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    handler = partial(SimpleHTTPRequestHandler, directory=str(folder))
    with HTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield folder, f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_an_archive_is_downloaded_checked_and_kept(
    served: tuple[Path, str], tmp_path: Path
) -> None:
    folder, address = served
    archive = folder / "a.tar.gz"
    write_archive(archive, CIFAR100, CIFAR100.files)
    url = f"{address}/a.tar.gz"
    forged = replace(CIFAR100, url=url, digest="md5:" + "0" * 32)
    with pytest.raises(InputError, match=r"CIFAR-100 could not be downloaded .*DFS_HW_DATA"):
        load_cifar(forged)
    assert not list((tmp_path / "cache").rglob("*.bin"))
    genuine = replace(forged, digest="md5:" + hashlib.md5(archive.read_bytes()).hexdigest())
    for _ in range(2):
        with pytest.raises(InputError, match=r"cifar-100-binary/train\.bin has 3 bytes"):
            load_cifar(genuine)
        archive.unlink(missing_ok=True)  # the second time, it is not asked for again


@pytest.mark.slow
@pytest.mark.skipif(DATA_ENV not in os.environ, reason="needs DFS_HW_DATA")
def test_cifar10_as_published() -> None:
    splits = load_dataset("cifar10")
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
    assert torch.allclose(splits.train.std, torch.tensor([0.2470, 0.2435, 0.2616]), atol=2e-3)
    assert not torch.equal(load_cifar10(seed=1).validation.labels, splits.validation.labels)
