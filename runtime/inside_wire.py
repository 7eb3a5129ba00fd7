"""Length-prefixed JSON messages over a stream socket, with a cap. Runs in the sandbox too: standard library only."""

from __future__ import annotations

import json
import socket
import struct
from typing import Any

MAX_MESSAGE = 16 << 20
"""Longest message, in bytes."""
_HEAD = struct.Struct("<I")


class LinkBrokenError(Exception):
    """The other side is gone, or sent something that is no message."""


class Link:
    """One end of a socket pair that carries JSON messages."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end

    def send(self, message: Any) -> None:
        """Send one message.

        Raises:
            LinkBrokenError: nobody reads any more.
            ValueError: the message is longer than `MAX_MESSAGE`.
        """
        data = json.dumps(message, separators=(",", ":")).encode()
        if len(data) > MAX_MESSAGE:
            raise ValueError(f"message of {len(data)} bytes")
        try:
            self._end.sendall(_HEAD.pack(len(data)) + data)
        except OSError as error:
            raise LinkBrokenError(str(error)) from error

    def receive(self) -> Any:
        """Wait for one message.

        Raises:
            LinkBrokenError: the other side is gone, or what came is no message.
        """
        (size,) = _HEAD.unpack(self._exactly(_HEAD.size))
        if size > MAX_MESSAGE:
            raise LinkBrokenError(f"message of {size} bytes")
        try:
            return json.loads(self._exactly(size))
        except (ValueError, RecursionError) as error:
            raise LinkBrokenError("not JSON") from error

    def _exactly(self, size: int) -> bytes:
        parts = []
        while size:
            try:
                part = self._end.recv(min(size, 1 << 20))
            except OSError as error:
                raise LinkBrokenError(str(error)) from error
            if not part:
                raise LinkBrokenError("closed")
            parts.append(part)
            size -= len(part)
        return b"".join(parts)
