"""Examples that take several statements: what is read, and what is not mistaken for one."""

from __future__ import annotations

import pytest

from leafwise.agents.reading import read_task
from leafwise.agents.usage_examples import find_usage_examples

QUEUE = """Make a queue.

>>> q = Queue()
>>> q.put(1)
>>> q.get()
1
>>> len(q)
0

The end.
>>> r = Queue()
>>> r.empty()
True
"""
READ = {
    "Write Stack. s = Stack(); s.push(2); s.peek() == 2": ["s = Stack()\ns.push(2)\nassert s.peek() == 2"],
    "`s = Stack(); s.pop() -> None; s.size == 0`. It is LIFO; see below.": [
        "s = Stack()\nassert s.pop() == None\nassert s.size == 0"
    ],
    "c = Bag(); c.most() == 'a' and then stop": ["c = Bag()\nassert c.most() == 'a'"],
    QUEUE: [
        "q = Queue()\nq.put(1)\nassert (q.get()) == 1\nassert (len(q)) == 0",
        "r = Queue()\nassert (r.empty()) == True",
    ],
}
NOT_READ = (
    "x = 3; y == 4",  # nothing to be written is called
    "n = len('abc'); n == 3",  # a builtin
    "s = Stack(); s.push(1) and so on",  # nothing is looked at
    "s = Stack(); t == 2",  # something else is looked at
    "a = f(1); b = g(a",  # no Python
    ">>> s = Stack(\n>>> s.x",
)


@pytest.mark.parametrize(("text", "codes"), READ.items(), ids=range(len(READ)))
def test_read(text: str, codes: list[str]) -> None:
    assert [check.code for check in find_usage_examples(text)] == codes


@pytest.mark.parametrize("text", NOT_READ)
def test_not_read(text: str) -> None:
    assert find_usage_examples(text) == []


def test_a_class_is_checked_with_them() -> None:
    task = read_task("Write a class Stack. s = Stack(); s.push(2); s.peek() == 2")
    assert task.entry_point is None
    assert [check.code for check in task.examples] == ["s = Stack()\ns.push(2)\nassert s.peek() == 2"]


def test_a_function_is_not_checked_with_what_uses_something_else() -> None:
    assert read_task("Write def f(x). s = Stack(); s.push(2); s.peek() == 2").examples == ()
    (example,) = read_task("Write def f(x). n = f(2); n.value == 2").examples
    assert example.code == "n = f(2)\nassert n.value == 2"


def test_the_user_may_give_them() -> None:
    task = read_task("Write a class Stack", examples=["s = Stack(); s.size == 0"])
    assert [check.code for check in task.examples] == ["s = Stack()\nassert s.size == 0"]
