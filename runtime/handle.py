"""A piece of work in flight in another thread: its items as they come, and its outcome in the end."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from typing import Any, Generic, TypeVar

Item = TypeVar("Item")
Outcome = TypeVar("Outcome")


class Handle(Generic[Item, Outcome]):
    """Iterate for items, `result()` or `await` for the outcome, `cancel()` to stop early.

    Iterating starts from the first item, however late; several iterators see the same items. An error of the work is
    raised by the iterators and by `result()`. Everything works from any thread, with and without asyncio; a coroutine
    that is cancelled while it waits here (Ctrl-C, a time-out) cancels the work.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._items: list[Item] = []
        self._outcome: Outcome | None = None
        self._error: Exception | None = None
        self._done = False
        self._watchers: list[tuple[Callable[[Item], None], Callable[[Outcome | Exception], None]]] = []
        self.cancel_event = threading.Event()
        """Set by `cancel`; for those who work."""
        self._on_cancel: list[Callable[[], None]] = []

    # for those who wait

    def result(self, timeout: float | None = None) -> Outcome:
        """Wait for the outcome.

        Args:
            timeout: seconds; None waits as long as it takes. The work goes on after a time-out.

        Raises:
            TimeoutError: not finished in time.
            LeafwiseError: the work failed.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: self._done, timeout):
                raise TimeoutError(f"not finished within {timeout} s")
            if self._error is not None:
                raise self._error
            assert self._outcome is not None
            return self._outcome

    def cancel(self) -> None:
        """Ask the work to end as soon as it can; `result()` says what came of it."""
        with self._changed:
            self.cancel_event.set()
            callbacks, self._on_cancel = self._on_cancel, []
        for callback in callbacks:
            callback()

    def when_cancelled(self, callback: Callable[[], None]) -> None:
        """Be called once, in the thread that cancels; now, if that has happened. For those who work."""
        with self._changed:
            if not self.cancel_event.is_set():
                self._on_cancel.append(callback)
                return
        callback()

    @property
    def cancelled(self) -> bool:
        """Whether `cancel` was called."""
        return self.cancel_event.is_set()

    @property
    def done(self) -> bool:
        """Whether the outcome, or an error, is there."""
        return self._done

    @property
    def items(self) -> list[Item]:
        """The items so far."""
        with self._changed:
            return list(self._items)

    def watch(self, on_item: Callable[[Item], None], on_end: Callable[[Outcome | Exception], None]) -> None:
        """Be called for every item, from the first one on, and once for the outcome or the error.

        The callbacks run in the thread that works (for what is there already, in this one): they have to be quick and
        must not raise.
        """
        with self._changed:
            for item in self._items:
                on_item(item)
            if self._done:
                on_end(self._ending())
            else:
                self._watchers.append((on_item, on_end))

    def __iter__(self) -> Iterator[Item]:
        index = 0
        while self._wait_for(index):
            yield self._items[index]
            index += 1

    async def __aiter__(self) -> AsyncIterator[Item]:
        changed, index = asyncio.Event(), 0
        wake = _setter(changed)
        self.watch(wake, wake)
        while True:
            changed.clear()
            done = self._done  # before the look at the items: after the end none is added
            while index < len(self._items):
                yield self._items[index]
                index += 1
            if done:
                break
            await self._until(changed)
        if self._error is not None:
            raise self._error

    def __await__(self) -> Generator[Any, None, Outcome]:
        return self._await().__await__()

    async def _await(self) -> Outcome:
        ended = asyncio.Event()
        self.watch(lambda _: None, _setter(ended))
        await self._until(ended)
        return self.result()

    async def _until(self, event: asyncio.Event) -> None:
        """Wait in the caller's loop, without a thread; who is cancelled meanwhile cancels the work."""
        try:
            await event.wait()
        except asyncio.CancelledError:
            self.cancel()
            raise

    def _wait_for(self, index: int) -> bool:
        """Wait until item `index` is there; False if the work ended before it."""
        with self._changed:
            self._changed.wait_for(lambda: len(self._items) > index or self._done)
            if len(self._items) > index:
                return True
            if self._error is not None:
                raise self._error
            return False

    # for those who work

    def push(self, item: Item) -> None:
        """Hand out an item."""
        with self._changed:
            self._items.append(item)
            for on_item, _ in self._watchers:
                on_item(item)
            self._changed.notify_all()

    def finish(self, outcome: Outcome | Exception) -> None:
        """End the work, once; later calls are ignored."""
        with self._changed:
            if self._done:
                return
            if isinstance(outcome, Exception):
                self._error = outcome
            else:
                self._outcome = outcome
            self._done = True
            for _, on_end in self._watchers:
                on_end(outcome)
            self._watchers.clear()
            self._changed.notify_all()

    def _ending(self) -> Outcome | Exception:
        if self._error is not None:
            return self._error
        assert self._outcome is not None
        return self._outcome


def _setter(event: asyncio.Event) -> Callable[[object], None]:
    """Sets an event of the running loop, from any thread."""
    loop = asyncio.get_running_loop()

    def wake(_: object) -> None:
        with contextlib.suppress(RuntimeError):  # the loop was closed in the meantime
            loop.call_soon_threadsafe(event.set)

    return wake
