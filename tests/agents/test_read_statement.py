"""A task's text from a file or from standard input, as editors write it."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from leafwise.agents.solve_cli import read_statement

WITH_MARK = b"\xef\xbb\xbfWrite a function gr\xc3\xb6\xc3\x9fe(x)."


def test_a_byte_order_mark_is_no_part_of_the_task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "task.txt"
    file.write_bytes(WITH_MARK)
    assert read_statement(None, file) == "Write a function größe(x)."
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(WITH_MARK)))
    assert read_statement("-", None) == "Write a function größe(x)."
