"""A piece of work in flight, seen by those who work and by those who wait."""

from __future__ import annotations

import asyncio
import threading

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


def _finish(handles: list[Handle[int, str]]) -> None:
    for handle in handles:
        handle.finish("done")


async def _outcome(handle: Handle[int, str]) -> str:
    return await handle
