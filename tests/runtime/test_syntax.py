"""Parsing from several threads while garbage is collected all the time, which CPython 3.11.7 can not do by itself."""

from __future__ import annotations

import ast
import gc
import threading
import time
from collections.abc import Iterator

import pytest

from leafwise.runtime.syntax import parse

SOURCE = "def f(x):\n" + "".join(f"    x = (x + {i}) * [x, {{'a': (x, {i})}}][0]\n" for i in range(40))


@pytest.fixture
def restless() -> Iterator[None]:
    """Garbage is collected often, and each time another thread may go on."""
    before = gc.get_threshold()

    def give_way(_phase: str, _info: dict[str, int]) -> None:
        time.sleep(0)

    gc.callbacks.append(give_way)
    gc.set_threshold(50, 1000, 1000)
    yield
    gc.set_threshold(*before)
    gc.callbacks.remove(give_way)


@pytest.mark.usefixtures("restless")
def test_threads_do_not_disturb_each_other() -> None:
    errors: list[BaseException] = []

    def work() -> None:
        try:
            for _ in range(4):
                assert len(parse(SOURCE).body) == 1
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors


def test_it_parses_as_ast_does() -> None:
    assert ast.dump(parse("x = 1")) == ast.dump(ast.parse("x = 1"))
    assert ast.dump(parse("x + 1", mode="eval")) == ast.dump(ast.parse("x + 1", mode="eval"))
    with pytest.raises(SyntaxError):
        parse("x =")
