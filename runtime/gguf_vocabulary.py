"""Checks the tokenizer in a GGUF file: that it is whole, fits the model, and takes no process down.

llama.cpp ends the process for some broken vocabularies, at loading or at the first text: tokens that appear twice, a
SentencePiece vocabulary without all bytes.
"""

from __future__ import annotations

import math
import re

from leafwise.runtime.gguf_contents import MERGES, SCORES, TOKEN_TYPES, TOKENS, Contents
from leafwise.runtime.gguf_entries import BOOL, F32, I32, STRING, U32, Array
from leafwise.runtime.verify_report import Findings

_WHERE = "tokenizer"
_MODELS = {"gpt2", "llama", "bert", "t5", "rwkv", "plamo2"}
_BYTE = re.compile(rb"<0x[0-9A-F]{2}>")
_BYTE_TYPE, _MOST_TYPE = 6, 6  # LLAMA_TOKEN_TYPE_BYTE is the last of them
_LONGEST_TOKEN = 65_536  # bytes
_IDS = ("bos", "eos", "eot", "eom", "unknown", "seperator", "padding", "mask")  # spelled as llama.cpp does
_FLAGS = ("add_bos_token", "add_eos_token", "add_sep_token", "add_space_prefix", "remove_extra_whitespaces")
_USUAL = {9, 10, *range(32, 127), *range(128, 192)}  # bytes of every day: real vocabularies lack some of the others
_DEFAULT_IDS = {"gpt2": (11, 11), "llama": (1, 2)}  # what llama.cpp takes for bos and eos where the file has none


def check_vocabulary(contents: Contents, findings: Findings) -> None:
    """Check tokens, merges, scores, types and special tokens."""
    model = contents.metadata.get("tokenizer.ggml.model")
    if not findings.require(
        isinstance(model, str), _WHERE, "there is none (tokenizer.ggml.model): the model can't be given text"
    ):
        return
    if model in ("none", "no_vocab"):
        findings.error(_WHERE, "is none, and llama.cpp ends the process when text is given to it")
    elif model not in _MODELS:
        findings.warning(_WHERE, f"is of the kind {str(model)[:40]!r}, which leafwise does not know")
    tokens = contents.array(TOKENS)
    if tokens is None or tokens.kind != STRING or not tokens.length:
        findings.error(_WHERE, "has no list of tokens (tokenizer.ggml.tokens)")
        return
    texts = _texts(tokens)
    _check_texts(texts, findings)
    _check_rows(contents, tokens.length, findings)
    _check_types(contents, texts, findings)
    _check_special(contents, str(model), tokens.length, findings)
    _check_flags(contents, findings)
    if model == "gpt2":
        _check_merges(contents, set(texts), findings)
    elif model == "llama":
        _check_sentencepiece(contents, texts, findings)


def special_text(contents: Contents, which: str) -> str:
    """The text of the special token `bos` or `eos`; empty where there is none."""
    tokens, number = contents.array(TOKENS), contents.metadata.get(f"tokenizer.ggml.{which}_token_id")
    if tokens is None or tokens.kind != STRING or type(number) is not int or not 0 <= number < len(tokens.items):
        return ""
    return str(tokens.items[number].decode(errors="replace"))


def _texts(tokens: Array) -> list[bytes]:
    """The tokens as llama.cpp sees them: they end at a null byte, and empty ones get a name."""
    ends = (text.partition(b"\0")[0] for text in tokens.items)
    return [text or f"[EMPTY_{i}]".encode() for i, text in enumerate(ends)]


def _check_texts(texts: list[bytes], findings: Findings) -> None:
    seen: dict[bytes, int] = {}
    for i, text in enumerate(texts):
        first = seen.setdefault(text, i)
        if first != i:
            findings.error(_WHERE, f"tokens {first:,} and {i:,} are the same, {_shown(text)}")
    longest = max(map(len, texts))
    findings.require(longest <= _LONGEST_TOKEN, _WHERE, f"has a token of {longest:,} bytes")
    broken = [i for i, text in enumerate(texts) if not _is_text(text)]
    if broken:
        what = f"{len(broken):,} tokens are not valid UTF-8, the first is {broken[0]:,}: {_shown(texts[broken[0]])}"
        findings.warning(_WHERE, what)


def _check_rows(contents: Contents, count: int, findings: Findings) -> None:
    embedding = next((tensor for tensor in contents.tensors if tensor.name == "token_embd.weight"), None)
    if embedding is None or contents.architecture == "llama":  # there the shape is checked with the others
        return
    rows = embedding.shape[1] if len(embedding.shape) > 1 else 1
    if rows != count:
        findings.warning(_WHERE, f"has {count:,} tokens and the embedding {rows:,} rows")


