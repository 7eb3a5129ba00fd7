"""The binding to llama.cpp's quantizer, run as a process of its own: `python -m leafwise.quant.native IN OUT FTYPE`.

A crash in native code, or a kill for want of memory, then ends this process and not the user's. llama.cpp's log lines
go to standard output, where the parent reads the progress from them.
"""

from __future__ import annotations

import ctypes
import sys

import llama_cpp


@llama_cpp.llama_log_callback  # type: ignore[untyped-decorator]
def _log(_level: int, text: bytes, _user_data: ctypes.c_void_p) -> None:
    sys.stdout.buffer.write(text)
    sys.stdout.buffer.flush()


def run(source: str, target: str, file_type: int) -> int:
    """Quantize a file; returns llama.cpp's status, 0 for success."""
    llama_cpp.llama_log_set(_log, ctypes.c_void_p(0))
    llama_cpp.llama_backend_init()
    parameters = llama_cpp.llama_model_quantize_default_params()
    parameters.ftype = file_type
    parameters.allow_requantize = True  # whether that is wanted was decided by the parent
    return int(llama_cpp.llama_model_quantize(source.encode(), target.encode(), ctypes.byref(parameters)))


if __name__ == "__main__":
    sys.exit(1 if run(sys.argv[1], sys.argv[2], int(sys.argv[3])) else 0)
