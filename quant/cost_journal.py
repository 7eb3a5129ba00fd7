"""Errors that were computed once are kept in the user's cache: an interrupted run goes on, a second one reads them."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import NamedTuple

from leafwise.quant.encoding_error import Errors
from leafwise.quant.errors import QuantizeError
from leafwise.runtime.contracts import Contract


class _Line(Contract):
    """One tensor's errors, as a line of the file."""

    tensor: str
    energy: float
    errors: dict[str, float]


class JournalKey(NamedTuple):
    """What the errors depend on."""

    source_sha256: str
    importance_sha256: str | None
    libraries: str
    """`native_ggml.libraries_digest()`: encoders change between versions."""
    sample: float
    """The part of the rows that is encoded."""


class CostJournal:
    """The errors known for a file with an importance matrix; one line of JSON for each result.

    Lines are only ever added, and a broken one is skipped: a killed process loses at most the tensor it was at, and two
    processes at a time do each other no harm.

    Args:
        folder: of all journals; made if it is missing.
        key: which one.

    Raises:
        QuantizeError: it cannot be read or made.
    """

    def __init__(self, folder: Path, key: JournalKey) -> None:
        name = hashlib.sha256("\n".join(str(part) for part in key).encode()).hexdigest()[:32]
        self._path = folder / f"{name}.jsonl"
        self.key = key
        """Which one it is."""
        self._known: dict[str, Errors] = {}
        try:
            folder.mkdir(parents=True, exist_ok=True)
            lines = self._path.read_text(encoding="utf-8", errors="replace").splitlines() if self._path.exists() else []
        except OSError as error:
            raise QuantizeError(f"cannot read {self._path}: {error.strerror}", "check the cache folder") from error
        for line in lines:
            self._remember(line)

    def known(self, tensor: str) -> Errors | None:
        """What is known of a tensor."""
        return self._known.get(tensor)

    def add(self, tensor: str, found: Errors) -> Errors:
        """Keep a result; gives all that is known of the tensor now.

        Raises:
            QuantizeError: it cannot be written.
        """
        line = _Line(tensor=tensor, energy=found.energy, errors=found.errors).model_dump_json()
        try:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(f"\n{line}\n")  # the newline before it ends a line that a kill left unfinished
        except OSError as error:
            raise QuantizeError(f"cannot write {self._path}: {error.strerror}", "free some disk space") from error
        self._remember(line)
        return self._known[tensor]

    def _remember(self, line: str) -> None:
        try:
            found = _Line.model_validate(json.loads(line))
        except ValueError:  # empty, or cut off
            return
        before = self._known.get(found.tensor)
        self._known[found.tensor] = Errors(found.energy, {**(before.errors if before else {}), **found.errors})
