"""Outputs take the place of files alone, never of folders or devices."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from accel_models import InputError
from accel_models.files import replaceable, same_file, whole_file


def test_a_file_appears_whole_in_the_place_of_another(tmp_path: Path) -> None:
    target = tmp_path / "new" / "file.txt"
    for content in ("one", "two"):
        with whole_file(target) as partial:
            partial.write_text(content)
        assert target.read_text() == content
    assert list(target.parent.iterdir()) == [target]


def test_what_is_no_file_is_left_where_it_is(tmp_path: Path) -> None:
    pipe, link = tmp_path / "pipe", tmp_path / "link"
    os.mkfifo(pipe)
    link.symlink_to(pipe)
    before = pipe.stat().st_mode
    for place in (pipe, link):
        with pytest.raises(InputError, match="it is no regular file"), whole_file(place):
            pass
    assert pipe.stat().st_mode == before and link.is_symlink()
    for folder in (tmp_path, Path("")):
        with pytest.raises(InputError, match="it is a folder"):
            replaceable(folder)
    with pytest.raises(InputError, match="cannot write"), whole_file(tmp_path / ("a" * 300)):
        pass


def test_one_file_has_several_names(tmp_path: Path) -> None:
    one, link = tmp_path / "one", tmp_path / "link"
    link.symlink_to(one)
    assert not same_file(one, link)
    one.write_text("")
    assert same_file(one, link) and not same_file(one, tmp_path)
