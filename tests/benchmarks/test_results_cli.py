"""What judging commands do with results: places that take none are refused before the work, and Ctrl-C is explained."""

from __future__ import annotations

from pathlib import Path

import pytest

from leafwise.benchmarks.data_sets_cli import open_beside
from leafwise.benchmarks.errors import BenchmarkError
from leafwise.benchmarks.report_cli import refuse_missing_folder
from leafwise.benchmarks.results_cli import STDOUT, interruptible, refuse_places
from leafwise.runtime.errors import UsageError


def test_a_place_that_takes_nothing_is_refused(tmp_path: Path) -> None:
    refuse_missing_folder(tmp_path / "new.json")
    for place, said in (
        (tmp_path, "is a directory"),
        (tmp_path / "none" / "a.json", "no directory"),
        (Path("/proc/a.json"), "cannot write"),
        (tmp_path / ("n" * 300), "cannot write"),
    ):
        with pytest.raises(UsageError, match=said):
            refuse_missing_folder(place)
    assert [*tmp_path.iterdir()] == []


def test_what_is_read_is_not_written_and_places_differ(tmp_path: Path) -> None:
    read, place = tmp_path / "read", tmp_path / "place"
    read.write_text("mine")
    refuse_places({"--json": STDOUT, "--keep": place}, [read])
    for places, said in (
        ({"--json": read}, "is what is read"),
        ({"--json": place, "--keep": place}, "--json and --keep name the same file"),
        ({"--keep": STDOUT}, "--keep needs a file"),
    ):
        with pytest.raises(BenchmarkError, match=said):
            refuse_places(places, [read])


@pytest.mark.parametrize(
    ("kept", "said"), [(None, "it is lost"), ("", "nothing to keep yet"), ("a line\n", "it is kept")]
)
def test_ctrl_c_says_what_is_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], kept: str | None, said: str
) -> None:
    place = None if kept is None else tmp_path / "kept"
    if place is not None and kept:
        place.write_text(kept)
    with pytest.raises(KeyboardInterrupt), interruptible(place, "it is kept", "it is lost"):
        raise KeyboardInterrupt
    assert said in capsys.readouterr().err


def test_swapped_files_get_a_hint_that_shows_how(tmp_path: Path) -> None:
    mbpp, answers = tmp_path / "mbpp.jsonl", tmp_path / "answers.jsonl"
    answers.write_text('{"task_id": "Mbpp/2", "solution": "x = 1"}\n')
    with pytest.raises(BenchmarkError) as caught:
        open_beside(mbpp, "mbpp", answers, None)
    assert f"--dataset mbpp:{mbpp} {answers}" in caught.value.hint
