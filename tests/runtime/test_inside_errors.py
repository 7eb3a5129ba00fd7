from __future__ import annotations

import pytest

from leafwise.runtime.inside_errors import CandidateErrors


@pytest.mark.parametrize(
    ("kind", "named"),
    [
        ("UnicodeDecodeError", ["utf-8", {"b": ""}]),
        ("UnicodeEncodeError", ["utf-8", ""]),
        ("UnicodeTranslateError", [""]),
    ],
)
def test_no_exception_reads_outside_of_its_text(kind: str, named: list[object]) -> None:
    """Python would show what lies before the text in memory, or end the process that holds the checks."""

    def made(start: int) -> BaseException:
        args = {"t": [*named, start, start + 1, "why"]}
        chain = [["solution", "Own"], ["builtins", kind]]
        return CandidateErrors().make({"chain": chain, "text": "", "args": args})

    for start in (-1, -(1 << 40), -(1 << 80)):
        error = made(start)
        assert type(error).__name__ == "Own"
        assert str(error) == ""
    assert "why" in str(made(0))
