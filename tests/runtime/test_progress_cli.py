"""Progress in a pipe: nothing at first, then a line now and then, with what is left."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator

import pytest

from leafwise.runtime import progress_cli
from leafwise.runtime.progress_cli import Lines, counter, stage, stages


def clock(*seconds: float) -> Iterator[float]:
    return iter(seconds)


def lines(*told: tuple[float, int, int]) -> list[str]:
    """What is printed when so much of so much is done at these times."""
    stream, times = io.StringIO(), clock(*(second for second, _, _ in told))
    out = Lines(stream, lambda: next(times))
    for _, done, total in told:
        out.tell("judging", done, total)
    return stream.getvalue().splitlines()


def test_short_work_says_nothing() -> None:
    assert lines((0, 0, 10), (5, 5, 10), (14, 9, 10), (15, 10, 10)) == []


def test_long_work_says_where_it_is_once_a_minute() -> None:
    told = lines((0, 0, 1200), (20, 100, 1200), (40, 200, 1200), (79, 395, 1200), (81, 600, 1200), (160, 1200, 1200))
    assert told == ["judging: 100 of 1,200, about 4 min left", "judging: 600 of 1,200, about 81 s left"]


def test_what_an_earlier_run_did_is_no_speed_of_this_one() -> None:
    assert lines((0, 900, 1000), (20, 900, 1000)) == ["judging: 900 of 1,000"]
    assert lines((0, 900, 1000), (20, 950, 1000)) == ["judging: 950 of 1,000, about 20 s left"]


def test_hours_are_hours() -> None:
    assert lines((0, 0, 1000), (36, 1, 1000)) == ["judging: 1 of 1,000, about 10.0 h left"]


def test_each_stage_has_its_own_time() -> None:
    stream, times = io.StringIO(), clock(0, 10, 16, 26)
    out = Lines(stream, lambda: next(times))
    for what, done in [("one", 0), ("two", 0), ("one", 1), ("two", 1)]:
        out.tell(what, done, 9)
    assert [line.split(":")[0] for line in stream.getvalue().splitlines()] == ["one", "two"]


def test_a_counter_counts_from_many_threads(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(progress_cli, "_FIRST_LINE", 0.0)
    monkeypatch.setattr(progress_cli, "_BETWEEN_LINES", 0.0)
    with counter("running", 401, done=100) as advance:
        threads = [threading.Thread(target=lambda: [advance() for _ in range(75)]) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.splitlines()[-1].startswith("running: 400 of 401, about 0 s left")


def test_on_a_terminal_there_are_bars(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "80")
    with stages() as tell:
        tell("encoding a.gguf", 3, 9)
    with stage("hashing") as one:
        one(1, 2)
    said = capsys.readouterr()
    assert said.out == ""
    assert "encoding a.gguf" in said.err
    assert "3/9" in said.err
    assert "1/2" in said.err
