"""Verdicts about files and machines that took a while to find out, kept in the cache between runs."""

from __future__ import annotations

import contextlib
import hashlib
import json
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from leafwise.runtime.contracts import Contract
from leafwise.runtime.errors import UsageError
from leafwise.runtime.paths import cache_dir, write_whole

Verdict = TypeVar("Verdict", bound=Contract)


def recall(folder: str, keys: dict[str, str], kind: type[Verdict]) -> Verdict | None:
    """The verdict that was remembered for these keys; None where there is none.

    Args:
        folder: whose verdicts, a name in the cache.
        keys: what the verdict depends on; the verdict has these as fields of its own.
        kind: its contract. What can not be read, is damaged or was written by another version was never made.
    """
    try:
        verdict = kind.model_validate_json(_file_of(folder, keys).read_bytes())
    except (OSError, ValidationError, UsageError):
        return None
    return verdict if all(getattr(verdict, name) == value for name, value in keys.items()) else None


def remember(folder: str, keys: dict[str, str], verdict: Contract) -> None:
    """Keep a verdict, in a file per set of keys. Without a cache the next start just finds out again."""
    with contextlib.suppress(OSError, UsageError):
        target = _file_of(folder, keys)
        target.parent.mkdir(exist_ok=True)
        write_whole(target, verdict.model_dump_json().encode(), private=True)


def _file_of(folder: str, keys: dict[str, str]) -> Path:
    name = hashlib.sha256(json.dumps(keys, sort_keys=True).encode()).hexdigest()[:32]
    return cache_dir() / folder / f"{name}.json"
