"""Everything that a checkpoint's directory says about its tokenizer, from whichever files are there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from leafwise.quant.checkpoint_json import read_object, read_optional
from leafwise.quant.errors import QuantizeError
from leafwise.quant.sentencepiece_model import read_sentencepiece
from leafwise.quant.tokenizer_json import is_byte_level, read_added, read_tokenizer_json
from leafwise.quant.vocabulary import Added, Pieces, fill
from leafwise.runtime.contracts import Contract

ROLES = ("bos", "eos", "unk", "sep", "pad", "mask")


class Tokenizer(Contract):
    """A tokenizer, ready to be written."""

    pieces: Pieces
    """The tokens; as many as the embedding has rows."""
    special: dict[str, int]
    """Ids by role: of `ROLES`."""
    add_bos: bool
    """Text gets the begin token before it."""
    add_eos: bool
    """Text gets the end token after it."""
    templates: dict[str, str]
    """Chat templates by name; that which is used without a name is `default`."""


def read_tokenizer(source: Path, rows: int, pre: str | None = None) -> Tokenizer:
    """Read the tokenizer in a checkpoint's directory.

    Args:
        source: the directory.
        rows: of the model's embedding.
        pre: llama.cpp's name for how text is split before byte-pair encoding; None to recognise it.

    Raises:
        QuantizeError: there is none, it is damaged, or llama.cpp would cut text differently.
    """
    settings = read_optional(source / "tokenizer_config.json")
    whole, model = source / "tokenizer.json", source / "tokenizer.model"
    # The model of SentencePiece is the original where it is one; a byte-level tokenizer's may be of another kind.
    if whole.exists() and (not model.exists() or is_byte_level(whole)):
        pieces = read_tokenizer_json(whole, pre)
    elif model.exists():
        pieces = read_sentencepiece(model)
    else:
        raise QuantizeError(
            f"there is no tokenizer.json and no tokenizer.model in {source}", "download the tokenizer's files too"
        )
    if pieces.model == "llama" and isinstance(settings.get("add_prefix_space"), bool):
        pieces = pieces.model_copy(update={"space_prefix": settings["add_prefix_space"]})
    pieces = fill(pieces, _added(source, settings), rows)
    special = _special(source, settings, pieces)
    begin, end = _frame(source, settings, pieces, special)
    return Tokenizer(pieces=pieces, special=special, add_bos=begin, add_eos=end, templates=_templates(source, settings))


def _added(source: Path, settings: dict[str, Any]) -> list[Added]:
    """Of three places; where they disagree on a token, `tokenizer.json` is right: it is what `transformers` runs."""
    found: dict[int, Added] = {}
    try:
        for text, place in read_optional(source / "added_tokens.json").items():
            found[place] = Added(id=place, text=text, special=False)
        for place, entry in (settings.get("added_tokens_decoder") or {}).items():
            found[int(place)] = Added(id=int(place), text=entry["content"], special=bool(entry.get("special")))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise QuantizeError(f"the added tokens in {source} are damaged", "download the model again") from error
    if (source / "tokenizer.json").exists():
        found |= {token.id: token for token in read_added(source / "tokenizer.json")}
    return [found[place] for place in sorted(found)]


def _special(source: Path, settings: dict[str, Any], pieces: Pieces) -> dict[str, int]:
    """Ids by role: what the tokenizer's settings name first, then the model's numbers, then the tokenizer's own."""
    ids = {token: place for place, token in enumerate(pieces.tokens)}
    mapped = read_optional(source / "special_tokens_map.json")
    numbers = (read_object(source / "config.json"), read_optional(source / "generation_config.json"))
    found: dict[str, int] = {}
    for role in ROLES:
        for place in (settings, mapped):
            text = place.get(f"{role}_token")
            text = text.get("content") if isinstance(text, dict) else text
            if isinstance(text, str) and text in ids:
                found.setdefault(role, ids[text])
        for config in numbers:
            value = config.get(f"{role}_token_id")
            value = value[0] if isinstance(value, list) and value else value
            if type(value) is int and 0 <= value < len(ids):
                found.setdefault(role, value)
        if role in pieces.special:
            found.setdefault(role, pieces.special[role])
    return found


def _frame(source: Path, settings: dict[str, Any], pieces: Pieces, special: dict[str, int]) -> tuple[bool, bool]:
    """Whether text gets a begin and an end token.

    Raises:
        QuantizeError: it gets others, or one that the files do not name: llama.cpp aborts on such a file.
    """
    first, last = _template(read_optional(source / "tokenizer.json").get("post_processor"))
    texts = {role: pieces.tokens[place] for role, place in special.items()}
    for text, role in ((first, "bos"), (last, "eos")):
        if text is not None and text != texts.get(role):
            raise QuantizeError(
                f"the tokenizer puts {text[:40]!r} around text, which is not its {role}_token",
                "correct tokenizer_config.json",
            )
    begin, end = first is not None, last is not None
    if first is last is None and pieces.model == "llama":
        begin = True  # as `LlamaTokenizer` does where nothing else is said
    begin, end = (
        settings[key] if isinstance(settings.get(key), bool) else found
        for key, found in (("add_bos_token", begin), ("add_eos_token", end))
    )
    for wanted, role in ((begin, "bos"), (end, "eos")):
        if wanted and role not in special:
            raise QuantizeError(f"text gets a {role} token, and no file says which", "correct tokenizer_config.json")
    return begin, end


def _template(processor: Any) -> tuple[str | None, str | None]:
    """The special tokens before and after a text, in `tokenizer.json`'s post-processor."""
    if not isinstance(processor, dict):
        return None, None
    if processor.get("type") == "Sequence":
        inner = processor.get("processors")
        found = [_template(step) for step in inner] if isinstance(inner, list) else []
        return next((f for f in found if f != (None, None)), (None, None))
    single = processor.get("single")
    if processor.get("type") != "TemplateProcessing" or not isinstance(single, list) or not single:
        return None, None
    ends = [part.get("SpecialToken") if isinstance(part, dict) else None for part in (single[0], single[-1])]
    first, last = (str(end["id"]) if isinstance(end, dict) and "id" in end else None for end in ends)
    return first, last


def _templates(source: Path, settings: dict[str, Any]) -> dict[str, str]:
    """Chat templates: a file of their own wins over the settings, as in `transformers`."""
    file = source / "chat_template.jinja"
    found = settings.get("chat_template")
    try:
        if file.exists():
            return {"default": file.read_text(encoding="utf-8")}
        if isinstance(found, list):
            return {str(entry["name"]): str(entry["template"]) for entry in found}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise QuantizeError(f"the chat template in {source} is damaged", "download the model again") from error
    if found is None:
        found = read_optional(source / "chat_template.json").get("chat_template")
    return {"default": found} if isinstance(found, str) else {}
