"""Files written whole: their mode, what is left when writing fails, and names as long as they can be."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from leafwise.runtime.errors import UsageError
from leafwise.runtime.paths import expanded, write_whole


@pytest.fixture(params=[0o022, 0o002, 0o077])
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_a_file_has_the_mode_that_every_new_file_has(tmp_path: Path, umask: int) -> None:
    write_whole(tmp_path / "report", b"1")
    (tmp_path / "usual").touch()
    assert mode(tmp_path / "report") == mode(tmp_path / "usual") == 0o666 & ~umask
    write_whole(tmp_path / "report", b"2", private=True)
    assert mode(tmp_path / "report") == 0o600
    assert (tmp_path / "report").read_bytes() == b"2"


def test_nothing_is_left_where_writing_fails(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(IsADirectoryError):
        write_whole(tmp_path / "folder", b"1")
    with pytest.raises(FileNotFoundError):
        write_whole(tmp_path / "missing" / "file", b"1")
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "file"
    write_whole(target, b"old")
    with pytest.raises(TypeError):
        write_whole(target, "no bytes")  # type: ignore[arg-type]
    assert target.read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_the_longest_name_works(tmp_path: Path) -> None:
    target = tmp_path / ("n" * 255)
    write_whole(target, b"1")
    assert target.read_bytes() == b"1"


def test_a_user_that_is_not_there_is_a_clear_error() -> None:
    with pytest.raises(UsageError, match="there is no such user here"):
        expanded("~nobody-of-that-name/a.py")
    assert expanded("~/a.py") == Path.home() / "a.py"
