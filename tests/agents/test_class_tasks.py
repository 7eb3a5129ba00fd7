"""Tasks whose answer is a class, in words and as code."""

from __future__ import annotations

import pytest

from leafwise.agents.reading import find_name, find_signature, read_task

SKELETON = '''from collections import deque

class Stack:
    """A stack.

    >>> s = Stack()
    >>> s.push(1)
    >>> s.pop()
    1
    """

    def push(self, item): ...

    def pop(self):
        """The last item."""
'''
LEETCODE = """Indices of two numbers that add up.

class Solution:
    def twoSum(self, nums: List[int], target: int) -> List[int]:

Input: nums = [2,7,11], target = 9
Output: [0,1]
"""


def test_the_methods_of_a_class_are_not_what_is_asked_for() -> None:
    task = read_task(SKELETON)
    assert (task.entry_point, task.signature) == (None, None)
    assert [check.code for check in task.examples] == ["s = Stack()\ns.push(1)\nassert (s.pop()) == 1"]
    assert task.given == "from collections import deque"


@pytest.mark.parametrize(
    "text", [LEETCODE, LEETCODE.replace("    def", "    @cache\n    def").replace("]:", "]:\n        pass")]
)
def test_arguments_by_name_are_the_only_methods(text: str) -> None:
    task = read_task(text)
    assert (task.entry_point, task.signature) == (None, None)
    assert [(e.code, e.expected) for e in task.examples] == [("Solution().twoSum([2, 7, 11], 9)", "[0,1]")]


@pytest.mark.parametrize(
    "method",
    ["    def other(self): ...", "    def __init__(self, size): ...", "    no python here"],
    ids=["two", "made", "no"],
)
def test_arguments_of_which_method_or_object_is_not_guessed(method: str) -> None:
    assert read_task(LEETCODE.replace("class Solution:", f"class Solution:\n{method}\n")).examples == ()


@pytest.mark.parametrize(
    "words",
    [
        "Write a class Stack with a method push(item).",
        "Implement a simple Python class called Stack, with methods push and pop.",
        "Create the class `Stack`. Its method push takes an item.",
        "Add the method push(item) to this:\n\nclass Stack:\n    def push(self, item): ...",
        "Complete the class:\n\nclass Stack:\n    def push(self, item): ...\n\nThe function push(item) adds one.",
    ],
)
def test_a_class_may_be_asked_for_in_words(words: str) -> None:
    assert find_signature(words) is None
    assert find_name(words) is None
    task = read_task(f"{words}\ns = Stack(); s.push(2); s.size == 1\nt = Tree(); t.size == 0")
    assert task.entry_point is None
    assert [check.code for check in task.examples] == ["s = Stack()\ns.push(2)\nassert s.size == 1"]


@pytest.mark.parametrize(
    "text",
    [
        "class Node:\n    def __init__(self, v): ...\n\ndef depth(root): ...",
        "class Node:\n    def __init__(self, v): ...\n\nWrite a function depth(root).",
        "Write a function depth(root) for the class Node. Create a class for it.",
        "Write a function depth(root) that tells how far to make the class average",
        "    class Node:\n        def up(self): ...\n\n    def depth(root): ...",
    ],
)
def test_a_function_beside_a_class_is_still_asked_for(text: str) -> None:
    assert find_signature(text) == ("depth", "def depth(root):")


def test_a_class_average_is_no_class() -> None:
    assert read_task("Write code to make the class average. average([1, 3]) == 2").entry_point == "average"


def test_without_a_name_the_examples_tell_it() -> None:
    task = read_task("Write a class that counts.", ["Bag(3).total() == 3"])
    assert task.entry_point is None
    assert [(e.code, e.expected) for e in task.examples] == [("Bag(3).total()", "3")]
