"""The reference file: what a full-precision model says after each scored token of a text, kept compactly.

The file is in the safetensors format (a JSON header, then plain arrays; nothing in it is executed). Its metadata holds
one entry, `leafwise.reference`: `ReferenceInfo` as JSON. Its arrays, for n scored tokens::

    tokens          int32   (chunks, context)   what was evaluated; each chunk on its own
    counts          uint16  (n,)                and the other arrays of `compact.Compact`

The scored positions are those of `logits_wire.scored_positions`, chunk after chunk.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, ValidationError

from leafwise.quant.compact import Compact
from leafwise.quant.errors import QuantizeError
from leafwise.quant.logits_wire import scored_positions
from leafwise.runtime.contracts import Contract
from leafwise.runtime.paths import write_whole

_KEY = "leafwise.reference"
_VERSION = 1
_HINT = "make it again with `leafwise quantize reference`"


class StorageCheck(Contract):
    """What storing the reference compactly costs, measured: one divergence, from the full logits and from the file's.

    Of the first chunks only, against a model that is a little off.
    """

    against: str
    """The other model, for example `the same with its KV cache in q4_0`."""
    tokens: int
    """Scored tokens that were compared."""
    exact_kl: float
    """Mean KL divergence, from the full logits of both."""
    stored_kl: float
    """The same from the compact form."""
    bound_kl: float
    """The same from heads and residuals alone, without the tails' samples: a lower bound."""

    @property
    def relative_error(self) -> float:
        """Of the compact form; 0 where both models say the same."""
        return self.stored_kl / self.exact_kl - 1 if self.exact_kl else 0.0


class ReferenceInfo(Contract):
    """What a reference file says about itself."""

    version: int = Field(ge=1)
    """Of the format."""
    model: str
    """The model's file name. Untrusted text: escape it before it goes to a terminal."""
    model_sha256: str
    """Of the model's file."""
    vocabulary_sha256: str
    """See `logits_wire.Hello`: only a model with the same tokens can be measured."""
    n_vocab: int = Field(ge=2, le=2**24)
    """Tokens of the vocabulary."""
    text_sha256: str
    """Of the whole text, in UTF-8."""
    context: int = Field(ge=4, le=2**24)
    """Tokens of a chunk."""
    chunks: int = Field(ge=1, le=2**24)
    """Chunks of the text."""
    perplexity: float
    """The model's own, on this text."""
    check: StorageCheck | None
    """What storing it compactly costs; None where that could not be measured."""
    leafwise: str
    """Version that made the file."""
    library: str
    """Version of llama-cpp-python that computed it."""
    sha256: str = ""
    """Of all arrays, and of this description without this field."""

    @property
    def scored(self) -> int:
        """Scored tokens."""
        return self.chunks * len(scored_positions(self.context))


@dataclass(frozen=True)
class Reference:
    """A reference in memory."""

    info: ReferenceInfo
    """What it is of."""
    tokens: NDArray[np.int32]
    """What was evaluated, shape (chunks, context)."""
    distributions: Compact
    """What the model says at the scored positions."""


def save_reference(reference: Reference, target: Path) -> ReferenceInfo:
    """Write a reference file: whole or not at all.

    Returns:
        The description as it is in the file, with its hash.

    Raises:
        QuantizeError: it cannot be written.
    """
    from safetensors.numpy import save

    arrays = {"tokens": reference.tokens, **reference.distributions.arrays()}
    arrays = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    info = reference.info.model_copy(update={"sha256": ""})
    info = info.model_copy(update={"sha256": _digest(info, arrays)})
    try:
        write_whole(target, save(arrays, {_KEY: info.model_dump_json()}))
    except OSError as error:
        raise QuantizeError(f"cannot write {target}: {error.strerror}", "choose another place") from error
    return info


