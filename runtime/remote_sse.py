"""Server-sent events from an untrusted server: bytes in, events out, nothing unbounded."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from leafwise.runtime.errors import EngineError

LONGEST_EVENT = 2**20
"""Bytes of one line, and of one event."""


@dataclass(frozen=True)
class Event:
    """One event: its data lines joined."""

    data: str
    """The text of the event."""
    error: bool = False
    """Whether it came in an `error` field, as older versions of llama-server send errors."""


class EventReader:
    """Cuts a stream of bytes into events. An event that was not ended by an empty line is dropped, as the rules say."""

    def __init__(self) -> None:
        self._line = bytearray()
        self._data: list[str] = []
        self._size = 0
        self._error = False

    def feed(self, chunk: bytes) -> Iterator[Event]:
        """Take bytes; give the events that are complete now.

        Raises:
            EngineError: a line or an event is longer than `LONGEST_EVENT`.
        """
        *complete, rest = chunk.split(b"\n")
        for end in complete:
            self._grow(end)
            line = bytes(self._line).removesuffix(b"\r")
            self._line.clear()
            if line:
                self._field(line)
            elif self._data:
                yield Event("\n".join(self._data), self._error)
                self._data, self._size, self._error = [], 0, False
        self._grow(rest)

    def _grow(self, part: bytes) -> None:
        self._line += part
        if len(self._line) + self._size > LONGEST_EVENT:
            raise EngineError(f"the server sent more than {LONGEST_EVENT:,} bytes in one event", "check the server")

    def _field(self, line: bytes) -> None:
        """Take one line: `name: value`. A line that begins with a colon is a comment that keeps the line alive."""
        name, _, value = line.partition(b":")
        if name in (b"data", b"error"):
            self._data.append(value.removeprefix(b" ").decode("utf-8", "replace"))
            self._size += len(value) + 1
            self._error |= name == b"error"
        elif name == b"event" and value.strip() == b"error":
            self._error = True
