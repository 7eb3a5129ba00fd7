"""Hashes of our own source files: what a sample depends on, the prompts, and all of it; and the hash of a file."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from importlib import resources
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

_GENERATING = ("generate.py", "problems*.py")
"""Our modules, beside the team and the runtime, on which a sample depends."""


def code_sha256() -> str:
    """Hash of the source files on which a sample depends: the runtime, the team, and how it is given its tasks."""
    return _hash_files(
        [
            *_files("leafwise.runtime", "*.py", "*.bpf"),
            *_files("leafwise.agents", "*.py"),
            *_files("leafwise.benchmarks", *_GENERATING),
        ]
    )


def prompts_sha256() -> str:
    """Hash of the team's prompts."""
    return _hash_files(_files("leafwise.agents", "prompts/*"))


def code_identity() -> str:
    """Our version and a hash of all that machines which work together must have in common, for people to compare."""
    digest = _hash_files(
        [
            *_files("leafwise.runtime", "*.py", "*.bpf"),
            *_files("leafwise.agents", "*.py", "prompts/*"),
            *_files("leafwise.benchmarks", "*.py"),
        ]
    )
    try:
        number = version("leafwise")
    except PackageNotFoundError:
        number = "not installed"
    return f"{number}, sources {digest[:16]}"


def _files(package: str, *patterns: str) -> list[Path]:
    root = Path(str(resources.files(package)))
    return sorted({path for pattern in patterns for path in root.glob(pattern) if path.is_file()})


def _hash_files(files: Sequence[Path]) -> str:
    digest = hashlib.sha256()
    for path in files:
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        digest.update(f"{path.parent.name}/{path.name}\0{content}\0".encode())
    return digest.hexdigest()
