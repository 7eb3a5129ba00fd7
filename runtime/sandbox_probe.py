"""What of the sandbox this machine can give: found by doing, with what to do about the rest."""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import re
import subprocess
from importlib.metadata import version
from pathlib import Path

from leafwise.runtime.errors import SandboxUnavailableError, UsageError
from leafwise.runtime.layer_bubblewrap import find_bubblewrap, interpreter
from leafwise.runtime.layer_landlock import landlock_abi
from leafwise.runtime.paths import cache_dir, write_whole
from leafwise.runtime.sandbox import LayerReport
from leafwise.runtime.sandbox_contracts import Check, Limits, Program, SandboxLevel, SandboxOptions, Status
from leafwise.runtime.sandbox_pool import ProcessSandbox

_INSTALL = "install bubblewrap: apt install bubblewrap, dnf install bubblewrap, or pacman -S bubblewrap"
_USER_NAMESPACES = (
    "allow user namespaces for bubblewrap; Ubuntu 23.10 and later: add an AppArmor profile for /usr/bin/bwrap with "
    "`userns,` (file /etc/apparmor.d/bwrap: `abi <abi/4.0>, include <tunables/global> profile bwrap /usr/bin/bwrap "
    "flags=(unconfined) { userns, }`, then `sudo systemctl reload apparmor`); other systems: "
    "`sudo sysctl user.max_user_namespaces=15000` or `kernel.unprivileged_userns_clone=1`; in a container: run it with "
    "a seccomp profile that allows unshare and mount"
)
_LANDLOCK = "needs Linux 5.13 or later with `landlock` in the boot parameter lsm= (see /sys/kernel/security/lsm)"

_BOOT = Path("/proc/sys/kernel/random/boot_id")
_PROBE_LIMITS = Limits(wall_seconds=30)
_PROBE = """
import os, socket
def _try(action):
    try:
        action()
    except OSError:
        return False
    return True
def holes():
    tries = {
        "reads /etc/passwd": lambda: open("/etc/passwd").close(),
        "lists /home": lambda: os.listdir("/home"),
        "writes /tmp": lambda: open("/tmp/leafwise-probe", "w").close(),
        "opens a socket": lambda: socket.socket().close(),
        "forks": lambda: os.fork() or os._exit(0),
        "runs a program": lambda: os.execv("/bin/true", ["true"]),
        "signals its parent": lambda: os.kill(os.getppid(), 0),
        "reads its parent": lambda: open(f"/proc/{os.getppid()}/environ").close(),
        "changes a mode": lambda: os.chmod("/", 0o755),
    }
    return [name for name, action in tries.items() if _try(action)]
"""


def open_checked(options: SandboxOptions, workers: int | None, *, anew: bool = False) -> ProcessSandbox:
    """Start the sandbox and have its layers, and a small hostile program, try its walls, once per boot.

    Args:
        options: what it is made of.
        workers: programs that run at once.
        anew: try them also if that has been done since the machine was started.

    Raises:
        SandboxUnavailableError: it did not start, or a wall has a hole.
    """
    if options.level is SandboxLevel.LANDLOCK and not landlock_abi():
        raise SandboxUnavailableError("the kernel has no Landlock", hint=_LANDLOCK)
    try:
        sandbox = ProcessSandbox(options, workers)
    except SandboxUnavailableError as error:
        raise SandboxUnavailableError(error.message, hint=error.hint or remedy(error.message)) from error
    try:
        _try_walls(sandbox, options, anew)
    except BaseException:
        sandbox.close()
        raise
    return sandbox


def _try_walls(sandbox: ProcessSandbox, options: SandboxOptions, anew: bool) -> None:
    if options.level is SandboxLevel.NONE or options.without or (not anew and _held_before(options)):
        return
    holes = [f"{layer}: {hole}" for layer, found in sandbox.test_layers().items() for hole in found]
    verdict = sandbox.run(Program(source=_PROBE, checks=(Check(code="holes()", expected="[]"),)), _PROBE_LIMITS)
    if verdict.status is not Status.PASSED:
        holes.append(verdict.checks[0].observed or verdict.detail if verdict.checks else verdict.detail)
    if holes:
        raise SandboxUnavailableError(
            f"the {sandbox.level} sandbox does not hold: {'; '.join(holes)}", hint="report this with `leafwise doctor`"
        )
    with contextlib.suppress(OSError, UsageError):  # without a cache the next start just tries again
        write_whole(_proof(options), _BOOT.read_bytes(), private=True)


