"""A task's text from a file or from standard input, as editors write it."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from leafwise.agents import read_inputs
from leafwise.agents.errors import TaskError
from leafwise.agents.solve_cli import read_statement
from leafwise.runtime.errors import UsageError

WITH_MARK = b"\xef\xbb\xbfWrite a function gr\xc3\xb6\xc3\x9fe(x)."


def test_a_byte_order_mark_is_no_part_of_the_task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "task.txt"
    file.write_bytes(WITH_MARK)
    assert read_statement(None, file) == "Write a function größe(x)."
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(WITH_MARK)))
    assert read_statement("-", None) == "Write a function größe(x)."


def test_hints_fit_what_is_wrong(tmp_path: Path) -> None:
    binary = tmp_path / "task.bin"
    binary.write_bytes(b"\xff\xfe")
    for task, file, hint in (
        (None, tmp_path / "missing.md", "a file that is there"),
        (None, tmp_path, "a file that is there"),
        (None, binary, "UTF-8"),
        (None, None, "beside the other options"),
        ("x", binary, "leave out --file"),
    ):
        with pytest.raises(UsageError) as caught:
            read_statement(task, file)
        assert hint in caught.value.hint


def test_an_empty_task_in_the_library_gets_no_shell_command() -> None:
    with pytest.raises(TaskError, match="the task is empty") as caught:
        read_inputs("")
    assert "leafwise solve" not in caught.value.hint
