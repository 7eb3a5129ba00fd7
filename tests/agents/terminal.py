"""A program on a terminal of its own, as a user has it: what it draws can be waited for, and keys can be pressed."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import select
import subprocess
import termios
import time
from collections.abc import Sequence

_COLOURS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Terminal:
    """Runs a command with a pseudo-terminal as standard input, error and, unless it is piped, output."""

    def __init__(self, command: Sequence[str], environment: dict[str, str], *, pipe: bool = False) -> None:
        self._ours, theirs = pty.openpty()
        self.text = ""
        self._seen = 0
        self.process = subprocess.Popen(
            command,
            stdin=theirs,
            stderr=theirs,
            stdout=subprocess.PIPE if pipe else theirs,
            env={**os.environ, "TERM": "xterm", "COLUMNS": "120", **environment},
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # so that Ctrl-C reaches it
        )
        os.close(theirs)

    def wait_for(self, words: str, seconds: float = 120) -> str:
        """Read until these words appear after what was waited for before; gives what came up to then."""
        end = time.monotonic() + seconds
        while (at := self.text.find(words, self._seen)) < 0:
            assert time.monotonic() < end, f"{words!r} did not come; this did:\n{self.text[self._seen :]}"
            assert self._read(0.5), f"the program ended before {words!r}; it said:\n{self.text[self._seen :]}"
        found, self._seen = self.text[self._seen : at], at + len(words)
        return found

    def press(self, keys: str) -> None:
        os.write(self._ours, keys.encode())

    def end(self, seconds: float = 120) -> int:
        """Read until the program ends; gives its exit status."""
        until = time.monotonic() + seconds
        while self._read(0.5):
            assert time.monotonic() < until, f"still running; it said:\n{self.text[self._seen :]}"
        return self.process.wait(timeout=20)

    def _read(self, seconds: float) -> bool:
        """Whether there may be more to come."""
        if select.select([self._ours], [], [], seconds)[0]:
            try:
                data = os.read(self._ours, 65536)
            except OSError:  # the last one who had the terminal open is gone
                return False
            self.text += _COLOURS.sub("", data.decode(errors="replace")).replace("\r\n", "\n")
        return True

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()
        with contextlib.suppress(OSError):
            os.close(self._ours)
