"""llama.cpp's log, sent to `logging`."""

from __future__ import annotations

import ctypes
import logging

import llama_cpp

log = logging.getLogger("leafwise.llama_cpp")

# ggml's levels: none, debug, info, warn, error, continue. It warns of things that are meant (a cache larger than one
# context), so only its errors become warnings: what they lead to is raised.
_LEVELS = {3: logging.INFO, 4: logging.WARNING}


@llama_cpp.llama_log_callback  # type: ignore[untyped-decorator]
def _log_callback(level: int, text: bytes, _user_data: ctypes.c_void_p) -> None:
    line = text.decode("utf-8", "replace").rstrip()
    if line.strip("."):  # loading prints a dot per percent
        log.log(_LEVELS.get(level, logging.DEBUG), "%s", line)


def set_log(*, quiet: bool) -> None:
    """Send llama.cpp's log to `logging`.

    Args:
        quiet: unless somebody listens to information, send it nowhere. Loading writes hundreds of lines, and each call
            into Python waits for the interpreter's lock, which other threads hold while they import: half a second in
            all. The callback is then a C function that does nothing (`abs` looks at the first argument only).
    """
    silent = ctypes.cast(ctypes.CDLL(None).abs, llama_cpp.llama_log_callback)
    quiet = quiet and not log.isEnabledFor(logging.INFO)
    llama_cpp.llama_log_set(silent if quiet else _log_callback, ctypes.c_void_p(0))
