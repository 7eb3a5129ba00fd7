"""Build llama-cpp-python for this machine's processor: `python -m leafwise.runtime.native_build [--force]`.

The native build keeps every instruction set that the processor has. The exception is AMX: virtual machines list it and
do not allow it, and the first decode then dies; so AMX is tried, and switched off only where it does not work. The
wheel is kept in the user's cache, keyed by everything that it depends on.

Standard library only: it runs before anything else is installed.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import json
import os
import platform
import shlex
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from leafwise.runtime.build_progress import Progress, clock, last_lines, run_logged
from leafwise.runtime.cli import guarded
from leafwise.runtime.cpu import Cpu, amx_trial, read_cpu
from leafwise.runtime.errors import LeafwiseError, UsageError
from leafwise.runtime.toolchain import find_compilers, first_line

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

DISTRIBUTION = "llama-cpp-python"
VERSION = "0.3.36"  # the version in constraints.txt; a test compares them
PIP = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input")

# The multimodal library is a third of the compile time, and nothing here loads it.
_BASE_FLAGS = ("-DLLAVA_BUILD=OFF",)
_NO_AMX = "-mno-amx-tile -mno-amx-int8 -mno-amx-bf16"
_RECORD = "leafwise-build.json"


@dataclass(frozen=True)
class Plan:
    """What to build. Two equal plans give interchangeable libraries."""

    version: str
    """Of llama-cpp-python."""
    cmake_args: str
    """Flags, quoted as in a shell."""
    features: tuple[str, ...]
    """The processor's instruction sets, sorted: the compiler may use each."""
    compiler: str
    """The compiler's first line about itself."""
    note: str = ""
    """For people: why a flag was chosen."""

    @property
    def flags(self) -> dict[str, object]:
        """What an installed library must agree in; another compiler is no reason to build again."""
        return {"version": self.version, "cmake_args": self.cmake_args, "features": list(self.features)}

    @property
    def key(self) -> str:
        """The name of this plan's folder in the wheel cache.

        The wheel is `py3-none`: one for every Python of the platform, so Python's own ABI is not part of it.
        """
        parts = [json.dumps(self.flags), self.compiler, sysconfig.get_platform(), *platform.libc_ver()]
        return f"{self.version}-{hashlib.sha256(repr(parts).encode()).hexdigest()[:16]}"


def reinstall_command() -> str:
    """What to type to build the library again for this machine."""
    return f"{shlex.quote(sys.executable)} -m leafwise.runtime.native_build --force"


def make_plan(cpu: Cpu, compilers: tuple[str, str], user_flags: str) -> Plan:
    """Chooses the flags for a processor.

    Args:
        cpu: the processor.
        compilers: the C and the C++ compiler.
        user_flags: `CMAKE_ARGS` of the environment; they come last, so they win.
    """
    flags, note = list(_BASE_FLAGS), ""
    if any(feature.startswith("amx") for feature in cpu.features):
        failure = amx_trial(compilers[0])
        if failure is not None:
            flags += [f"-DCMAKE_C_FLAGS='{_NO_AMX}'", f"-DCMAKE_CXX_FLAGS='{_NO_AMX}'"]
        note = f"AMX is switched off: {failure}" if failure else "AMX works here and is used"
    cmake_args = " ".join([*flags, user_flags.strip()]).strip()
    return Plan(VERSION, cmake_args, tuple(sorted(cpu.features)), first_line([compilers[1], "--version"]), note)


def check_python() -> None:
    """Raises `UsageError` for a Python that is too old or has no pip."""
    if sys.version_info < (3, 11):  # noqa: UP036 - a checkout can be run by any Python
        raise UsageError(f"Python {platform.python_version()} is too old: leafwise needs 3.11 or newer")
    if subprocess.run([*PIP, "--version"], capture_output=True, check=False).returncode != 0:
        raise UsageError(f"{sys.executable} has no pip", f"{sys.executable} -m ensurepip")


