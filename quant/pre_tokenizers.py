"""Recognises how a `tokenizer.json` splits text before byte-pair encoding, by its structure.

llama.cpp has each way built in under a name. A tokenizer with another normalizer or another expression would be cut
differently there, so it is refused unless the user names one.
"""

from __future__ import annotations

from typing import Any

from leafwise.quant.errors import QuantizeError

_CONTRACTIONS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|"
_REST = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_EXPRESSIONS = {
    _CONTRACTIONS + r"\p{N}{1,3}" + _REST: "llama-bpe",
    _CONTRACTIONS + r"\p{N}" + _REST: "qwen2",
}
_IGNORE_MERGES = {"llama-bpe", "llama3", "llama-v3"}
"""Names for which llama.cpp takes a piece that is a token as a whole, as `ignore_merges` says."""


def ignores_merges(pre: str) -> bool:
    """Whether llama.cpp looks for whole tokens first under this name."""
    return pre in _IGNORE_MERGES


def recognise(tokenizer: dict[str, Any]) -> str:
    """llama.cpp's name for how text is split.

    Args:
        tokenizer: the content of `tokenizer.json`.

    Raises:
        QuantizeError: llama.cpp has no such way, or none that is known here.
    """
    normalizer, pre = tokenizer.get("normalizer"), tokenizer.get("pre_tokenizer")
    if normalizer is not None:
        raise _unknown(f"changes the text first (normalizer {_kind(normalizer)})")
    name = _by_steps(steps(pre, "pretokenizers"))
    if name is None:
        raise _unknown(f"is {_describe(pre)}")
    return name


def _by_steps(found: list[dict[str, Any]]) -> str | None:
    kinds = [step.get("type") for step in found]
    if not kinds or kinds[-1] != "ByteLevel" or found[-1].get("add_prefix_space"):
        return None
    inner = found[-1].get("use_regex", True)
    if kinds == ["ByteLevel"]:
        return "gpt-2" if inner else None
    if kinds == ["Digits", "ByteLevel"]:
        return "smollm" if inner and found[0].get("individual_digits") else None
    if kinds == ["Split", "ByteLevel"] and not inner:
        whole = found[0].get("behavior") == "Isolated" and not found[0].get("invert")
        return _EXPRESSIONS.get(_expression(found[0])) if whole else None
    return None


def steps(part: Any, key: str) -> list[dict[str, Any]]:
    """The parts of a `Sequence`, or the only part; what is no object has the type `damaged`."""
    inner = part.get(key) if isinstance(part, dict) and part.get("type") == "Sequence" else [part]
    whole = inner if isinstance(inner, list) else [inner]
    return [step if isinstance(step, dict) else {"type": "damaged"} for step in whole if step is not None]


def _expression(step: dict[str, Any]) -> str:
    pattern = step.get("pattern")
    return str(pattern.get("Regex", "")) if isinstance(pattern, dict) else ""


def _kind(part: Any) -> str:
    return str(part.get("type"))[:40] if isinstance(part, dict) else str(part)[:40]


def _describe(pre: Any) -> str:
    return (
        " + ".join(f"{_kind(step)} {_expression(step)[:80]}".strip() for step in steps(pre, "pretokenizers"))
        or "missing"
    )


def _unknown(what: str) -> QuantizeError:
    names = ", ".join(sorted({*_EXPRESSIONS.values(), "gpt-2", "smollm"}))
    return QuantizeError(
        f"the pre-tokenizer is not known: it {what}",
        f"known are {names}; if llama.cpp has a name for it, give that with --pre and compare the tokens yourself",
    )
