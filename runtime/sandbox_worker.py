"""One worker: a zygote process in its walls, seen from the supervisor."""

from __future__ import annotations

import base64
import contextlib
import importlib.util
import json
import os
import shutil
import socket
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from leafwise.runtime import seccomp_rules
from leafwise.runtime.errors import SandboxBrokenError, SandboxUnavailableError
from leafwise.runtime.layer_bubblewrap import SCRATCH, command, find_bubblewrap, interpreter, library_roots
from leafwise.runtime.layer_landlock import landlock_abi, readable_library
from leafwise.runtime.sandbox_contracts import Limits, Program, SandboxLevel
from leafwise.runtime.sandbox_job import Job, Outcome

_INNER = ("boot", "arrays", "late", "codec", "values", "wire", "walls", "remote", "solver", "tester", "zygote")
_LANDLOCKPY = [f"landlockpy{part}" for part in ("", "._syscall", ".errors", ".flags", ".ruleset", ".testing")]
START_SECONDS = 20.0
_CLOSE_SECONDS = 2.0


class Worker:
    """A started zygote. `run` is called by one thread at a time.

    Args:
        level: full, landlock or none.
        user: run as this user and group, for a supervisor that is root; None keeps the supervisor's.

    `start` must be called from a thread that lives as long as the worker: bubblewrap dies with the thread that
    started it.
    """

    def __init__(self, level: SandboxLevel, user: int | None = None) -> None:
        self._level = level
        self._user = user
        self._folder = tempfile.mkdtemp(prefix="leafwise-sandbox-") if level is SandboxLevel.NONE else None
        if self._folder is not None and user is not None:
            os.chown(self._folder, user, user)
        self._control, self._inner_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._process: subprocess.Popen[bytes] | None = None
        self._errors = os.memfd_create("leafwise-sandbox-errors", os.MFD_CLOEXEC)

    def start(self) -> None:
        """Start the process and wait until it is warm.

        Raises:
            SandboxUnavailableError: it did not start; the message carries what it wrote to standard error.
        """
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

    def _launch(self) -> dict[str, Any]:
        config = {"sources": _sources(), "config": self._config()}
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
        with _sealed(config) as setup:
            socket.send_fds(self._control, [b"setup"], [setup])
        self._control.settimeout(START_SECONDS)
        reply: dict[str, Any] = json.loads(self._control.recv(1 << 16) or b"{}")
        return reply

    def run(self, program: Program, limits: Limits, cancel: threading.Event | None) -> Outcome:
        """Run one program.

        Raises:
            SandboxBrokenError: the worker died or a wall could not be put up; it must be killed.
        """
        checks = [check.model_dump() for check in program.checks]
        job = {"setup": program.setup, "checks": checks, "stop": program.stop_at_first_failure}
        with _sealed(program.source) as source, _sealed(job) as tests, Job(limits, len(checks)) as pipes:
            try:
                fds = [source, pipes.output_in, tests, pipes.verdict_in]
                socket.send_fds(self._control, [limits.model_dump_json().encode()], fds)
            except OSError as error:
                raise SandboxBrokenError(f"the sandbox's worker is gone: {error}") from error
            return pipes.wait(self._control, cancel)

    def interrupt(self) -> None:
        """End the worker from another thread; the one that runs a program in it gets `SandboxBrokenError`."""
        with contextlib.suppress(OSError):
            self._control.shutdown(socket.SHUT_RDWR)
        if self._process is not None:
            self._process.kill()

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
        if self._folder is not None:
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
        return command(bwrap, self._environment())

    def _environment(self) -> dict[str, str]:
        scratch = self._scratch() or "/"
        # A fixed hash seed: the same program gets the same verdict in every worker.
        return {"HOME": scratch, "TMPDIR": scratch, "LANG": "C.UTF-8", "PATH": "/usr/bin:/bin", "PYTHONHASHSEED": "0"}

    def _scratch(self) -> str | None:
        return SCRATCH if self._level is SandboxLevel.FULL else self._folder

    def _config(self) -> dict[str, Any]:
        full, none = self._level is SandboxLevel.FULL, self._level is SandboxLevel.NONE
        library: list[tuple[str, bool]] | None = None
        if landlock_abi() and not none:
            roots = [(str(root), True) for root in library_roots()]
            library = [*roots, ("/etc/ld.so.cache", True)] if full else readable_library()
        stored = b"" if none else seccomp_rules.stored("full" if full else "reader")
        if not stored and not none:
            raise SandboxUnavailableError("no seccomp filter for this kind of processor", hint="use --sandbox none")
        layers = {
            "scratch": self._scratch(),
            "mount": full,
            "library": library,
            "seccomp": base64.b64encode(stored).decode(),
            "task_slack": 0 if full else _tasks_of_user(),
        }
        return {"layers": layers, "die_with_parent": not full}


@contextlib.contextmanager
def _sealed(value: Any) -> Iterator[int]:
    """A memory file with the JSON of a value."""
    fd = os.memfd_create("leafwise-sandbox", os.MFD_CLOEXEC)
    try:
        data = memoryview(json.dumps(value).encode())
        while data:
            data = data[os.write(fd, data) :]
        yield fd
    finally:
        os.close(fd)


def _source(name: str, package: str = "leafwise.runtime") -> str:
    full = f"{package}.{name}" if package else name
    spec = importlib.util.find_spec(full)
    source = spec.loader.get_source(full) if spec and spec.loader and hasattr(spec.loader, "get_source") else None
    if source is None:
        raise SandboxUnavailableError(f"the source of {full} is not installed", hint="install leafwise from a wheel")
    return str(source)


def _sources() -> dict[str, str]:
    """The modules that the zygote needs, by full name."""
    inner = {f"leafwise.runtime.inside_{part}": _source(f"inside_{part}") for part in _INNER}
    return {"leafwise": "", "leafwise.runtime": "", **inner, **{name: _source(name, "") for name in _LANDLOCKPY}}


def _tasks_of_user() -> int:
    """Threads of this user now, with room for more: the kernel's limit counts them too when there is no namespace."""
    own, tasks = os.getuid(), 0
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if process.stat().st_uid == own:
                tasks += len(list((process / "task").iterdir()))
    return tasks + 512
