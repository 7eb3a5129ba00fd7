"""The compilers of this machine: found, tried on a small program, and named with what installs them.

Standard library only: it runs before anything else is installed.
"""

from __future__ import annotations

import platform
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from leafwise.runtime.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_INSTALL_COMPILER = {
    "debian": "apt-get install build-essential",
    "ubuntu": "apt-get install build-essential",
    "fedora": "dnf install gcc gcc-c++",
    "rhel": "dnf install gcc gcc-c++",
    "arch": "pacman -S base-devel",
    "suse": "zypper install gcc gcc-c++",
    "alpine": "apk add build-base linux-headers",
}


def find_compilers(environment: Mapping[str, str]) -> tuple[str, str]:
    """The C and the C++ compiler, each tried on a small program.

    Raises:
        UsageError: one is missing or can not link a program; the hint says what to install.
    """
    found = []
    for language, variable, names in (
        ("c", "CC", ("cc", "gcc", "clang")),
        ("c++", "CXX", ("c++", "g++", "clang++")),
    ):
        wanted = (environment[variable],) if environment.get(variable) else names
        compiler = next((name for name in wanted if shutil.which(name.split()[0])), None)
        if compiler is None or not _compiles(compiler.split(), language):
            what = f"no {language.upper()} compiler" if compiler is None else f"{compiler} can not build a program"
            raise UsageError(f"{what}, and llama-cpp-python is compiled on this machine", _compiler_hint())
        found.append(compiler)
    return found[0].split()[0], found[1].split()[0]


def _compiles(compiler: Sequence[str], language: str) -> bool:
    header = "cstdio" if language == "c++" else "stdio.h"
    with tempfile.TemporaryDirectory(prefix="leafwise-cc-") as folder:
        command = [*compiler, "-x", language, "-", "-o", str(Path(folder, "program"))]
        source = f"#include <{header}>\nint main() {{ return 0; }}\n"
        return subprocess.run(command, input=source, text=True, capture_output=True, check=False).returncode == 0


def _compiler_hint() -> str:
    if platform.system() == "Darwin":
        return "xcode-select --install"
    try:
        release = platform.freedesktop_os_release()
    except OSError:
        release = {}
    for name in [release.get("ID", ""), *release.get("ID_LIKE", "").split()]:
        for family, command in _INSTALL_COMPILER.items():
            if name.startswith(family):
                return command
    return "install gcc and g++ (apt-get install build-essential, dnf install gcc gcc-c++, pacman -S base-devel)"


def first_line(command: Sequence[str]) -> str:
    """The first line that a command prints; empty where there is none."""
    output = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    return output.partition("\n")[0].strip()
