"""Computed prompts kept on disk between runs: llama.cpp's sequence state, and beside it what it belongs to.

A state is only right for the model, library and parameters it was computed with, and llama.cpp reads it without much
doubt. So the file begins with a header of ours (all of that, and a hash of the rest), and nothing reaches llama.cpp
unless everything in it agrees.
"""

from __future__ import annotations

import functools
import hashlib
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from pydantic import ValidationError

from leafwise.runtime.contracts import Contract
from leafwise.runtime.errors import PrefixFileError
from leafwise.runtime.kv_cache import KVCache
from leafwise.runtime.llama import LlamaModel, library_version
from leafwise.runtime.paths import file_sha256

_MAGIC = b"leafwise prefix 1\n"
_LONGEST_HEADER = 4096


class _Header(Contract):
    """What a state belongs to. Everything but `tokens` and `sha256` has to be the same when it is read."""

    model: str
    library: str
    kv_type: str
    flash_attention: bool
    safe: bool
    tokens: int
    sha256: str


@dataclass(frozen=True)
class PrefixFile:
    """Writes and reads computed prompts of one model.

    Args:
        model: the model's file.
    """

    model: Path

    def save(self, cache: KVCache, model: LlamaModel, prompt: list[int], path: Path) -> int:
        """Write a prompt that is in the cache; gives the tokens written.

        Raises:
            PrefixFileError: it is not in the cache any more, or the file cannot be written.
        """
        sequence = cache.holder(prompt)
        if sequence is None:
            raise PrefixFileError("the prompt is not in the cache any more", "save it while less else is running")
        try:
            with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}-") as folder:
                state, whole = Path(folder) / "state", Path(folder) / "whole"
                tokens = cache.tokens(sequence)
                if not model.save_sequence(sequence, tokens, state):
                    raise PrefixFileError(f"cannot write {path}", "free some disk space")
                with whole.open("wb") as file, state.open("rb") as body:
                    header = self._header(model, len(tokens), hashlib.file_digest(body, "sha256").hexdigest())
                    file.write(_MAGIC + header.model_dump_json().encode() + b"\n")
                    body.seek(0)
                    shutil.copyfileobj(body, file)
                    file.flush()
                    os.fsync(file.fileno())
                whole.replace(path)
        except OSError as error:
            raise PrefixFileError(f"cannot write {path}: {error.strerror}", "choose another place") from error
        return len(tokens)

    def load(self, cache: KVCache, model: LlamaModel, path: Path) -> int:
        """Read a prompt into the cache; gives its tokens.

        Raises:
            PrefixFileError: the file is missing, damaged, or for something else; or there is no room.
        """
        try:
            with path.open("rb") as file, tempfile.NamedTemporaryFile(prefix="leafwise-prefix-") as state:
                header = self._read_header(file, path)
                self._refuse_another(header, model, path)
                # llama.cpp reads a copy that nobody can change between the check and the use
                shutil.copyfileobj(file, state)
                state.flush()
                state.seek(0)
                if hashlib.file_digest(state, "sha256").hexdigest() != header.sha256:
                    raise PrefixFileError(f"{path} is damaged", "delete it and save the prefix again")
                count = cache.adopt(header.tokens, Path(state.name))
                if count == 0:
                    raise PrefixFileError(f"{path} does not fit into this engine", "ask for a longer --window")
                return count
        except OSError as error:
            raise PrefixFileError(f"cannot read {path}: {error.strerror}", "save the prefix first") from error

    def _header(self, model: LlamaModel, tokens: int, sha256: str) -> _Header:
        options = model.options
        return _Header(
            model=self.model_hash,
            library=library_version(),
            kv_type=options.kv_type,
            flash_attention=options.flash_attention,
            safe=options.safe,
            tokens=tokens,
            sha256=sha256,
        )

    def _refuse_another(self, header: _Header, model: LlamaModel, path: Path) -> None:
        here = self._header(model, header.tokens, header.sha256)
        different = [name for name, value in header if value != getattr(here, name)]
        if different:
            raise PrefixFileError(
                f"{path} was computed with another {' and '.join(different)}", "save the prefix again with this one"
            )

    def _read_header(self, file: IO[bytes], path: Path) -> _Header:
        try:
            if file.read(len(_MAGIC)) != _MAGIC:
                raise ValueError("not a prefix")
            header = _Header.model_validate_json(file.readline(_LONGEST_HEADER))
        except (ValueError, ValidationError) as error:
            raise PrefixFileError(f"{path} is not a prefix that leafwise kept", "save the prefix again") from error
        return header

    @functools.cached_property
    def model_hash(self) -> str:
        """SHA-256 of the model's file: seconds for a large one, so ask for it before a thread waits for it.

        Raises:
            PrefixFileError: the file cannot be read.
        """
        try:
            return file_sha256(self.model)
        except OSError as error:
            raise PrefixFileError(f"cannot read {self.model}: {error.strerror}", "is the model still there?") from error
