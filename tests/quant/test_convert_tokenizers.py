"""Tokenizers of all kinds: llama.cpp cuts text from the converted file as the original cuts it."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_llamas import FIXTURE, LlamaTokens, change_json, code_lines, odd_strings
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from leafwise.quant.errors import QuantizeError
from leafwise.quant.gguf_writing import Planned, write_gguf
from leafwise.quant.pre_tokenizers import recognise
from leafwise.quant.sentencepiece_model import read_sentencepiece
from leafwise.quant.tokenizer_files import read_tokenizer
from leafwise.quant.vocabulary import TokenType

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # sentencepiece's binding
TEXTS = [*code_lines(1000), *odd_strings(200)]
QWEN2 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
    r"|\s+(?!\S)|\s+"
)
BYTE_LEVEL = pre_tokenizers.ByteLevel(add_prefix_space=False)
WAYS = {
    "gpt-2": BYTE_LEVEL,
    "smollm": pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), BYTE_LEVEL]),
    "qwen2": pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(QWEN2), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    ),
}


def byte_level(folder: Path, way: Any) -> Tokenizer:
    """A byte-level BPE of 1,000 tokens and two added ones, saved as `tokenizer.json`."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer, tokenizer.decoder = way, decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=1000, initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()), show_progress=False
    )
    tokenizer.train_from_iterator(code_lines(2000), trainer)
    tokenizer.add_special_tokens([AddedToken("<|im_start|>", special=True, normalized=False)])
    tokenizer.add_tokens([AddedToken("<tool>", special=False, normalized=False)])
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "config.json").write_text('{"bos_token_id": 1000, "eos_token_id": [1000, 5]}')
    return tokenizer


def written(folder: Path, rows: int) -> LlamaTokens:
    """llama.cpp's tokenizer of a file that holds nothing but this one."""
    from leafwise.quant.convert import _tokenizer

    zero = np.zeros((1, 32), np.float32)
    entries = _tokenizer(read_tokenizer(folder, rows))
    write_gguf(folder / "made.gguf", "llama", entries, [Planned("x", zero.shape, "f32", lambda: [zero])])
    return LlamaTokens(folder / "made.gguf")


@pytest.mark.parametrize("name", WAYS)
def test_every_known_pre_tokenizer_cuts_alike(name: str, tmp_path: Path) -> None:
    theirs = byte_level(tmp_path, WAYS[name])
    tokenizer = read_tokenizer(tmp_path, 1010)
    assert tokenizer.pieces.pre == name
    assert tokenizer.pieces.types[1000:] == (TokenType.CONTROL, TokenType.USER_DEFINED, *[TokenType.UNUSED] * 8)
    assert tokenizer.special == {"bos": 1000, "eos": 1000}
    assert not tokenizer.add_bos
    ours = written(tmp_path, 1010)
    try:
        for text in [*TEXTS, "call <tool> now"]:
            assert ours(text) == theirs.encode(text).ids, repr(text[:200])
    finally:
        ours.close()


