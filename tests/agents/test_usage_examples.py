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
TRACEBACK = "Traceback (most recent call last):\n    ...\n"
READ = {
    "Write Stack. s = Stack(); s.push(2); s.peek() == 2": ["s = Stack()\ns.push(2)\nassert s.peek() == 2"],
    "`s = Stack(); s.pop() -> None; s.size == 0`. It is LIFO; see below.": [
        "s = Stack()\nassert s.pop() == None\nassert s.size == 0"
    ],
    "c = Bag(); c.most() == 'a' and then stop": ["c = Bag()\nassert c.most() == 'a'"],
    "xs = [3, 1]; f(xs); xs == [1, 3]": ["xs = [3, 1]\nf(xs)\nassert xs == [1, 3]"],
    ">>> xs = [3, 1]\n>>> f(xs)\n[1, 3]": ["xs = [3, 1]\nassert (f(xs)) == [1, 3]"],
    ">>> xs = [3, 1]\n>>> f(xs)\n>>> xs\n[1, 3]\nProse.": ["xs = [3, 1]\nf(xs)\nassert (xs) == [1, 3]"],
    ">>> s = Stack()\n>>> print(s.pop())\n1": ["s = Stack()\nassert str(s.pop()) == '1'"],
    ">>> s = Stack([1])\n>>> s\nStack([1])": ["s = Stack([1])\nassert repr(s) == 'Stack([1])'"],
    # an exception is looked at as well; one of the task's own ends what can be told
    f">>> s = Stack()\n>>> s.pop()\n{TRACEBACK}IndexError: empty": [
        "s = Stack()\ntry:\n    s.pop()\nexcept IndexError:\n    pass\nelse:\n    assert False"
    ],
    f">>> s = Stack()\n>>> s.x\n1\n>>> s.pop()\n{TRACEBACK}Empty: no\n>>> s.x\n1": ["s = Stack()\nassert (s.x) == 1"],
    # what stands for anything is not compared, but done
    ">>> s = Stack()\n>>> s.pop()  # doctest: +ELLIPSIS\n[1, ...]\n>>> s.x  # doctest: +ELLIPSIS\n0": [
        "s = Stack()\ns.pop()\nassert (s.x) == 0"
    ],
    ">>> s = Stack()\n>>> s.x\n1\n>>> s.pop()  # doctest: +SKIP\n>>> s.x\n0": ["s = Stack()\nassert (s.x) == 1"],
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
    ">>> s = Stack()\n>>> f(t)\n1",  # t is nowhere
    ">>> xs = [1]\n>>> f(2)\n1",  # an example by itself
    ">>> s = Stack()\n>>> print(s.x, s.y)\n1 2",
    ">>> s = Stack()\n>>> await s.pop()\n1",
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
