"""What an engine's process and its parent say to each other: length-prefixed JSON, every message checked on arrival.

The process reads untrusted model files with native code, so its parent believes nothing it says: no pickle, and
whatever is no message ends the connection. A frame carries the messages of one moment.
"""

from __future__ import annotations

import socket
import struct
import threading
from typing import Annotated, Generic, Literal, TypeVar

from pydantic import Field, TypeAdapter, ValidationError

from leafwise.runtime.contracts import Completion, Contract, ModelInfo, Piece, Request
from leafwise.runtime.engine_options import EngineOptions
from leafwise.runtime.errors import EngineError, LeafwiseError, error_named
from leafwise.runtime.meter import Meter

MAX_FRAME = 256 << 20
"""Longest frame, in bytes: 256 samples of a long context, and room."""
LOG_CHARS = 10_000
"""Longest text of a log record."""
_HEAD = struct.Struct("<I")
_CHUNK = 1 << 18


class LinkBrokenError(Exception):
    """The other side is gone."""


class GarbledError(LinkBrokenError):
    """The other side sent something that is no message."""


class Numbered(Contract):
    """Base of what belongs to one request, or to one call."""

    id: int
    """The parent's number for it."""


class Hello(Contract):
    """The first message: what to open."""

    kind: Literal["hello"] = "hello"
    model: str
    """A name of the registry, or a path."""
    options: EngineOptions
    """How."""
    log_level: int
    """The least level of log records that anybody wants."""


class Submit(Numbered):
    """Run a request. Answered by `Answer` or `Refused`, then `Started`, any number of `Said`, `Ended`."""

    kind: Literal["submit"] = "submit"
    request: Request
    """What is asked."""


class Cancel(Numbered):
    """Cancel a request; one that has ended is no error."""

    kind: Literal["cancel"] = "cancel"


class Count(Numbered):
    """Count a prompt's tokens. Answered by `Answer` or `Refused`."""

    kind: Literal["count"] = "count"
    request: Request
    """Whose prompt."""


class ReadMeter(Numbered):
    """Read the meter. Answered by `Answer` or `Refused`."""

    kind: Literal["meter"] = "meter"


class SavePrefix(Numbered):
    """Write a prompt's computed state. Answered by `Answer` or `Refused`."""

    kind: Literal["save_prefix"] = "save_prefix"
    request: Request
    """Whose prompt."""
    path: str
    """The file, absolute."""


class LoadPrefix(Numbered):
    """Read a prompt's computed state. Answered by `Answer` or `Refused`."""

    kind: Literal["load_prefix"] = "load_prefix"
    path: str
    """The file, absolute."""


Order = Hello | Submit | Cancel | Count | ReadMeter | SavePrefix | LoadPrefix
"""What the parent sends. It ends the process by closing its side."""
ORDERS: TypeAdapter[list[Order]] = TypeAdapter(list[Annotated[Order, Field(discriminator="kind")]])
"""Reads a frame of them."""


class Failure(Contract):
    """An error on its way to the parent."""

    error: str
    """The class, one of `leafwise.runtime.errors`."""
    message: str
    hint: str

    @classmethod
    def of(cls, error: Exception) -> Failure:
        """The message for an error; what is not leafwise's own becomes an `EngineError`."""
        if not isinstance(error, LeafwiseError):
            error = EngineError(f"the engine failed: {type(error).__name__}: {error}", "please report this")
        return cls(error=type(error).__name__, message=plain_text(error.message), hint=plain_text(error.hint))

    def as_error(self) -> LeafwiseError:
        """The error as itself."""
        return error_named(self.error, self.message, self.hint)


class Ready(Contract):
    """The engine is open and takes requests."""

    kind: Literal["ready"] = "ready"
    info: ModelInfo
    """What runs."""


class Unopened(Contract):
    """The engine could not be opened; the process ends."""

    kind: Literal["unopened"] = "unopened"
    failure: Failure
    """Why."""


class Answer(Numbered):
    """A call succeeded; a request was accepted."""

    kind: Literal["answer"] = "answer"
    number: int | None = None
    """What a call that counts returned."""
    meter: Meter | None = None
    """What `ReadMeter` returned."""


