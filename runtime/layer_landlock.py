"""What the sandbox needs to know about Landlock, seen from outside."""

from __future__ import annotations

import sys

from leafwise.runtime.layer_bubblewrap import library_roots

_SKIPPED = ("site-packages", "dist-packages")


def landlock_abi() -> int:
    """Version of Landlock in the running kernel, 0 where there is none."""
    if sys.platform != "linux":
        return 0
    try:
        import landlockpy

        return int(landlockpy.abi_version())
    except (ImportError, OSError):
        return 0


def readable_library() -> list[tuple[str, bool]]:
    """What below the library roots a program may read when no namespace hides the rest: (path, also the files in it).

    A rule can't leave out a folder below it, so each entry beside an installed-packages folder is listed by itself.
    """
    paths = [("/etc/ld.so.cache", True)]
    for root in library_roots():
        for entry in sorted(root.iterdir()):
            if entry.name.startswith("python") and entry.is_dir():
                paths.append((str(entry), False))  # imports list the folder
                paths += [(str(inner), True) for inner in sorted(entry.iterdir()) if inner.name not in _SKIPPED]
            elif ".so" in entry.name or entry.name.endswith(("-linux-gnu", "-linux-gnueabihf")):
                paths.append((str(entry), True))
    return paths