def is_installed(plan: Plan) -> bool:
    """Whether this environment has what the plan would build, and it can be imported."""
    try:
        distribution = importlib.metadata.distribution(DISTRIBUTION)
        if distribution.version != plan.version:
            return False
        record = json.loads(_record_path(distribution).read_text(encoding="utf-8"))
    except (importlib.metadata.PackageNotFoundError, OSError, ValueError):
        return False
    if record != {**plan.flags, "files": _files_hash(distribution)}:
        return False
    command = [sys.executable, "-P", "-c", "import llama_cpp"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def _record_path(distribution: importlib.metadata.Distribution) -> Path:
    return Path(str(distribution.locate_file("llama_cpp"))) / _RECORD


def _files_hash(distribution: importlib.metadata.Distribution) -> str:
    # pip's list holds a hash of every file: the record is void once somebody installs another build over this one.
    return hashlib.sha256((distribution.read_text("RECORD") or "").encode()).hexdigest()


def wheel_cache(environment: Mapping[str, str]) -> Path:
    """The user's cache of built wheels; not `runtime.paths`, which needs packages that are not installed yet."""
    home = environment.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")  # noqa: PTH111, PTH118
    return Path(home, "leafwise", "wheels")


def cached_wheel(plan: Plan, cache: Path) -> Path | None:
    """The plan's wheel, if it was built before and is whole."""
    for wheel in sorted((cache / plan.key).glob("llama_cpp_python-*.whl")):
        with contextlib.suppress(OSError, zipfile.BadZipFile), zipfile.ZipFile(wheel) as archive:
            if archive.testzip() is None:
                return wheel
    return None


def keep_wheel(plan: Plan, wheel: Path, cache: Path) -> str | None:
    """Puts a wheel into the cache, whole or not at all; gives the reason where that fails."""
    folder = cache / plan.key
    partial = folder / f".{wheel.name}.{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            shutil.copyfile(wheel, partial)
            partial.replace(folder / wheel.name)
        finally:
            partial.unlink(missing_ok=True)
    except OSError as error:
        return str(error)
    return None


def build_wheel(plan: Plan, folder: Path, environment: Mapping[str, str], pip: Sequence[str] = PIP) -> Path:
    """Compiles the wheel; takes minutes.

    Raises:
        LeafwiseError: the build failed; the end of the log is printed and the log is kept.
    """
    # pip's own cache of built wheels knows nothing of flags, so it must not be read; --no-binary alone does read it.
    command = [*pip, "wheel", "-v", "--no-deps", "--no-cache-dir", "--no-binary", DISTRIBUTION]
    command += ["--wheel-dir", str(folder), f"{DISTRIBUTION}=={plan.version}"]
    handle, name = tempfile.mkstemp(prefix="leafwise-build-", suffix=".log")
    os.close(handle)
    log, progress = Path(name), Progress(sys.stderr, f"compiling {DISTRIBUTION} {plan.version}")
    try:
        status = run_logged(command, {**environment, "CMAKE_ARGS": plan.cmake_args}, log, progress)
    except BaseException:
        log.unlink(missing_ok=True)
        raise
    wheel = next(folder.glob("llama_cpp_python-*.whl"), None)
    if status != 0 or wheel is None:
        sys.stderr.write("\n".join(["", *last_lines(log, 30), "", ""]))
        raise LeafwiseError(
            f"{DISTRIBUTION} did not build (pip ended with status {status} after {clock(progress.seconds)})",
            f"the whole log is {log}",
        )
    log.unlink(missing_ok=True)
    return wheel


def install_wheel(plan: Plan, wheel: Path, pip: Sequence[str] = PIP) -> None:
    """Installs a wheel over whatever is there, then what it depends on, and notes how it was built."""
    constraints = Path(__file__).parent.parent / "constraints.txt"
    only_tested = ["-c", str(constraints)] if constraints.is_file() else []
    for arguments in (["--force-reinstall", "--no-deps", str(wheel)], [*only_tested, str(wheel)]):
        done = subprocess.run([*pip, "install", "-qq", *arguments], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise LeafwiseError(f"pip could not install {wheel.name}: {done.stderr.strip()[-1000:]}")
    importlib.invalidate_caches()
    distribution = importlib.metadata.distribution(DISTRIBUTION)
    record = {**plan.flags, "files": _files_hash(distribution)}
    _record_path(distribution).write_text(json.dumps(record), encoding="utf-8")


def run(arguments: list[str]) -> int:
    """The command: builds or finds the wheel and installs it, unless it is there already."""
    unknown = [argument for argument in arguments if argument not in ("--force", "--dry-run")]
    if unknown:
        raise UsageError(
            f"unknown argument {unknown[0]!r}", "python -m leafwise.runtime.native_build [--force|--dry-run]"
        )
    for number in (signal.SIGTERM, signal.SIGHUP):
        # The compilers run in a process group of their own: ending this process must end them, as Ctrl-C does.
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler)
    check_python()
    plan = make_plan(read_cpu(), find_compilers(os.environ), os.environ.get("CMAKE_ARGS", ""))
    say = sys.stderr.write
    say(f"{plan.note}\n" if plan.note else "")
    if "--dry-run" in arguments:
        say(f"CMAKE_ARGS={plan.cmake_args}\ncache key: {plan.key}\ninstalled: {is_installed(plan)}\n")
        return 0
    if "--force" not in arguments and is_installed(plan):
        say(f"{DISTRIBUTION} {plan.version} is installed, built for this machine\n")
        return 0
    cache = wheel_cache(os.environ)
    wheel = None if "--force" in arguments else cached_wheel(plan, cache)
    with tempfile.TemporaryDirectory(prefix="leafwise-wheel-") as folder:
        if wheel is None:
            wheel = build_wheel(plan, Path(folder), os.environ)
            if reason := keep_wheel(plan, wheel, cache):
                say(f"the wheel is not kept for the next time: {reason}\n")
        else:
            say(f"{DISTRIBUTION} {plan.version}: using the wheel that was built here before\n")
        install_wheel(plan, wheel)
    return 0


if __name__ == "__main__":
    sys.exit(guarded(run, sys.argv[1:]))