def _held_before(options: SandboxOptions) -> bool:
    try:
        return _proof(options).read_bytes() == _BOOT.read_bytes()
    except (OSError, UsageError):
        return False


def _proof(options: SandboxOptions) -> Path:
    """The file with the id of the boot in which these walls, on this machine as it is now, were tried and held."""
    parts: list[object] = [os.getuid(), options.level, platform.release(), version("leafwise"), landlock_abi()]
    for program in (find_bubblewrap(), interpreter()):
        if program is not None:
            status = Path(program).stat()
            parts += [str(program), status.st_size, status.st_mtime_ns]
    name = hashlib.sha256(repr(parts).encode()).hexdigest()[:32]
    return cache_dir() / f"sandbox-held-{name}"


def remedy(message: str) -> str:
    """What to do when the full level did not start, judged by bubblewrap's message."""
    if "not installed" in message:
        return _INSTALL
    if "setuid" in message:
        return "remove the set-uid bit (sudo chmod u-s /usr/bin/bwrap) and allow user namespaces"
    if re.search(
        "namespace|uid map|setting up|Permission denied|Operation not permitted|clone", message, re.IGNORECASE
    ):
        return _USER_NAMESPACES
    return "run `bwrap --ro-bind / / --unshare-all true` to see what bubblewrap says"


def layer_reports() -> list[LayerReport]:
    """One report per layer and a last one, `level`, for what they add up to."""
    full, landlock = _level_report(SandboxLevel.FULL), _level_report(SandboxLevel.LANDLOCK)
    return [_bubblewrap(), _namespaces(), _landlock(), _seccomp(), full, landlock, _result(full, landlock)]


def _bubblewrap() -> LayerReport:
    path = find_bubblewrap()
    if path is None:
        return LayerReport(name="bubblewrap", available=False, detail="no bwrap on PATH", remedy=_INSTALL)
    version = subprocess.run([path, "--version"], capture_output=True, text=True, check=False).stdout.strip()
    return LayerReport(name="bubblewrap", available=True, detail=f"{version} at {path}")


def _namespaces() -> LayerReport:
    path = find_bubblewrap()
    if path is None:
        return LayerReport(name="user namespaces", available=False, detail="not tried: no bwrap", remedy=_INSTALL)
    line = [path, "--unshare-all", "--unshare-user", "--ro-bind", "/", "/", "true"]
    tried = subprocess.run(line, capture_output=True, text=True, check=False)
    works = tried.returncode == 0
    detail = "all namespaces can be made" if works else tried.stderr.strip() or f"exit status {tried.returncode}"
    return LayerReport(name="user namespaces", available=works, detail=detail, remedy="" if works else _USER_NAMESPACES)


def _landlock() -> LayerReport:
    abi = landlock_abi()
    if not abi:
        return LayerReport(name="Landlock", available=False, detail="not in this kernel", remedy=_LANDLOCK)
    return LayerReport(name="Landlock", available=True, detail=f"ABI {abi}")


def _seccomp() -> LayerReport:
    from leafwise.runtime import seccomp_rules

    stored = seccomp_rules.stored("full")
    if not stored:
        detail, remedy = f"no filter for {platform.machine()}", "x86_64 and aarch64 are supported"
        return LayerReport(name="seccomp", available=False, detail=detail, remedy=remedy)
    return LayerReport(
        name="seccomp", available=True, detail=f"{len(stored) // 8} instructions for {platform.machine()}"
    )


def _level_report(level: SandboxLevel) -> LayerReport:
    name = f"level {level.value}"
    try:
        with open_checked(SandboxOptions(level=level), 1, anew=True) as sandbox:
            layers = ", ".join(sandbox.layers)
    except SandboxUnavailableError as error:
        return LayerReport(name=name, available=False, detail=error.message, remedy=error.hint)
    detail = f"tried each layer alone, and all with a small hostile program: {layers}"
    return LayerReport(name=name, available=True, detail=detail)


def _result(full: LayerReport, landlock: LayerReport) -> LayerReport:
    if full.available:
        return LayerReport(name="level", available=True, detail="full")
    if landlock.available:
        return LayerReport(name="level", available=True, detail="landlock", remedy=full.remedy)
    return LayerReport(name="level", available=False, detail="none", remedy=f"{full.remedy}; {landlock.remedy}")