@pytest.fixture(scope="module")
def sentencepiece_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SentencePiece BPE of the kind that Llama 2 has."""
    folder = tmp_path_factory.mktemp("sentencepiece")
    train(folder)
    return folder


def train(folder: Path, **changes: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import sentencepiece

        settings: dict[str, Any] = {
            "model_type": "bpe",
            "vocab_size": 800,
            "byte_fallback": True,
            "normalization_rule_name": "identity",
            "remove_extra_whitespaces": False,
            "add_dummy_prefix": True,
            "split_digits": True,
            "allow_whitespace_only_pieces": True,
            "character_coverage": 0.9999,
            "minloglevel": 2,
        }
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(line.rstrip("\n") for line in code_lines(3000)),
            model_prefix=str(folder / "tokenizer"),
            **(settings | changes),
        )
    (folder / "config.json").write_text('{"bos_token_id": 1, "eos_token_id": 2}')


def test_sentencepiece_cuts_alike(sentencepiece_folder: Path) -> None:
    import sentencepiece

    theirs = sentencepiece.SentencePieceProcessor(model_file=str(sentencepiece_folder / "tokenizer.model"))
    tokenizer = read_tokenizer(sentencepiece_folder, 832)
    assert tokenizer.special == {"bos": 1, "eos": 2, "unk": 0}
    assert (tokenizer.add_bos, tokenizer.add_eos, tokenizer.pieces.space_prefix) == (True, False, True)
    assert [tokenizer.pieces.types[i] for i in (0, 1, 2, 3, 700, 831)] == [2, 3, 3, 6, 1, 5]
    ours = written(sentencepiece_folder, 832)
    try:
        for text in TEXTS:
            if text and "<" not in text:  # special tokens as text are characters to SentencePiece
                assert ours(text) == theirs.encode(text), repr(text[:200])
        assert ours("x", begin=True) == [1, *theirs.encode("x")]
        assert ours("<s>") == [1]
    finally:
        ours.close()


def test_sentencepiece_written_as_tokenizer_json_cuts_alike(sentencepiece_folder: Path, tmp_path: Path) -> None:
    pieces = read_sentencepiece(sentencepiece_folder / "tokenizer.model")
    ids, merges = {token: place for place, token in enumerate(pieces.tokens)}, []
    for place, token in enumerate(pieces.tokens):
        if pieces.types[place] == TokenType.NORMAL:
            cuts = [(token[:i], token[i:]) for i in range(1, len(token))]
            merges += [(place, pair) for pair in cuts if pair[0] in ids and pair[1] in ids]
    merges.sort(key=lambda merge: (-pieces.scores[merge[0]], merge[1]))
    model = models.BPE(ids, [pair for _, pair in merges], unk_token="<unk>", byte_fallback=True, fuse_unk=True)
    theirs = Tokenizer(model)
    theirs.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    theirs.add_special_tokens(["<unk>", "<s>", "</s>"])
    theirs.save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "config.json").write_text('{"bos_token_id": 1, "eos_token_id": 2}')
    ours = written(tmp_path, 800)
    try:
        for text in TEXTS:
            if text and not text.startswith(" ") and "<" not in text:
                assert ours(text) == theirs.encode(text).ids, repr(text[:200])
    finally:
        ours.close()


def test_sentencepiece_without_a_space_before_the_text(sentencepiece_folder: Path, tmp_path: Path) -> None:
    for name in ("tokenizer.model", "config.json"):
        (tmp_path / name).write_bytes((sentencepiece_folder / name).read_bytes())
    (tmp_path / "tokenizer_config.json").write_text('{"add_prefix_space": false, "add_bos_token": false}')
    ours, with_space = written(tmp_path, 800), written(sentencepiece_folder, 800)
    try:
        assert ours(" import", begin=True) == with_space("import")
        assert ours("import") != with_space("import")
    finally:
        ours.close()
        with_space.close()


def test_what_llama_cpp_cannot_do_for_sentencepiece_is_refused(tmp_path: Path) -> None:
    for changes, problem in (
        ({"model_type": "unigram", "vocab_size": 500}, "unigram"),
        ({"normalization_rule_name": "nmt_nfkc"}, "changes the text"),
        ({"remove_extra_whitespaces": True}, "changes the text"),
    ):
        train(tmp_path, **changes)
        with pytest.raises(QuantizeError, match=problem):
            read_tokenizer(tmp_path, 1000)


def test_a_damaged_sentencepiece_model_is_read_or_refused(sentencepiece_folder: Path, tmp_path: Path) -> None:
    whole = (sentencepiece_folder / "tokenizer.model").read_bytes()
    (tmp_path / "config.json").write_text("{}")
    random, refused = np.random.default_rng(4), 0
    for cut in (True, False):
        for _ in range(100):
            damaged = bytearray(whole[: random.integers(1, len(whole))] if cut else whole)
            damaged[random.integers(0, len(damaged))] ^= 1 << int(random.integers(0, 8))
            (tmp_path / "tokenizer.model").write_bytes(damaged)
            try:
                read_tokenizer(tmp_path, 1000)
            except QuantizeError:
                refused += 1
    assert refused > 100


def test_an_unknown_pre_tokenizer_is_named_and_can_be_overridden(tmp_path: Path) -> None:
    byte_level(tmp_path, pre_tokenizers.Sequence([pre_tokenizers.Whitespace(), BYTE_LEVEL]))
    with pytest.raises(QuantizeError, match=r"pre-tokenizer is not known: it is Whitespace \+ ByteLevel") as caught:
        read_tokenizer(tmp_path, 1002)
    assert "--pre" in caught.value.hint
    assert read_tokenizer(tmp_path, 1002, pre="starcoder").pieces.pre == "starcoder"
    with pytest.raises(QuantizeError, match="normalizer NFC"):
        recognise({"normalizer": {"type": "NFC"}, "pre_tokenizer": {"type": "ByteLevel"}})


def test_special_tokens_and_templates_are_found_wherever_they_are(tmp_path: Path) -> None:
    byte_level(tmp_path, BYTE_LEVEL)
    settings = tmp_path / "tokenizer_config.json"
    settings.write_text("{}")
    named = [{"name": "default", "template": "A"}, {"name": "tool_use", "template": "B"}]
    change_json(settings, eos_token={"content": "<tool>"}, add_bos_token=True, chat_template=named)
    found = read_tokenizer(tmp_path, 1002)
    assert (found.special, found.add_bos) == ({"bos": 1000, "eos": 1001}, True)
    assert found.templates == {"default": "A", "tool_use": "B"}
    (tmp_path / "chat_template.jinja").write_text("C")
    assert read_tokenizer(tmp_path, 1002).templates == {"default": "C"}


def test_a_vocabulary_that_llama_cpp_would_die_of_is_refused(tmp_path: Path) -> None:
    byte_level(tmp_path, BYTE_LEVEL)
    with pytest.raises(QuantizeError, match=r"'<tool>' has the id 1001 and the embedding has 1001 rows"):
        read_tokenizer(tmp_path, 1001)
    (tmp_path / "added_tokens.json").write_text('{"<|im_start|>": 1002}')
    with pytest.raises(QuantizeError, match=r"tokens 1000 and 1002 are both '<\|im_start\|>'"):
        read_tokenizer(tmp_path, 1003)
    (tmp_path / "added_tokens.json").unlink()
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "tokenizer_config.json").write_text('{"add_bos_token": true}')
    with pytest.raises(QuantizeError, match="gets a bos token, and no file says which"):
        read_tokenizer(tmp_path, 1002)


def test_the_fixture_is_read_as_it_is() -> None:
    found = read_tokenizer(FIXTURE, 4096)
    assert (found.special, found.add_bos, found.add_eos) == ({"bos": 4088, "eos": 4089, "pad": 4092}, True, False)
