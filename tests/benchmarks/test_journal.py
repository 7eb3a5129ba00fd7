from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from leafwise.benchmarks.errors import BenchmarkError
from leafwise.benchmarks.journal import Journal, read_journal
from leafwise.runtime.contracts import Contract


class Line(Contract):
    number: int
    text: str = ""


def numbers(path: Path) -> list[int]:
    return [line.number for line in read_journal(path, Line)]


def test_lines_are_kept_in_order_and_found_again(tmp_path: Path) -> None:
    path = tmp_path / "lines.jsonl"
    for start in (0, 2):
        with Journal(path, Line) as journal:
            assert [line.number for line in journal.found] == [*range(start)]
            journal.append(Line(number=start, text="a\nb\r\u2028"))
            journal.append(Line(number=start + 1))
    assert numbers(path) == [0, 1, 2, 3]
    assert path.read_bytes().count(b"\n") == 4


@pytest.mark.parametrize("torn", [b'{"num', b'{"number": 7, "text": "x"}', b"\xff\xfe"])
def test_a_torn_last_line_is_cut_off(tmp_path: Path, torn: bytes) -> None:
    path = tmp_path / "lines.jsonl"
    path.write_bytes(b'{"number": 1}\n' + torn)
    assert numbers(path) == [1]
    with Journal(path, Line) as journal:
        journal.append(Line(number=2))
    assert numbers(path) == [1, 2]


@pytest.mark.parametrize("line", ['{"number": "x"}', "{", '{"number": 1, "more": 2}', ""])
def test_a_whole_line_that_is_none_is_refused(tmp_path: Path, line: str) -> None:
    path = tmp_path / "lines.jsonl"
    path.write_text(f'{{"number": 1}}\n{line}\n')
    before = path.read_bytes()
    for opened in (lambda: read_journal(path, Line), lambda: Journal(path, Line)):
        with pytest.raises(BenchmarkError, match=r"lines\.jsonl, line 2"):
            opened()
    assert path.read_bytes() == before


def test_only_one_process_writes(tmp_path: Path) -> None:
    path = tmp_path / "lines.jsonl"
    with Journal(path, Line), pytest.raises(BenchmarkError, match="another process"):
        Journal(path, Line)
    Journal(path, Line).close()


@contextmanager
def files_up_to(size: int) -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_leaves_whole_lines(tmp_path: Path) -> None:
    path = tmp_path / "lines.jsonl"
    with Journal(path, Line) as journal:
        journal.append(Line(number=1))
        with files_up_to(path.stat().st_size + 50), pytest.raises(BenchmarkError, match="cannot write"):
            journal.append(Line(number=2, text=100 * "x"))
        assert path.read_bytes() == b'{"number":1,"text":""}\n', "the part that was written is gone"
        journal.append(Line(number=3))
    assert numbers(path) == [1, 3]


@pytest.mark.parametrize("go_on", ["go on with --resume", "give the same command again"])
def test_the_owner_says_how_it_goes_on_after_a_full_disk(tmp_path: Path, go_on: str) -> None:
    with Journal(tmp_path / "lines.jsonl", Line, go_on) as journal:
        with files_up_to(50), pytest.raises(BenchmarkError) as caught:
            journal.append(Line(number=2, text=100 * "x"))
        assert go_on in caught.value.hint


def test_a_pipe_keeps_nothing_and_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(BenchmarkError, match="pipe is no file"):
        Journal(tmp_path / "pipe", Line)


WRITER = """
import sys
from pathlib import Path
from leafwise.benchmarks.journal import Journal
from leafwise.runtime.contracts import Contract

class Line(Contract):
    number: int
    text: str

with Journal(Path(sys.argv[1]), Line) as journal:
    for number in range(10**6):
        journal.append(Line(number=number, text=5000 * "x"))
"""


def test_a_killed_writer_loses_at_most_its_last_line(tmp_path: Path) -> None:
    path = tmp_path / "lines.jsonl"
    writer = subprocess.Popen([sys.executable, "-c", WRITER, str(path)])
    while not path.exists() or path.stat().st_size < 100_000:
        assert writer.poll() is None
        time.sleep(0.01)
    writer.send_signal(signal.SIGKILL)
    writer.wait()
    found = numbers(path)
    assert found == [*range(len(found))]
    assert len(found) >= 19