def _check_types(contents: Contents, texts: list[bytes], findings: Findings) -> None:
    if TOKEN_TYPES not in contents.metadata:
        return
    types = contents.array(TOKEN_TYPES)
    if types is None or types.kind not in (I32, U32) or types.length < len(texts):
        length = types.length if types else 0
        findings.error(_WHERE, f"has {length:,} types for {len(texts):,} tokens (or not as 32-bit numbers)")
        return
    kinds = types.items[: len(texts)]
    strange = [i for i, kind in enumerate(kinds) if not 0 <= kind <= _MOST_TYPE]
    if strange:
        what = f"{len(strange):,} tokens have an unknown type, the first is {strange[0]:,} ({kinds[strange[0]]})"
        findings.warning(_WHERE, what)
    for i, kind in enumerate(kinds):
        if kind == _BYTE_TYPE and not _BYTE.fullmatch(texts[i]):
            findings.error(_WHERE, f"token {i:,} should be a byte such as <0x0A>, and is {_shown(texts[i])}")


def _check_special(contents: Contents, model: str, count: int, findings: Findings) -> None:
    for name in _IDS:
        key = f"tokenizer.ggml.{name}_token_id"
        if key not in contents.metadata:
            continue
        number = contents.metadata[key]
        if contents.kinds[key] != U32:
            findings.error(f"metadata {key}", "is not an unsigned 32-bit number, so llama.cpp refuses it")
        elif number >= count:
            findings.error(f"metadata {key}", f"is {number:,}: there are {count:,} tokens")
    for name, number in zip(("bos", "eos"), _DEFAULT_IDS.get(model, ()), strict=False):
        if f"tokenizer.ggml.{name}_token_id" not in contents.metadata and number >= count:
            findings.error(_WHERE, f"says no {name} token, and llama.cpp would take {number} of {count:,}")


def _check_flags(contents: Contents, findings: Findings) -> None:
    for name in _FLAGS:
        key = f"tokenizer.ggml.{name}"
        if contents.kinds.get(key, BOOL) != BOOL:
            findings.error(f"metadata {key}", "is not a truth value, so llama.cpp refuses it")


def _check_merges(contents: Contents, texts: set[bytes], findings: Findings) -> None:
    merges = contents.array(MERGES)
    if merges is None or merges.kind != STRING:
        findings.error(_WHERE, "has no merges (tokenizer.ggml.merges), without which there is no byte-pair encoding")
        return
    lost = 0
    for i, merge in enumerate(merges.items):
        head, space, right = merge[1:].partition(b" ")  # a space that comes first belongs to the left token
        left = merge[:1] + head
        if not (space and right) or b"\0" in merge:
            findings.error(_WHERE, f"merge {i:,} is not two tokens and a space between: {_shown(merge)}")
        elif left + right not in texts:
            lost += 1
    if lost:
        findings.warning(_WHERE, f"{lost:,} merges make tokens that are not in the vocabulary")
    missing = [byte for byte, spelled in enumerate(_byte_spellings()) if byte in _USUAL and spelled not in texts]
    if missing:
        findings.warning(_WHERE, f"bytes of text that have no token will be lost: {missing[:8]}")


def _byte_spellings() -> list[bytes]:
    """How GPT-2's tokenizer spells the 256 bytes: printable ones as themselves, the others from U+0100 on."""
    plain = {*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)}
    others = iter(range(256, 512))
    return [chr(byte if byte in plain else next(others)).encode() for byte in range(256)]


def _check_sentencepiece(contents: Contents, texts: list[bytes], findings: Findings) -> None:
    scores = contents.array(SCORES)
    if scores is None or scores.kind != F32 or scores.length < len(texts):
        length = scores.length if scores else 0
        findings.error(_WHERE, f"has {length:,} scores for {len(texts):,} tokens (or not as 32-bit floats)")
    elif bad := [i for i, score in enumerate(scores.items) if not math.isfinite(score)]:
        findings.error(_WHERE, f"{len(bad):,} scores are not finite, the first is that of token {bad[0]:,}")
    known = set(texts)
    missing = [byte for byte in range(256) if f"<0x{byte:02X}>".encode() not in known and bytes([byte]) not in known]
    if missing:
        findings.error(
            _WHERE, f"{len(missing)} bytes have no token, at which llama.cpp ends the process: {missing[:8]}"
        )


def _is_text(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


def _shown(text: bytes) -> str:
    return repr(text[:40].decode(errors="replace"))
