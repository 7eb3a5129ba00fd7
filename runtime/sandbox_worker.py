"""One worker: a zygote process in its walls, seen from the supervisor."""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import json
import marshal
import os
import shutil
import socket
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any

from leafwise.runtime import seccomp_rules
from leafwise.runtime.errors import SandboxBrokenError, SandboxUnavailableError, UsageError
from leafwise.runtime.layer_bubblewrap import command, find_bubblewrap, interpreter, library_roots
from leafwise.runtime.layer_landlock import landlock_abi, make_ruleset, readable_alone, readable_inside
from leafwise.runtime.sandbox_contracts import Limits, Program, SandboxLevel, SandboxOptions
from leafwise.runtime.sandbox_imports import PACKAGES, resolve_imports
from leafwise.runtime.sandbox_job import Job, Outcome
from leafwise.runtime.sandbox_modules import resolve_modules

_ONE_THREAD = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
_SCRATCH = {SandboxLevel.FULL: "mounted", SandboxLevel.LANDLOCK: "none", SandboxLevel.NONE: "folder"}
START_SECONDS = 20.0
_CLOSE_SECONDS = 2.0


class Worker:
    """A started zygote. `run` is called by one thread at a time, the one that made it.

    That thread has to live as long as the worker: bubblewrap dies with the thread that started it.

    Args:
        options: the level, and what is let in or left out.
        user: run as this user and group, for a supervisor that is root; None keeps the supervisor's.

    Raises:
        SandboxUnavailableError: it did not start; the message carries what it wrote to standard error.
    """

    def __init__(self, options: SandboxOptions, user: int | None = None) -> None:
        self._options = options
        self._level = options.level
        self._user = user
        self._packages = _shown(options)
        self._folder: str | None = None
        self._control, self._inner_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._process: subprocess.Popen[bytes] | None = None
        self._errors = os.memfd_create("leafwise-sandbox-errors", os.MFD_CLOEXEC)
        self.layers = self._start()
        """Names of the layers that are on."""

    def _start(self) -> tuple[str, ...]:
        failure = "the worker ended without a word"
        try:
            reply = self._launch()
        except OSError as error:
            reply, failure = {}, str(error)
        except BaseException:
            self.kill()
            raise
        if not reply.get("ready"):
            message = reply.get("broken") or self._stderr() or failure
            self.kill()
            raise SandboxUnavailableError(f"the {self._level} sandbox did not start: {message}")
        self._folder = reply["folder"]
        return tuple(reply["ready"])

    def _launch(self) -> dict[str, Any]:
        self._process = subprocess.Popen(
            [*self._prefix(), str(interpreter()), "-s", "-S", "-P", "-B", "-c", _source("inside_boot")],
            stdin=self._inner_end.fileno(),
            stdout=subprocess.DEVNULL,
            stderr=self._errors,
            env=self._environment(),
            cwd="/",
            start_new_session=True,
            user=self._user,
            group=self._user,
            extra_groups=None if self._user is None else [],
        )
        self._inner_end.close()
        with self._ruleset() as (rules, scratch_access), memory_file(self._setup(scratch_access)) as setup:
            socket.send_fds(self._control, [b"setup"], [setup, *rules])
        self._control.settimeout(START_SECONDS)
        reply: dict[str, Any] = json.loads(self._control.recv(1 << 16) or b"{}")
        return reply

    def run(self, program: Program, limits: Limits, cancelled: threading.Event) -> Outcome:
        """Run one program.

        Args:
            program: what to run.
            limits: what it may use.
            cancelled: set before `cancel` is called for this program.

        Raises:
            SandboxBrokenError: the worker died or a wall could not be put up; it must be killed.
        """
        source = program.source.encode("utf-8", "surrogatepass")
        checks = [check.model_dump() for check in program.checks]
        job = {
            "setup": program.setup,
            "entry_point": program.entry_point,
            "checks": checks,
            "stop": program.stop_at_first_failure,
            "trace": program.trace,
        }
        message = {"limits": limits.model_dump(), "kept": program.trusted_checks, "trace": program.trace}
        tests = json.dumps(job).encode()
        with memory_file(source) as solver, memory_file(tests) as tester, Job(limits, len(checks)) as running:
            try:
                fds = [solver, running.output_in, tester]
                socket.send_fds(self._control, [json.dumps(message).encode()], fds)
            except OSError as error:
                raise SandboxBrokenError(f"the sandbox's worker is gone: {error}") from error
            if cancelled.is_set():  # the zygote may have heard of that before it had the program
                self.cancel()
            return running.wait(self._control, tester, len(tests))

    def test_layers(self) -> dict[str, list[str]]:
        """Have each layer try itself, alone: layer -> what a process can still do that it should not.

        Raises:
            SandboxBrokenError: the worker died.
        """
        try:
            self._control.send(json.dumps({"limits": Limits().model_dump()}).encode())
            reply: dict[str, dict[str, list[str]]] = json.loads(self._control.recv(1 << 16) or b"{}")
        except OSError as error:
            raise SandboxBrokenError(f"the sandbox's worker is gone: {error}") from error
        if "holes" not in reply:
            raise SandboxBrokenError("the sandbox's worker died while its layers tried themselves")
        return reply["holes"]

    def cancel(self) -> None:
        """End the program that runs, from another thread; without one, nothing happens."""
        with contextlib.suppress(OSError):
            self._control.send(b"cancel")

    def interrupt(self) -> None:
        """End the worker from another thread; the one that runs a program in it gets `SandboxBrokenError`."""
        with contextlib.suppress(OSError):
            self._control.shutdown(socket.SHUT_RDWR)  # the zygote then ends what it runs, and itself

    def kill(self) -> None:
        """End the worker and all in it, and wait until they are gone. For the thread that holds the worker."""
        with contextlib.suppress(OSError):  # the zygote ends when its control socket does
            self._control.shutdown(socket.SHUT_WR)
        if self._process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_CLOSE_SECONDS)
            self._process.kill()
            self._process.wait()
            self._await_inner_end()
        self._control.close()
        self._inner_end.close()
        os.close(self._errors)
        if self._folder is not None and self._level is not SandboxLevel.FULL:  # the zygote had no time to
            shutil.rmtree(self._folder, ignore_errors=True)

    def _await_inner_end(self) -> None:
        """Wait for the zygote itself, which bubblewrap's outer process may not outlive: the last to hold the socket."""
        with contextlib.suppress(OSError):
            self._control.settimeout(_CLOSE_SECONDS)
            while self._control.recv(1 << 16):
                pass

    def _stderr(self) -> str:
        if self._process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_CLOSE_SECONDS)
        return os.pread(self._errors, 2000, 0).decode(errors="replace").strip()

    def _prefix(self) -> list[str]:
        if self._level is not SandboxLevel.FULL:
            return []
        bwrap = find_bubblewrap()
        if bwrap is None:
            raise SandboxUnavailableError("bubblewrap is not installed (no `bwrap` on PATH)")
        shown = {f"{PACKAGES}/{name}": path for name, path in self._packages.items()}
        return command(bwrap, self._environment(), shown)

    def _environment(self) -> dict[str, str]:
        # A fixed hash seed: the same program gets the same verdict in every worker.
        fixed = {"TMPDIR": tempfile.gettempdir(), "LANG": "C.UTF-8", "PATH": "/usr/bin:/bin", "PYTHONHASHSEED": "0"}
        # A thread that numpy started in the zygote would be missing in its children.
        return fixed | dict.fromkeys(_ONE_THREAD if self._options.allow_imports else (), "1")

    @contextlib.contextmanager
    def _ruleset(self) -> Iterator[tuple[list[int], int]]:
        """Landlock's rules as at most one descriptor, and the access to the scratch directory."""
        if self._level is SandboxLevel.NONE or "landlock" in self._options.without or not landlock_abi():
            yield [], 0
            return
        readable = readable_inside if self._level is SandboxLevel.FULL else readable_alone
        packages = [(str(path), True) for path in self._packages.values()]
        ruleset, scratch_access = make_ruleset([*readable(library_roots()), *packages])
        try:
            yield [ruleset], scratch_access
        finally:
            os.close(ruleset)

    def _setup(self, scratch_access: int) -> bytes:
        """What the zygote starts with: its modules, and what it is to be."""
        full, walled = self._level is SandboxLevel.FULL, self._level is not SandboxLevel.NONE
        stored = b""
        if walled and "seccomp" not in self._options.without:
            stored = seccomp_rules.stored("full" if full else "reader")
            if not stored:
                raise SandboxUnavailableError("no seccomp filter for this kind of processor", hint="use --sandbox none")
        walls = {
            "scratch": _SCRATCH[self._level],
            "namespaces": full,
            "scratch_access": scratch_access,
            "seccomp": stored.hex(),
            "task_slack": 0 if full else _tasks_of(os.getuid() if self._user is None else self._user),
        }
        packages = {name: f"{PACKAGES}/{name}" if full else str(path) for name, path in self._packages.items()}
        imports = list(self._options.allow_imports)
        config = {"walls": walls, "die_with_parent": not full, "packages": packages, "imports": imports}
        return marshal.dumps((_codes(), config))