class Refused(Numbered):
    """A call failed; a request was not accepted."""

    kind: Literal["refused"] = "refused"
    failure: Failure
    """Why."""


class Started(Numbered):
    """The engine is about to compute a request. Sent before it does, because it may not survive it."""

    kind: Literal["started"] = "started"


class Said(Numbered):
    """A piece of text."""

    kind: Literal["said"] = "said"
    piece: Piece
    """The piece."""


class Ended(Numbered):
    """A request's outcome: one of the two is given."""

    kind: Literal["ended"] = "ended"
    completion: Completion | None = None
    """The answer."""
    failure: Failure | None = None
    """Or the error."""


class Beat(Contract):
    """A sign of life, every `beat_seconds`: how long the present step has taken (0 when idle), and the meter."""

    kind: Literal["beat"] = "beat"
    busy: float
    meter: Meter | None = None


class LogLine(Contract):
    """A log record."""

    kind: Literal["log"] = "log"
    logger: str = Field(pattern=r"^leafwise(\.\w+)*$")
    """The logger's name."""
    level: int = Field(ge=0, le=50)
    """Its level, as in `logging`."""
    text: str
    """The formatted record, at most `LOG_CHARS` characters."""


Report = Ready | Unopened | Answer | Refused | Started | Said | Ended | Beat | LogLine
"""What the process sends."""
REPORTS: TypeAdapter[list[Report]] = TypeAdapter(list[Annotated[Report, Field(discriminator="kind")]])
"""Reads a frame of them."""

Received = TypeVar("Received")


def beat_seconds(options: EngineOptions) -> float:
    """Seconds between two signs of life: short against what counts as a hang."""
    return min(1.0, options.hang_seconds / 4)


def pack(*messages: Order | Report) -> bytes:
    """A frame of these messages, without its length.

    Raises:
        ValueError: a message is not plain data, or is longer than `MAX_FRAME`.
    """
    frame = b"[" + b",".join(message.model_dump_json().encode() for message in messages) + b"]"
    if len(frame) > MAX_FRAME:
        raise ValueError(f"{len(frame) >> 20} MiB of data")
    return frame


class Link(Generic[Received]):
    """One end of a stream socket that carries frames. Any thread sends; one thread receives.

    Args:
        end: the socket; its time-out holds for sending.
        incoming: reads what arrives.
    """

    def __init__(self, end: socket.socket, incoming: TypeAdapter[list[Received]]) -> None:
        self._end = end
        self._incoming = incoming
        self._sending = threading.Lock()
        self._buffer = bytearray()

    def send(self, frame: bytes) -> None:
        """Send one frame.

        Raises:
            LinkBrokenError: nobody reads any more.
        """
        try:
            with self._sending:
                self._end.sendall(_HEAD.pack(len(frame)) + frame)
        except OSError as error:
            raise LinkBrokenError(str(error)) from error

    def receive(self) -> list[Received]:
        """Wait for data and give the messages that are complete with it, perhaps none.

        Raises:
            GarbledError: what came is no message.
            LinkBrokenError: the other side is gone.
        """
        try:
            data = self._end.recv(_CHUNK)
        except OSError as error:
            raise LinkBrokenError(str(error)) from error
        if not data:
            raise LinkBrokenError("closed")
        self._buffer += data
        messages: list[Received] = []
        while (frame := self._next()) is not None:
            try:
                messages += self._incoming.validate_json(frame)
            except ValidationError as error:
                raise GarbledError(f"no message: {error.errors()[0]['msg']}") from error
        return messages

    def _next(self) -> bytes | None:
        if len(self._buffer) < _HEAD.size:
            return None
        end: int = _HEAD.size + _HEAD.unpack_from(self._buffer)[0]
        if end > MAX_FRAME + _HEAD.size:
            raise GarbledError(f"a frame of {end} bytes")
        if len(self._buffer) < end:
            return None
        frame = bytes(self._buffer[_HEAD.size : end])
        del self._buffer[:end]
        return frame


def plain_text(text: str) -> str:
    """Text that JSON can carry: a path in a message may hold bytes that are no characters."""
    return text.encode("utf-8", "replace").decode()
