"""Reads Hugging Face's `tokenizer.json`: byte-level BPE, and SentencePiece's BPE written that way."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

from leafwise.quant.checkpoint_json import read_object
from leafwise.quant.errors import QuantizeError
from leafwise.quant.pre_tokenizers import ignores_merges, recognise, steps
from leafwise.quant.vocabulary import Added, Pieces, TokenType

_SPACE = "\N{LOWER ONE EIGHTH BLOCK}"


def read_tokenizer_json(path: Path, pre: str | None) -> Pieces:
    """Read the tokens and merges.

    Args:
        path: the file.
        pre: llama.cpp's name for how text is split, if the user gave one; None to recognise it.

    Raises:
        QuantizeError: it is damaged, or llama.cpp would cut text differently.
    """
    tokenizer = read_object(path)
    model = tokenizer.get("model")
    if not isinstance(model, dict) or model.get("type", "BPE") != "BPE":
        kind = model.get("type") if isinstance(model, dict) else None
        raise QuantizeError(f"{path}: the tokenizer model {kind} is not supported", "leafwise converts BPE tokenizers")
    if any(model.get(key) for key in ("dropout", "continuing_subword_prefix", "end_of_word_suffix")):
        raise QuantizeError(f"{path}: BPE with dropout, prefixes or suffixes", "llama.cpp has none of these")
    tokens, pairs = _tokens(path, model), _merges(path, model)
    if model.get("byte_fallback") is True:
        return _sentencepiece(path, tokenizer, tokens, pairs)
    name = pre or recognise(tokenizer)
    if bool(model.get("ignore_merges")) != ignores_merges(name) and not _all_reachable(tokens, pairs):
        raise QuantizeError(
            f"{path}: ignore_merges is {bool(model.get('ignore_merges'))}, and llama.cpp does otherwise for {name}",
            "give another name with --pre",
        )
    if any(" " in part for pair in pairs for part in pair):
        raise QuantizeError(f"{path}: the tokens are not in the byte-level alphabet", "is it a byte-level tokenizer?")
    # What was added is in the vocabulary too, in some files: `fill` gives it its type.
    return Pieces(
        model="gpt2",
        pre=name,
        tokens=tokens,
        types=tuple(TokenType.NORMAL if token else TokenType.UNUSED for token in tokens),
        merges=tuple(" ".join(pair) for pair in pairs),
    )


def is_byte_level(path: Path) -> bool:
    """Whether `tokenizer.json` holds byte-level BPE and not SentencePiece's.

    Raises:
        QuantizeError: the file is damaged.
    """
    model = read_object(path).get("model")
    if not isinstance(model, dict) or model.get("byte_fallback") is True:
        return False
    return bool(model.get("type", "BPE") == "BPE")


def read_added(path: Path) -> list[Added]:
    """The tokens that `tokenizer.json` adds to the trained ones.

    Raises:
        QuantizeError: the file is damaged.
    """
    entries = read_object(path).get("added_tokens") or []
    try:
        return [Added(id=e["id"], text=e["content"], special=bool(e.get("special"))) for e in entries]
    except (KeyError, TypeError, ValueError) as error:
        raise QuantizeError(f"{path}: added_tokens is damaged", "download the model again") from error


def _tokens(path: Path, model: dict[str, Any]) -> tuple[str, ...]:
    """By id; an id without a token has the empty text."""
    vocab = model.get("vocab")
    if not isinstance(vocab, dict) or not all(type(i) is int and 0 <= i < 2**24 for i in vocab.values()):
        raise QuantizeError(f"{path}: the vocabulary is damaged", "download the model again")
    tokens = [""] * (max(vocab.values(), default=-1) + 1)
    for token, place in vocab.items():
        tokens[place] = token
    return tuple(tokens)


def _merges(path: Path, model: dict[str, Any]) -> list[tuple[str, str]]:
    """Pairs; older files write them as one text with a space, newer ones as lists."""
    pairs, entries = [], model.get("merges") or []
    for entry in entries if isinstance(entries, list) else [entries]:
        parts = entry.split(" ") if isinstance(entry, str) else entry
        if not isinstance(parts, list) or len(parts) != 2 or not all(isinstance(p, str) and p for p in parts):
            raise QuantizeError(f"{path}: the merge {str(entry)[:40]!r} is no pair", "download the model again")
        pairs.append((parts[0], parts[1]))
    return pairs


def _all_reachable(tokens: tuple[str, ...], pairs: list[tuple[str, str]]) -> bool:
    """Whether merging always arrives at a token from its own text: then `ignore_merges` changes nothing."""
    ranks = {pair: rank for rank, pair in reversed(list(enumerate(pairs)))}
    merged = {left + right for left, right in pairs}
    return all(_merge(token, ranks) == [token] for token in tokens if token in merged)


def _merge(text: str, ranks: dict[tuple[str, str], int]) -> list[str]:
    parts = list(text)
    while len(parts) > 1:
        rank, at = min((ranks.get(pair, len(ranks)), at) for at, pair in enumerate(pairwise(parts)))
        if rank == len(ranks):
            break
        parts[at : at + 2] = [parts[at] + parts[at + 1]]
    return parts


def _sentencepiece(
    path: Path, tokenizer: dict[str, Any], tokens: tuple[str, ...], pairs: list[tuple[str, str]]
) -> Pieces:
    """Scores from the merges' order: llama.cpp merges the pair whose result has the highest score."""
    ranks: dict[str, int] = {}
    for rank, (left, right) in enumerate(pairs):
        ranks.setdefault(left + right, rank)
    known, listed = set(tokens), set(pairs)
    for token in ranks:
        for cut in range(1, len(token)):
            pair = (token[:cut], token[cut:])
            if pair not in listed and pair[0] in known and pair[1] in known:
                raise QuantizeError(
                    f"{path}: the merges cannot be written as scores ({pair[0]!r} and {pair[1]!r} are never merged)",
                    "get the tokenizer.model of this model",
                )
    named = tokenizer["model"].get("unk_token")
    unknown = named if isinstance(named, str) else None
    return Pieces(
        model="llama",
        pre="default",
        tokens=tokens,
        types=tuple(_type(token, unknown) for token in tokens),
        scores=tuple(-float(ranks.get(token, len(pairs))) for token in tokens),
        space_prefix=_space_prefix(path, tokenizer),
        special={} if unknown is None or unknown not in known else {"unk": tokens.index(unknown)},
    )


def _type(token: str, unknown: str | None) -> TokenType:
    if not token:
        return TokenType.UNUSED
    if token == unknown:
        return TokenType.UNKNOWN
    return TokenType.BYTE if len(token) == 6 and token.startswith("<0x") else TokenType.NORMAL


def _space_prefix(path: Path, tokenizer: dict[str, Any]) -> bool:
    """Whether text gets a space before it.

    Raises:
        QuantizeError: text is changed in some other way as well.
    """
    changes, pre = (
        steps(tokenizer.get("normalizer"), "normalizers"),
        steps(tokenizer.get("pre_tokenizer"), "pretokenizers"),
    )
    kinds = [(step.get("type"), step.get("prepend") or step.get("content")) for step in changes]
    if kinds in ([("Prepend", _SPACE), ("Replace", _SPACE)], [("Replace", _SPACE)]) and not pre:
        return len(kinds) == 2
    if not kinds and [step.get("type") for step in pre] == ["Metaspace"] and not pre[0].get("split", True):
        return bool(pre[0].get("prepend_scheme", "always") != "never")
    raise QuantizeError(
        f"{path}: the tokenizer changes text in a way that is not known", "get the tokenizer.model of this model"
    )
