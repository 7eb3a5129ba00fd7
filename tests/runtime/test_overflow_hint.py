"""What is said where a prompt does not fit: the lengths there are, and the option, if one can help."""

from __future__ import annotations

import pytest

from leafwise.runtime.errors import ContextOverflowError
from leafwise.runtime.llama_engine import overflow_hint
from leafwise.runtime.remote_errors import RefusedError, explained


@pytest.mark.parametrize(("needed", "opened", "trained"), [(3000, 2048, 8192), (8192, 512, 8192)])
def test_a_longer_window_is_named_where_the_model_has_one(needed: int, opened: int, trained: int) -> None:
    hint = overflow_hint(needed, opened, trained)
    assert f"trained for {trained} tokens and opened with {opened}" in hint
    assert f"--window {needed} or more" in hint


@pytest.mark.parametrize(("needed", "opened", "trained"), [(9000, 8192, 8192), (9000, 512, 8192)])
def test_where_no_window_is_long_enough_none_is_named(needed: int, opened: int, trained: int) -> None:
    hint = overflow_hint(needed, opened, trained)
    assert f"trained for {trained} tokens and opened with {opened}" in hint
    assert "no --window is long enough" in hint
    assert "shorten the prompt" in hint


def test_a_server_that_is_too_small_is_told_how_to_be_larger() -> None:
    error = explained(RefusedError(400, "maximum context length is 2048"), "http://here/v1", sent_key=False)
    assert isinstance(error, ContextOverflowError)
    assert "2048" in error.message
    assert "--ctx-size" in error.hint
    assert "--max-model-len" in error.hint
