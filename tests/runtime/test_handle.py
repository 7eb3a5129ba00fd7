"""A piece of work in flight, seen by those who work and by those who wait."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from leafwise.runtime.handle import Handle


def test_who_works_hears_of_a_cancellation_once() -> None:
    handle: Handle[int, str] = Handle()
    heard: list[str] = []
    handle.when_cancelled(lambda: heard.append("before"))
    assert heard == []
    handle.cancel()
    handle.cancel()
    handle.when_cancelled(lambda: heard.append("after"))
    assert heard == ["before", "after"]


def test_awaiting_takes_no_thread() -> None:
    async def outcomes() -> list[str]:
        handles: list[Handle[int, str]] = [Handle() for _ in range(200)]
        threads = threading.active_count()
        waiting = [asyncio.ensure_future(_outcome(handle)) for handle in handles]
        await asyncio.sleep(0.05)
        assert threading.active_count() == threads
        threading.Thread(target=_finish, args=(handles,)).start()
        return await asyncio.gather(*waiting)

    assert asyncio.run(outcomes()) == ["done"] * 200


def test_iterating_sees_every_item_and_the_error() -> None:
    handle: Handle[int, str] = Handle()
    seen: list[int] = []

    def work() -> None:
        for item in range(1, 4):
            handle.push(item)
            time.sleep(0.02)
        handle.finish(ValueError("broken"))

    async def iterate() -> None:
        handle.push(0)
        threading.Thread(target=work).start()
        async for item in handle:
            seen.append(item)
            await asyncio.sleep(0)  # items may come while nobody waits for one

    with pytest.raises(ValueError, match="broken"):
        asyncio.run(iterate())
    assert seen == [0, 1, 2, 3]


def test_iterating_that_is_cancelled_cancels_the_work_and_leaves_nobody_waiting() -> None:
    handle: Handle[int, str] = Handle()
    late = threading.Timer(30.0, _finish, [[handle]])

    async def iterate() -> None:
        late.start()
        async with asyncio.timeout(0.05):
            async for _ in handle:
                pass

    with pytest.raises(TimeoutError):
        asyncio.run(iterate())
    late.cancel()
    assert handle.cancelled
    assert not handle.done, "asyncio.run waited for it"


def _finish(handles: list[Handle[int, str]]) -> None:
    for handle in handles:
        handle.finish("done")


async def _outcome(handle: Handle[int, str]) -> str:
    return await handle
