"""Asynchronous tasks, whose answers cannot be checked: refused, and told apart from talk about them."""

from __future__ import annotations

import pytest

from leafwise.agents.errors import TaskError
from leafwise.agents.reading import find_signature, read_task

ASYNCHRONOUS = (
    "async def fetch(n: int) -> int:\n    ...",
    "def helper(x): ...\n\nasync def fetch(n):\n    ...",
    "Write an async function fetch(n). await fetch(1) == 2",
    "Write a coroutine called fetch",
    "please write async def fetch(n) for me",
    "class Client:\n    async def fetch(self): ...",
)


@pytest.mark.parametrize("text", ASYNCHRONOUS)
def test_asynchronous_tasks_are_refused_with_a_way_out(text: str) -> None:
    with pytest.raises(TaskError, match="asynchronous") as error:
        read_task(text)
    assert "asyncio" in (error.value.hint or "")


def test_a_task_may_talk_about_asynchronous_code() -> None:
    assert read_task("Write a function count(source) that counts async def lines").entry_point == "count"
    assert read_task("async def other(): ...\n\ndef asked(x): ...").entry_point == "asked"


def test_an_asynchronous_signature_is_no_plain_one() -> None:
    assert find_signature("async def fetch(n: int) -> int:\n    ...") is None
