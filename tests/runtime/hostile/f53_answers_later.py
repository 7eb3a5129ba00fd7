# ruff: noqa
"""
problem: mix
kind: forge
expect: fail|crash|timeout
effect: pass: coroutines and generators that are never asked, or throw when they are
"""


class Waits:
    def __await__(self):
        yield self
        raise StopIteration([1, 2, 3])

    async def __aiter__(self):
        yield 1

    def __iter__(self):
        return self

    def __next__(self):
        raise GeneratorExit


async def _later():
    return [1, 2, 3]


async def _each():
    yield [1, 2, 3]


def _generator():
    try:
        yield 1
    finally:
        yield 2


def mix(xs, k):
    return (_later(), _each(), _generator(), Waits())[len(xs) % 4]
