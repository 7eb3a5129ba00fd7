"""Files written whole: their mode, what is left when writing fails, long names, and what is no file and stays."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from leafwise.runtime.errors import UsageError
from leafwise.runtime.paths import check_writable, expanded, write_whole


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


def test_a_pipe_stays_and_gets_what_is_written(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    got: list[bytes] = []
    reader = threading.Thread(target=lambda: got.append(pipe.read_bytes()))
    reader.start()
    check_writable(pipe)
    write_whole(pipe, b"numbers")
    reader.join(timeout=20)
    assert got == [b"numbers"]
    assert pipe.is_fifo()


def test_a_device_stays(tmp_path: Path) -> None:
    device = tmp_path / "null"
    device.symlink_to(os.devnull)
    write_whole(device, b"1")
    assert device.is_symlink()
    assert device.is_char_device()


STDOUT = """
import sys
from pathlib import Path
from leafwise.runtime.paths import check_writable, write_whole
for name in sys.argv[1:]:
    check_writable(Path(name))
    write_whole(Path(name), name.encode() + b"\\n")
print("printed")
"""


@pytest.mark.parametrize("name", ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"])
def test_redirected_standard_output_keeps_what_is_there_and_what_follows(tmp_path: Path, name: str) -> None:
    before = Path("/dev/stdout").readlink()
    with (tmp_path / "out").open("wb") as out:
        subprocess.run([sys.executable, "-c", STDOUT, name, name], stdout=out, check=True)
    assert (tmp_path / "out").read_text() == f"{name}\n{name}\nprinted\n"
    assert Path("/dev/stdout").readlink() == before


def test_whether_a_place_can_be_written_is_known_before(tmp_path: Path) -> None:
    (tmp_path / "there").write_text("mine")
    check_writable(tmp_path / "there")
    check_writable(tmp_path / "new")
    for place in (tmp_path, tmp_path / "missing" / "file", Path("/proc/new")):  # which takes nothing, from root neither
        with pytest.raises(OSError, match=r"directory|denied|permitted|file system"):
            check_writable(place)
    assert [path.name for path in tmp_path.iterdir()] == ["there"]
    assert (tmp_path / "there").read_text() == "mine"
