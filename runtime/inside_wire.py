"""Length-prefixed JSON messages over a stream socket, with a cap. Runs in the sandbox too: standard library only."""

from __future__ import annotations

import json
import socket
import struct
from typing import Any

MAX_MESSAGE = 16 << 20
"""Longest message, in bytes."""
_HEAD = struct.Struct("<I")
_READ = 1 << 16
_encode = json.encoder.c_make_encoder(  # type: ignore[attr-defined]
    None, None, json.encoder.encode_basestring_ascii, None, ":", ",", False, False, True
)
"""What `json.dumps` makes anew for each message: no check for cycles, no default, compact, NaN allowed."""
_decode = json.JSONDecoder().raw_decode


def to_json(message: Any) -> bytes:
    """The text of a message."""
    return "".join(_encode(message, 0)).encode()


class LinkBrokenError(Exception):
    """The other side is gone, or sent something that is no message."""


class Link:
    """One end of a socket pair that carries JSON messages.

    Args:
        end: a connected stream socket.
    """

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        self._rest = b""

    def send(self, message: Any) -> None:
        """Send one message.

        Raises:
            LinkBrokenError: nobody reads any more.
            ValueError: the message is longer than `MAX_MESSAGE`.
        """
        data = to_json(message)
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
        data = self._rest
        while len(data) < _HEAD.size:
            data += self._some(_READ)
        (size,) = _HEAD.unpack_from(data)
        if size > MAX_MESSAGE:
            raise LinkBrokenError(f"message of {size} bytes")
        end = _HEAD.size + size
        if len(data) < end:
            data = self._until(end, data)
        self._rest = data[end:]
        try:
            text = str(data[_HEAD.size : end], "utf-8")
            message, read = _decode(text)
            if read != len(text):
                raise ValueError("more than one value")
        except (ValueError, RecursionError) as error:
            raise LinkBrokenError("not JSON") from error
        return message

    def _until(self, size: int, data: bytes) -> bytes:
        parts, missing = [data], size - len(data)
        while missing > 0:
            parts.append(self._some(min(max(missing, _READ), 1 << 20)))
            missing -= len(parts[-1])
        return b"".join(parts)

    def _some(self, most: int) -> bytes:
        try:
            part = self._end.recv(most)
        except OSError as error:
            raise LinkBrokenError(str(error)) from error
        if not part:
            raise LinkBrokenError("closed")
        return part