def _shown(options: SandboxOptions) -> dict[str, Path]:
    """Name -> file or folder of all that programs may import beside the standard library.

    Raises:
        UsageError: something can't be shown.
    """
    packages, modules = resolve_imports(options.allow_imports), resolve_modules(options.modules)
    taken = {name.partition(".")[0] for name in packages}
    for name, path in modules.items():
        if (module := name.partition(".")[0]) in taken:
            raise UsageError(f"{path} and an allowed package are both the module {module}", "leave one of them out")
    return packages | modules


@contextlib.contextmanager
def memory_file(content: bytes) -> Iterator[int]:
    """A memory file."""
    fd = os.memfd_create("leafwise-sandbox", os.MFD_CLOEXEC)
    try:
        data = memoryview(content)
        while data:
            data = data[os.write(fd, data) :]
        yield fd
    finally:
        os.close(fd)


def _source(name: str) -> str:
    full = f"leafwise.runtime.{name}"
    spec = importlib.util.find_spec(full)
    source = spec.loader.get_source(full) if spec and spec.loader and hasattr(spec.loader, "get_source") else None
    if source is None:
        raise SandboxUnavailableError(f"the source of {full} is not installed", hint="install leafwise from a wheel")
    return str(source)


@functools.cache
def _codes() -> dict[str, Any]:
    """The modules that the zygote needs, by full name: those whose names begin with inside_ or layer_.

    The folder is not shown inside, where nothing of leafwise is installed; and the interpreter inside is this one, so
    they can go there compiled. Without docstrings, which would be in every child.
    """
    files = [path.name for path in resources.files("leafwise.runtime").iterdir()]
    names = [name[:-3] for name in files if name.startswith(("inside_", "layer_")) and name.endswith(".py")]
    sources = {"leafwise": "", "leafwise.runtime": "", **{f"leafwise.runtime.{name}": _source(name) for name in names}}
    return {name: compile(text, f"<{name}>", "exec", optimize=2) for name, text in sources.items()}


def _tasks_of(user: int) -> int:
    """Threads of a user now, with room for more: the kernel's limit counts them too when there is no namespace."""
    tasks = 0
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if process.stat().st_uid == user:
                tasks += len(list((process / "task").iterdir()))
    return tasks + 512
