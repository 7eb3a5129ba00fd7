"""Layer: bubblewrap's namespaces, made from outside; `layer_namespaces` tries them from inside."""

from __future__ import annotations

import os
import shutil
import sys
import sysconfig
from pathlib import Path

from leafwise.runtime.layer_namespaces import DEVICES, HOSTNAME
from leafwise.runtime.layer_scratch import SCRATCH

_SYSTEM = ("/usr/lib", "/usr/lib64", "/usr/lib32", "/lib", "/lib64", "/lib32")
_PACKAGES = ("site-packages", "dist-packages")
_NOBODY = "65534"


def find_bubblewrap() -> str | None:
    """Path of `bwrap`, or None."""
    return shutil.which("bwrap")


def interpreter() -> Path:
    """The Python that runs inside: the one behind the virtual environment, links resolved."""
    return Path(getattr(sys, "_base_executable", "") or sys.executable).resolve()


def library_roots() -> list[Path]:
    """Directories with the standard library, and shared libraries beside it."""
    stdlib = Path(sysconfig.get_path("stdlib")).resolve()
    roots = [stdlib.parent, *(Path(p) for p in _SYSTEM)]
    if str(interpreter()).startswith("/nix/store/"):
        roots.append(Path("/nix/store"))
    return list(dict.fromkeys(root for root in roots if root.is_dir()))


def unprivileged_user() -> int | None:
    """For root, the user to run programs as; None for others, and where that user could not read Python itself.

    The kernel does not count root's threads against a limit, and a name of another user inside the namespace does not
    change that.
    """
    if os.geteuid() != 0:
        return None
    needed = (interpreter(), *library_roots())
    folders = {folder for path in needed for folder in (path, *path.parents)}
    return int(_NOBODY) if all(folder.stat().st_mode & 0o005 == 0o005 for folder in folders) else None


def package_folders(roots: list[Path]) -> list[Path]:
    """Folders of installed packages in the roots: they may hold a benchmark's answers and are not shown to programs."""
    found = [folder for root in roots for name in _PACKAGES for folder in root.glob(f"python*/{name}")]
    return sorted({folder for folder in found if folder.is_dir() and not folder.is_symlink()})


def command(bwrap: str, environment: dict[str, str], shown: dict[str, Path]) -> list[str]:
    """The bubblewrap command line, up to the program to run.

    Args:
        bwrap: path of bubblewrap.
        environment: all of it.
        shown: path inside -> what else lies there, read-only.

    Every namespace is new; the libraries are read-only; there is no /proc and no home. The capability is for the
    zygote, which mounts the size-limited scratch directory and whose children drop it.
    """
    line = [bwrap, "--unshare-all", "--unshare-user", "--die-with-parent", "--new-session", "--as-pid-1"]
    line += ["--uid", _NOBODY, "--gid", _NOBODY, "--hostname", HOSTNAME]
    line += ["--cap-drop", "ALL", "--cap-add", "CAP_SYS_ADMIN"]
    roots = library_roots()
    for root in roots:
        if root.is_symlink():
            line += ["--symlink", str(root.readlink()), str(root)]
        else:
            line += ["--ro-bind", str(root), str(root)]
    for folder in package_folders([root for root in roots if not root.is_symlink()]):
        line += ["--tmpfs", str(folder), "--remount-ro", str(folder)]
    line += ["--ro-bind", str(interpreter()), str(interpreter())]
    for inside, path in shown.items():
        line += ["--ro-bind", str(path), inside]
    line += ["--ro-bind-try", "/etc/ld.so.cache", "/etc/ld.so.cache"]
    for device in DEVICES:
        line += ["--dev-bind", device, device]
    line += ["--dir", SCRATCH, "--remount-ro", "/", "--chdir", "/", "--clearenv"]
    for name, value in environment.items():
        line += ["--setenv", name, value]
    return [*line, "--"]
