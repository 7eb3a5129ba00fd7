"""An engine that does what its prompts say, one after the other, good or bad. Run as a program, it is the child of an
`IsolatedEngine`: its last argument is the socket's descriptor.
"""

from __future__ import annotations

import logging
import os
import queue
import socket
import sys
import threading
import time
from pathlib import Path

from leafwise.runtime import errors
from leafwise.runtime.contracts import Completion, FinishReason, ModelInfo, Piece, Request, Sample, Usage
from leafwise.runtime.engine import Generation
from leafwise.runtime.engine_options import EngineOptions
from leafwise.runtime.isolated_child import Child
from leafwise.runtime.meter import Meter

FRAMES = {
    "garbage": b'\x05\0\0\0["no"',
    "lie": b'\x1c\0\0\0[{"kind":"ended","id":"many"',
    "huge": b"\xff\xff\xff\xff",
}
NOISE = "some noise\nGGML_ASSERT(rows > 0) failed\n/lib/libggml.so(+0x1f)[0x7f001f]"


class UnrulyEngine:
    def __init__(self) -> None:
        self.info = ModelInfo(name="unruly", architecture="none", context=100, running=1)
        self._jobs: queue.SimpleQueue[Generation] = queue.SimpleQueue()
        self._since: float | None = None
        self._answered = 0
        threading.Thread(target=self._run, daemon=True).start()

    def submit(self, request: Request) -> Generation:
        prompt = request.prompt or ""
        if prompt == "crash at submit":
            os.abort()
        if prompt.startswith("refuse"):
            raise getattr(errors, prompt.split()[1])("no", "a hint")
        generation = Generation(request)
        self._jobs.put(generation)
        return generation

    def _run(self) -> None:
        while True:
            generation = self._jobs.get()
            generation.begin()
            time.sleep(0.05)  # as long as a real engine needs to die
            self._since = time.monotonic()
            self._do(generation, *(generation.request.prompt or "say hello").split())
            self._since = None

    def _do(self, generation: Generation, what: str, how: str = "") -> None:
        if what in ("signal", "exit", "silent") or what in FRAMES:
            misbehave(what, how)
        if what == "broken":
            generation.finish(errors.EngineCrashedError("decode failed", "a hint"))
            while not self._jobs.empty():
                self._jobs.get().finish(errors.EngineCrashedError("decode failed"))
            return
        while what != "say" and not generation.cancelled:
            time.sleep(0.01)
            if what != "hang":
                self._since = time.monotonic()
        generation.push(Piece(sample=0, text=how, tokens=1))
        self._answered += 1
        reason = FinishReason.CANCELLED if generation.cancelled else FinishReason.STOP
        sample = Sample(text=how, finish_reason=reason, tokens=1)
        # a deadline is returned where the test can see it
        deadline = generation.request.deadline
        usage = Usage(prompt_tokens=1, completion_tokens=1, seconds=0.0, first_token_seconds=deadline)
        generation.finish(Completion(samples=(sample,), usage=usage))

    def count_tokens(self, request: Request) -> int:
        return len((request.prompt or "a chat").split())

    def meter(self) -> Meter:
        return Meter(requests=self._answered, seconds=1.0, peak_memory_bytes=5 + self._answered)

    def busy_seconds(self) -> float:
        since = self._since
        return time.monotonic() - since if since is not None else 0.0

    def save_prefix(self, request: Request, path: Path) -> int:
        return path.write_text(request.prompt or "")

    def load_prefix(self, path: Path) -> int:
        return len(path.read_text())

    def close(self) -> None:
        pass

    def __enter__(self) -> UnrulyEngine:
        return self

    def __exit__(self, *_: object) -> None:
        pass


def misbehave(what: str, how: str) -> None:
    descriptor = int(sys.argv[-1])
    if what == "signal":
        print(NOISE, flush=True)
        os.kill(os.getpid(), int(how))
    elif what == "exit":
        os._exit(int(how))
    elif what == "silent":
        socket.socket(fileno=os.dup(descriptor)).shutdown(socket.SHUT_WR)
    else:
        os.write(descriptor, FRAMES[what])
    time.sleep(60)


def open_unruly(model: str, options: EngineOptions) -> UnrulyEngine:
    """A model that is a path counts the starts in that file, and opens at the first one only."""
    logging.getLogger("leafwise.unruly").warning("opened\x1b")
    if model != "unruly":
        starts = Path(model)
        before = starts.read_text() if starts.exists() else ""
        starts.write_text(before + "x")
        if before:
            os.abort()
    return UnrulyEngine()


if __name__ == "__main__":
    Child(socket.socket(fileno=int(sys.argv[-1]))).serve(open_unruly)
