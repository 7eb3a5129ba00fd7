"""A tokenizer as a GGUF file holds it, and the rules that keep llama.cpp from refusing or misreading it."""

from __future__ import annotations

from enum import IntEnum
from typing import Literal

from pydantic import Field

from leafwise.quant.errors import QuantizeError
from leafwise.runtime.contracts import Contract


class TokenType(IntEnum):
    """What a token is; the numbers are SentencePiece's and llama.cpp's."""

    NORMAL = 1
    UNKNOWN = 2
    CONTROL = 3
    USER_DEFINED = 4
    UNUSED = 5
    BYTE = 6


class Pieces(Contract):
    """The tokens and how text is cut into them."""

    model: Literal["gpt2", "llama"]
    """`gpt2` is byte-level byte-pair encoding, `llama` is SentencePiece's."""
    pre: str
    """How text is split before byte-pair encoding, as llama.cpp names it."""
    tokens: tuple[str, ...]
    """By id."""
    types: tuple[TokenType, ...]
    """By id."""
    scores: tuple[float, ...] = ()
    """By id, SentencePiece only: of two pairs the one with the higher score is merged first."""
    merges: tuple[str, ...] = ()
    """Byte-pair encoding only: pairs, the first to be merged first."""
    space_prefix: bool | None = None
    """SentencePiece only: text gets a space before it."""
    special: dict[str, int] = Field(default_factory=dict)
    """Ids of special tokens that the tokenizer's own file names, by role (`bos`, `eos`, `unk`, `pad`)."""


class Added(Contract):
    """A token that was added beside the trained vocabulary; it is found in text before anything else."""

    id: int
    """Its place."""
    text: str
    """As it stands in text."""
    special: bool
    """It is not text, such as an end-of-turn mark."""


def fill(pieces: Pieces, added: list[Added], rows: int) -> Pieces:
    """Put added tokens in their places and give a name to every row of the embedding that has none.

    Args:
        pieces: the trained tokens; those without a place yet are at the end.
        added: tokens found in other files.
        rows: of the embedding.

    Raises:
        QuantizeError: a token has no row, or two have the same text: llama.cpp aborts on such a file.
    """
    tokens, types, scores = dict(enumerate(pieces.tokens)), dict(enumerate(pieces.types)), list(pieces.scores)
    for token in added:
        known = types.get(token.id)
        if known in (None, TokenType.NORMAL, TokenType.UNUSED) or tokens[token.id] != token.text:
            types[token.id] = TokenType.CONTROL if token.special else TokenType.USER_DEFINED
        tokens[token.id] = token.text
    if tokens and max(tokens) >= rows:
        raise QuantizeError(
            f"the token {tokens[max(tokens)][:40]!r} has the id {max(tokens)} and the embedding has {rows} rows",
            "take the token out of the tokenizer's files, or resize the model's embedding",
        )
    for row in range(rows):
        if not tokens.get(row):
            tokens[row], types[row] = f"[PAD{row}]", TokenType.UNUSED
    _check_unique([tokens[row] for row in range(rows)])
    if scores:
        scores += [-1000.0] * (rows - len(scores))
    return pieces.model_copy(
        update={
            "tokens": tuple(tokens[row] for row in range(rows)),
            "types": tuple(types[row] for row in range(rows)),
            "scores": tuple(scores),
        }
    )


def _check_unique(tokens: list[str]) -> None:
    seen: dict[str, int] = {}
    for place, token in enumerate(tokens):
        if seen.setdefault(token, place) != place:
            raise QuantizeError(
                f"the tokens {seen[token]} and {place} are both {token[:40]!r}",
                "correct the tokenizer's files: llama.cpp cannot load such a vocabulary",
            )
