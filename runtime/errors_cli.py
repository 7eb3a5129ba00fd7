"""How errors reach the user: ours in two lines, a bug in one, with its traceback in a file.

Imports only the standard library, as `cli` does.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, TextIO

from leafwise.runtime.errors import LeafwiseError

if TYPE_CHECKING:
    from pathlib import Path

_RED, _CYAN = "31", "36"


def report(error: LeafwiseError, stream: TextIO | None = None) -> None:
    """Prints `error: MESSAGE` and, where there is one, `hint: HINT`."""
    stream = stream or sys.stderr
    if _debug():
        _print_traceback(error, stream)
    print(f"{_colored('error:', _RED, stream)} {_harmless(error.message)}", file=stream)
    if error.hint:
        print(f"{_colored('hint:', _CYAN, stream)} {_harmless(error.hint)}", file=stream)


def _harmless(text: str) -> str:
    """A text that may quote an untrusted file, without what would steer the terminal."""
    return "".join(c if c.isprintable() or c == "\n" else "\N{REPLACEMENT CHARACTER}" for c in text)


def _colored(text: str, color: str, stream: TextIO) -> str:
    plain = bool(os.environ.get("NO_COLOR")) or not stream.isatty()
    return text if plain else f"\x1b[1;{color}m{text}\x1b[0m"


def _debug() -> bool:
    return os.environ.get("LEAFWISE_DEBUG", "") not in ("", "0")


def _print_traceback(error: BaseException, stream: TextIO) -> None:
    import traceback

    traceback.print_exception(error, file=stream)


def report_bug(error: Exception) -> None:
    """Prints that the error is a bug of ours, and where its traceback is."""
    where = "" if _debug() else f"; the traceback is in {_save_traceback(error)}"
    if _debug():
        _print_traceback(error, sys.stderr)
    text = " ".join(f"{type(error).__name__}: {error}".split())
    print(f"{_colored('error:', _RED, sys.stderr)} this is a bug in leafwise: {text[:300]}{where}", file=sys.stderr)


def _save_traceback(error: Exception) -> Path | str:
    import tempfile
    import time
    from pathlib import Path

    try:
        from leafwise.runtime.paths import state_dir

        folder = state_dir() / "tracebacks"
        folder.mkdir(parents=True, exist_ok=True)
    except (ImportError, OSError, LeafwiseError):  # before the installation is complete, or without a writable home
        folder = Path(tempfile.gettempdir())
    name = f"leafwise-{time.strftime('%Y%m%d-%H%M%S')}-"
    try:
        with tempfile.NamedTemporaryFile(
            "w", encoding="utf-8", dir=folder, prefix=name, suffix=".txt", delete=False
        ) as file:
            file.write(f"leafwise {version()}, Python {sys.version}\narguments: {sys.argv}\n\n")
            _print_traceback(error, file)  # type: ignore[arg-type]
            return file.name
    except OSError:
        return "no file (nothing is writable): set LEAFWISE_DEBUG=1 to see it"


def version() -> str:
    """The version of leafwise that is installed."""
    from importlib.metadata import version

    return version("leafwise")
