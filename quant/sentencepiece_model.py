"""Reads SentencePiece's `tokenizer.model`: a protocol buffer, of which five messages' fields matter here.

ModelProto: 1 pieces (1 text, 2 score, 3 type), 2 trainer (3 kind, 40-43 ids of unk, bos, eos, pad), 3 normalizer
(2 character map, 3 space before the text, 4 extra spaces removed). Field numbers are those of the published
sentencepiece_model.proto.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

from leafwise.quant.errors import QuantizeError
from leafwise.quant.vocabulary import Pieces, TokenType

_BPE = 2
_Value = int | bytes


def read_sentencepiece(path: Path) -> Pieces:
    """Read the tokens and settings of a `tokenizer.model`.

    Raises:
        QuantizeError: it is damaged, or uses what llama.cpp's implementation does not have.
    """
    try:
        fields = list(_fields(path.read_bytes()))
        pieces = [dict(_fields(_bytes(value))) for number, value in fields if number == 1]
        trainer, normalizer = (dict(_fields(_bytes(dict(fields).get(number, b"")))) for number in (2, 3))
        tokens = tuple(_bytes(piece.get(1, b"")).decode() for piece in pieces)
        scores = tuple(struct.unpack("<f", _bytes(piece.get(2, bytes(4))))[0] for piece in pieces)
        types = tuple(TokenType(_int(piece.get(3, 1))) for piece in pieces)
    except OSError as error:
        raise QuantizeError(f"cannot read {path}: {error.strerror}", "check its permissions") from error
    except (ValueError, IndexError, struct.error) as error:
        raise QuantizeError(f"{path} is no sound SentencePiece model", "download the model again") from error
    if not tokens:
        raise QuantizeError(f"{path} holds no tokens", "download the model again")
    if trainer.get(3, 1) != _BPE:
        raise QuantizeError(f"{path} is a unigram model", "leafwise converts SentencePiece models of the BPE kind")
    if normalizer.get(2) or _int(normalizer.get(4, 1)):
        raise QuantizeError(
            f"{path} changes the text before it is cut (its normalizer is not `identity`)",
            "llama.cpp does not do that for this kind of model",
        )
    # Absent fields have the defaults of the .proto file; a role that is off is -1, ten bytes long.
    ids = {role: _int(trainer.get(field, default)) for role, field, default in _ROLES}
    return Pieces(
        model="llama",
        pre="default",
        tokens=tokens,
        types=types,
        scores=scores,
        space_prefix=bool(_int(normalizer.get(3, 1))),
        special={role: number for role, number in ids.items() if number < len(tokens)},
    )


_OFF = 2**64 - 1
_ROLES = (("unk", 40, 0), ("bos", 41, 1), ("eos", 42, 2), ("pad", 43, _OFF))


def _fields(data: bytes) -> Iterator[tuple[int, _Value]]:
    """Number and value of each field of a message."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        kind = key & 7
        value: _Value
        if kind == 0:
            value, at = _varint(data, at)
        else:
            if kind == 2:
                length, at = _varint(data, at)
            else:
                length = {1: 8, 5: 4}.get(kind, 0)
            if (not length and kind != 2) or at + length > len(data):
                raise ValueError(kind)
            value, at = data[at : at + length], at + length
        yield key >> 3, value


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
    raise ValueError(at)


def _bytes(value: _Value) -> bytes:
    if isinstance(value, bytes):
        return value
    raise ValueError(value)


def _int(value: _Value) -> int:
    if isinstance(value, int):
        return value
    raise ValueError(value)
