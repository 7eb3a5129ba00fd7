"""Damages sound little models in every way, and sees who survives: verify, `models show`, the engine, `leafwise solve`.

    python tests/runtime/damaged_run.py FOLDER COUNT [SEED] [LOADS] [SOLVES]

Of COUNT damaged files some have the embedded model's header and no data. Each file is verified and shown in a forked
process with `verify`'s own limits. LOADS of those that pass are opened by the real engine, in a process each; SOLVES
files, good and bad, go through the real command line. Prints a JSON object; the lists in it are to be empty.
"""

from __future__ import annotations

import collections
import contextlib
import io
import itertools
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from damaged_gguf import Map, damaged, write_model

from leafwise.runtime import models_cli, opening
from leafwise.runtime.contracts import Message, Request
from leafwise.runtime.engine_options import EngineOptions
from leafwise.runtime.errors import LeafwiseError
from leafwise.runtime.models import resolve
from leafwise.runtime.probe import ProbeVerdict, probe
from leafwise.runtime.verify_child import check, limit_resources
from leafwise.runtime.verify_report import Order, Verification

SECONDS = 60.0
MOST_BYTES = 2**30


class Run:
    """What came of it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.tally: collections.Counter[str] = collections.Counter()
        self.failures: list[str] = []
        self.peak_bytes = 0
        self.slowest = 0.0

    def in_fork(self, what: str, work: Callable[[], Any]) -> Any:
        """Do something in a forked process; gives its answer, or None and notes why."""
        began, (reader, writer) = time.monotonic(), os.pipe()
        child = os.fork()
        if not child:
            os.close(reader)
            os.write(writer, json.dumps(work()).encode() + b"\n")
            os._exit(0)
        os.close(writer)
        with os.fdopen(reader) as answer:
            said = answer.read()
        _, status, usage = os.wait4(child, 0)
        self.peak_bytes = max(self.peak_bytes, usage.ru_maxrss * 1024)
        self.slowest = max(self.slowest, usage.ru_utime + usage.ru_stime)
        if status or time.monotonic() - began > SECONDS:
            self.failures.append(f"{what}: status {os.waitstatus_to_exitcode(status)}")
            return None
        return json.loads(said)

    def verified(self, path: Path) -> bool:
        """Verify and show a file; whether it is sound."""
        answer = self.in_fork(f"check of {path.name}", lambda: _check(path))
        if answer is None:
            return False
        if answer["shown"] not in ("0", "ModelFileError"):
            self.failures.append(f"models show of {path.name}: {answer['shown']}")
        verification = Verification.model_validate(answer["verification"])
        self.tally["sound" if verification.sound else "unsound"] += 1
        return verification.sound

    def load(self, path: Path, verdict: ProbeVerdict) -> None:
        """Open a file with the engine and let it generate."""
        ended = self.in_fork(f"engine with {path.name}", lambda: _load(path, verdict))
        self.tally[f"engine: {ended}"] += 1

    def solve(self, path: Path) -> None:
        """Give a file to the real command line."""
        program = "import sys; from leafwise.runtime.cli import main; sys.exit(main())"
        options = ["--strategy", "direct", "--max-tokens", "16", "--sandbox", "none", "--quiet"]
        done = subprocess.run(
            [sys.executable, "-c", program, "solve", "--model", str(path), *options, "add two numbers"],
            capture_output=True,
            timeout=300,
            check=False,
            text=True,
        )
        self.tally[f"solve: status {done.returncode}"] += 1
        if done.returncode < 0 or "crashed" in done.stderr or "Traceback" in done.stderr or "bug" in done.stderr:
            self.failures.append(f"solve with {path.name}: status {done.returncode}: {done.stderr[-300:]}")


def _check(path: Path) -> dict[str, Any]:
    with contextlib.redirect_stdout(io.StringIO()):
        try:
            shown = str(models_cli.main(["show", str(path)]))
        except LeafwiseError as error:
            shown = type(error).__name__
        # the process's boundary: anything else is what is looked for
        except Exception as error:
            shown = repr(error)
    limit_resources(768 * 2**20, SECONDS)
    return {"shown": shown, "verification": check(path, Order(), lambda _: None).model_dump(mode="json")}


def _load(path: Path, verdict: ProbeVerdict) -> str:
    setattr(opening, "probe", lambda _: verdict)  # noqa: B010 - both were done already, in the parent
    setattr(opening, "require_sound", lambda _: None)  # noqa: B010
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    options = EngineOptions(context=64, running=1, threads=1, chat=False)
    try:
        with opening.open_in_process(str(path), options) as engine:
            engine.submit(Request(prompt="def f(ä):\n\treturn '€'", max_tokens=4)).result(SECONDS)
            engine.submit(Request(messages=(Message(role="user", content="f"),), max_tokens=4)).result(SECONDS)
    except LeafwiseError as error:
        return type(error).__name__
    return "generated"


def models(folder: Path, count: int, seed: int) -> Iterator[tuple[str, bytes, int]]:
    """Damaged files: names, contents, and how long they are to be."""
    for tokenizer in ("gpt2", "llama"):
        sound = write_model(folder / f"{tokenizer}.gguf", tokenizer).read_bytes()
        for name, data in damaged(sound, count * 9 // 20, seed):
            yield f"{tokenizer}-{name}", data, len(data)
    embedded = resolve("smollm2-135m").path
    with embedded.open("rb") as file:
        head = file.read(4 * 2**20)
    head, size = head[: Map(head).end + 4096], embedded.stat().st_size
    for name, data in damaged(head, count - 2 * (count * 9 // 20), seed):
        shorter = len(head) - len(data)
        yield f"embedded-{name}", data, len(data) if shorter > 64 else size - shorter


def main(arguments: list[str]) -> int:
    """See the module's docstring."""
    folder, count, seed, loads, solves = Path(arguments[0]), *map(int, [*arguments[1:], *"0000"[: 5 - len(arguments)]])
    run, verdict = Run(folder), probe(resolve("smollm2-135m").path)
    begun, left = time.monotonic(), itertools.count(loads, -1)
    for i, (name, data, size) in enumerate(models(folder, count, seed)):
        path = folder / f"{name}.gguf"
        path.write_bytes(data)
        os.truncate(path, size)  # the rest is a hole: zeros that take no room
        sound = run.verified(path)
        if sound and next(left) > 0:
            run.load(path, verdict)
        if solves and i % max(1, count // solves) == 0:
            run.solve(path)
        path.unlink()
    facts = {"failures": run.failures, "tally": run.tally, "peak_bytes": run.peak_bytes, "slowest": run.slowest}
    print(json.dumps(facts | {"seconds": round(time.monotonic() - begun, 1)}, indent=2))
    return 1 if run.failures or run.peak_bytes > MOST_BYTES else 0


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    sys.exit(main(sys.argv[1:]))
