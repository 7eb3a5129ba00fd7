"""A file is whole or not there: after errors, interrupts, kills, and beside others who write the same one."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from leafwise.quant.errors import QuantizeError
from leafwise.quant.safe_write import remove_leftovers, whole_file


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_appears_when_it_is_whole_and_not_before(tmp_path: Path) -> None:
    target = tmp_path / "new.bin"
    with whole_file(target, replace=False, needed_bytes=3) as part:
        assert part.parent == tmp_path, "beside it, so that renaming cannot copy"
        part.write_bytes(b"abc")
        assert not target.exists()
    assert target.read_bytes() == b"abc"
    assert names(tmp_path) == ["new.bin"]


@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_permissions_are_those_of_any_new_file(tmp_path: Path, mask: int, mode: int) -> None:
    before = os.umask(mask)
    try:
        with whole_file(tmp_path / "new.bin", replace=False, needed_bytes=0):
            pass
    finally:
        os.umask(before)
    assert (tmp_path / "new.bin").stat().st_mode & 0o777 == mode


def test_a_file_is_replaced_only_if_that_is_wanted(tmp_path: Path) -> None:
    target = tmp_path / "there.bin"
    target.write_bytes(b"old")
    with pytest.raises(QuantizeError, match="exists already"), whole_file(target, replace=False, needed_bytes=0):
        pytest.fail("refused before the work")
    with whole_file(target, replace=True, needed_bytes=0) as part:
        part.write_bytes(b"new")
        assert target.read_bytes() == b"old", "until the new one is whole"
    assert target.read_bytes() == b"new"


def test_a_file_that_appears_meanwhile_is_not_overwritten(tmp_path: Path) -> None:
    target = tmp_path / "new.bin"
    with pytest.raises(QuantizeError, match="exists already"), whole_file(target, replace=False, needed_bytes=0):
        target.write_bytes(b"somebody else's")
    assert target.read_bytes() == b"somebody else's"
    assert names(tmp_path) == ["new.bin"]


def test_a_link_that_leads_nowhere_counts_as_a_file(tmp_path: Path) -> None:
    target = tmp_path / "link"
    target.symlink_to(tmp_path / "nowhere")
    with pytest.raises(QuantizeError, match="exists already"), whole_file(target, replace=False, needed_bytes=0):
        pytest.fail("refused before the work")
    with whole_file(target, replace=True, needed_bytes=0) as part:
        part.write_bytes(b"new")
    assert not target.is_symlink()
    assert target.read_bytes() == b"new"


@pytest.mark.parametrize("way", ["itself", "symlink", "hardlink", "linked folder"])
def test_an_input_is_never_the_output(tmp_path: Path, way: str) -> None:
    source = tmp_path / "in.bin"
    source.write_bytes(b"precious")
    target = tmp_path / "out.bin"
    if way == "itself":
        target = source
    elif way == "symlink":
        target.symlink_to(source)
    elif way == "hardlink":
        target.hardlink_to(source)
    else:
        (tmp_path / "folder").symlink_to(tmp_path)
        target = tmp_path / "folder" / "in.bin"
    with (
        pytest.raises(QuantizeError, match="the same file"),
        whole_file(target, replace=True, needed_bytes=0, inputs=[tmp_path / "gone", source]),
    ):
        pytest.fail("refused before the work")
    assert source.read_bytes() == b"precious"


def test_places_where_no_file_can_be_are_refused(tmp_path: Path) -> None:
    for target, problem in (
        (tmp_path / "no" / "x", "no directory"),
        (tmp_path, "not a regular file"),
        (Path(os.devnull), "not a regular file"),
        (tmp_path / ("x" * 300), "name too long"),
        (tmp_path / "x\0y", "null"),
    ):
        with pytest.raises(QuantizeError, match=f"(?i){problem}"), whole_file(target, replace=True, needed_bytes=0):
            pytest.fail("refused before the work")
    assert names(tmp_path) == []
    assert not Path(os.devnull).is_file()


def test_the_longest_name_works(tmp_path: Path) -> None:
    with whole_file(tmp_path / ("x" * 255), replace=False, needed_bytes=0):
        pass
    assert names(tmp_path) == ["x" * 255]


def test_a_disk_too_small_is_noticed_before_the_work(tmp_path: Path) -> None:
    with (
        pytest.raises(QuantizeError, match="GB are free"),
        whole_file(tmp_path / "x", replace=False, needed_bytes=2**60),
    ):
        pytest.fail("refused before the work")


@pytest.mark.parametrize("error", [KeyboardInterrupt(), RuntimeError("x"), SystemExit(1)])
def test_whatever_ends_the_work_leaves_nothing(tmp_path: Path, error: BaseException) -> None:
    target = tmp_path / "x"
    target.write_bytes(b"old")

    def work() -> None:
        with whole_file(target, replace=True, needed_bytes=0) as part:
            part.write_bytes(b"half")
            raise error

    with pytest.raises(type(error)):
        work()
    assert names(tmp_path) == ["x"]
    assert target.read_bytes() == b"old"


def test_a_full_disk_is_said_in_words(tmp_path: Path) -> None:
    with (
        pytest.raises(QuantizeError, match="No space left") as caught,
        whole_file(tmp_path / "x", replace=False, needed_bytes=0),
    ):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert caught.value.hint == "free some disk space"
    assert names(tmp_path) == []


WRITE_AND_WAIT = """
import sys, time
from pathlib import Path
from leafwise.quant.safe_write import whole_file
with whole_file(Path(sys.argv[1]), replace=False, needed_bytes=0) as part:
    part.write_bytes(b"half")
    print("writing", flush=True)
    time.sleep(60)
"""


def start_writer(target: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen([sys.executable, "-c", WRITE_AND_WAIT, str(target)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "writing\n"
    return process


def test_what_a_killed_process_left_is_removed_and_what_a_live_one_writes_is_not(tmp_path: Path) -> None:
    mine = tmp_path / ".leafwise-notes.txt"
    mine.write_text("not a leftover")
    with start_writer(tmp_path / "a") as dead, start_writer(tmp_path / "b") as alive:
        dead.send_signal(signal.SIGKILL)
        dead.wait()
        assert len(names(tmp_path)) == 3, "the kill left its file"
        with whole_file(tmp_path / "c", replace=False, needed_bytes=0) as part:
            left = set(names(tmp_path)) - {mine.name, part.name}
            assert len(left) == 1
            assert f"-{alive.pid}-" in left.pop()
        alive.send_signal(signal.SIGINT)
        alive.wait()
    assert names(tmp_path) == [mine.name, "c"]


def test_two_who_write_the_same_file_do_not_mix(tmp_path: Path) -> None:
    target = tmp_path / "x"
    with whole_file(target, replace=True, needed_bytes=0) as first:
        first.write_bytes(b"first")
        with whole_file(target, replace=True, needed_bytes=0) as second:
            assert second != first
            second.write_bytes(b"second")
        assert target.read_bytes() == b"second"
    assert target.read_bytes() == b"first"
    assert names(tmp_path) == ["x"]


def test_cleaning_up_does_not_hang_on_what_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / ".leafwise-1-ab.part")
    (tmp_path / ".leafwise-2-ab.part").mkdir()
    (tmp_path / ".leafwise-3-ab.part").symlink_to(tmp_path)
    began = time.monotonic()
    remove_leftovers(tmp_path)
    assert time.monotonic() - began < 5
    assert (tmp_path / ".leafwise-2-ab.part").is_dir()