def load_reference(path: Path) -> Reference:
    """Read a reference file and check everything in it. Nothing larger than the file is allocated.

    Raises:
        QuantizeError: it cannot be read, is no reference file, or is damaged.
    """
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise QuantizeError(f"no reference file at {path}", _HINT)
    try:
        with safe_open(path, framework="np") as file:
            info = _read_info(path, file.metadata() or {})
            arrays = _read_arrays(path, info, file)
    except (SafetensorError, OSError) as error:
        raise QuantizeError(f"{path} is not a reference file: {str(error)[:200]}", _HINT) from error
    if _digest(info.model_copy(update={"sha256": ""}), arrays) != info.sha256:
        _refuse(path, "its contents do not have the hash that they had")
    reference = Reference(info, arrays.pop("tokens"), Compact(**arrays))
    _check_values(path, reference)
    return reference


def _digest(info: ReferenceInfo, arrays: dict[str, NDArray[Any]]) -> str:
    digest = hashlib.sha256(json.dumps(info.model_dump(mode="json"), sort_keys=True).encode())
    for name in sorted(arrays):
        digest.update(f"{name} {arrays[name].dtype} {arrays[name].shape}".encode())
        digest.update(arrays[name].tobytes())
    return digest.hexdigest()


def _refuse(path: Path, problem: str) -> NoReturn:
    raise QuantizeError(f"{path} is damaged: {problem}", _HINT)


def _read_info(path: Path, metadata: dict[str, str]) -> ReferenceInfo:
    if _KEY not in metadata:
        raise QuantizeError(f"{path} is not a reference file", _HINT)
    try:
        info = ReferenceInfo.model_validate_json(metadata[_KEY])
    except ValidationError as error:
        _refuse(path, f"its description has {error.error_count()} errors")
    if info.version != _VERSION:
        raise QuantizeError(f"{path} has version {info.version} of the format; this is {_VERSION}", _HINT)
    return info


def _read_arrays(path: Path, info: ReferenceInfo, file: Any) -> dict[str, NDArray[Any]]:
    """All arrays, after a look at all shapes: the library has checked that the file is as long as they say."""
    n, identity = info.scored, "U16" if info.n_vocab <= 2**16 else "U32"
    expected: dict[str, tuple[str, tuple[int | None, ...]]] = {
        "tokens": ("I32", (info.chunks, info.context)),
        "counts": ("U16", (n,)),
        "ids": (identity, (None,)),
        "log_probs": ("F16", (None,)),
        "residual": ("F32", (n,)),
        "tail_ids": (identity, (n, None)),
        "tail_log_probs": ("F16", (n, None)),
        "next_log_probs": ("F32", (n,)),
    }
    if set(file.keys()) != set(expected):
        _refuse(path, "it has other arrays than a reference")
    for name, (kind, shape) in expected.items():
        view = file.get_slice(name)
        found = view.get_shape()
        fits = len(found) == len(shape) and all(b is None or a == b for a, b in zip(found, shape, strict=True))
        if view.get_dtype() != kind or not fits:
            _refuse(path, f"the array {name!r} is {view.get_dtype()} of shape {found}")
    return {name: file.get_tensor(name) for name in expected}


def _check_values(path: Path, reference: Reference) -> None:
    """What the hash does not say: whether a file that somebody made on purpose makes sense."""
    info, kept = reference.info, reference.distributions
    numbers: dict[str, NDArray[Any]] = {"tokens": reference.tokens, "ids": kept.ids, "tail_ids": kept.tail_ids}
    for name, array in numbers.items():
        if array.size == 0 or array.min() < 0 or array.max() >= info.n_vocab:
            _refuse(path, f"the array {name!r} names tokens that do not exist")
    heads = int(kept.counts.sum(dtype=np.int64))
    if kept.counts.min() < 1 or heads != len(kept.ids) or heads != len(kept.log_probs):
        _refuse(path, "its heads do not add up")
    if kept.tail_ids.shape != kept.tail_log_probs.shape:
        _refuse(path, "its tails do not fit")
    logs: dict[str, NDArray[Any]] = {
        "log_probs": kept.log_probs,
        "tail_log_probs": kept.tail_log_probs,
        "next_log_probs": kept.next_log_probs,
    }
    for name, array in logs.items():
        if not (np.isfinite(array).all() and array.max() <= 1e-3):
            _refuse(path, f"the array {name!r} holds no log-probabilities")
    if not (kept.residual.min() >= 0 and kept.residual.max() <= 1):
        _refuse(path, "its residuals are no probabilities")
