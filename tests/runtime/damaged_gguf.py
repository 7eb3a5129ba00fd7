"""Sound little models that llama.cpp runs, and seeded damage done to them: what the checks of a model file must stand.

    python tests/runtime/damaged_gguf.py FOLDER COUNT [SEED]

writes that many damaged files, to be tried by hand.
"""

from __future__ import annotations

import random
import struct
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import gguf
import numpy as np

WIDTH, INNER, HEADS, KV_HEADS, BLOCKS = 256, 256, 4, 2, 2
CHAT = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
TEMPLATES = (
    "{% for i in range(99999) %}{% for j in range(99999) %}{{ i }}{% endfor %}{% endfor %}",
    "{{ 'a' * 10**10 }}",
    "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "{{ messages[0].content.format_map }}{{ '%999999999d' % 1 }}",
    "{% for m in messages %}",
    "{{ [[[[[" + "[" * 500,
    "{{ raise_exception('no') }}",
    "{{ undefined_thing.attribute }}",
    "\x1b[31m{{ nothing",
    "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
    "",
)
COUNTS = (0, 1, 2, 3, 255, 2**16, 2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**40, 2**61, 2**63 - 1, 2**63, 2**64 - 1)


def tokens() -> list[str]:
    """The 256 bytes in GPT-2's spelling, some merged ones, and the special tokens."""
    plain = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    single = [*map(chr, plain), *(chr(256 + i) for i in range(256 - len(plain)))]
    return [*single, "Ġt", "he", "Ġthe", "in", "er", *SPECIAL]


def write_model(
    path: Path,
    tokenizer: str = "gpt2",
    types: tuple[str, ...] = ("Q8_0", "Q4_0", "F16", "Q4_K"),
    notes: Mapping[str, str | int] | None = None,
) -> Path:
    """Write a sound model of two blocks.

    Args:
        path: where to.
        tokenizer: `gpt2` for byte-pair encoding, `llama` for SentencePiece.
        types: of the matrices, one after the other.
        notes: more entries of the metadata.
    """
    rng = np.random.default_rng(7)
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("Little")
    writer.add_context_length(512)
    writer.add_block_count(BLOCKS)
    writer.add_embedding_length(WIDTH)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(10_000.0)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    for key, note in (notes or {}).items():
        if isinstance(note, int):
            writer.add_uint16(key, note)
        else:
            writer.add_string(key, note)
    count = _add_tokenizer(writer, tokenizer)
    writer.add_chat_template(CHAT)
    for i, (name, rows, columns) in enumerate(_matrices(count)):
        _add_matrix(writer, name, rng.normal(0, 0.05, (rows, columns)).astype(np.float32), types[i % len(types)])
    for name in _vectors():
        writer.add_tensor(name, np.ones(WIDTH, dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _add_tokenizer(writer: gguf.GGUFWriter, kind: str) -> int:
    writer.add_tokenizer_model(kind)
    if kind == "gpt2":
        words = tokens()
        kinds = [1] * (len(words) - len(SPECIAL)) + [3] * len(SPECIAL)
        writer.add_tokenizer_pre("smollm")
        writer.add_token_merges(["Ġ t", "h e", "Ġt he", "i n", "e r"])
        writer.add_eos_token_id(len(words) - 1)
        writer.add_bos_token_id(len(words) - 3)
        writer.add_add_bos_token(False)
    else:
        words = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
        words += ["▁", "a", "b", "e", "▁a", "▁the", *SPECIAL]
        kinds = [2, 3, 3, *([6] * 256), *([1] * 6), *([3] * len(SPECIAL))]
        writer.add_token_scores([-float(i) for i in range(len(words))])
        writer.add_bos_token_id(1)
        writer.add_eos_token_id(2)
        writer.add_unk_token_id(0)
    writer.add_token_list(words)
    writer.add_token_types(kinds)
    return len(words)


def _matrices(count: int) -> Iterator[tuple[str, int, int]]:
    yield "token_embd.weight", count, WIDTH
    for i in range(BLOCKS):
        for kind in ("attn_q", "attn_output", "ffn_gate", "ffn_up", "ffn_down"):
            yield f"blk.{i}.{kind}.weight", WIDTH, WIDTH
        for kind in ("attn_k", "attn_v"):
            yield f"blk.{i}.{kind}.weight", WIDTH // HEADS * KV_HEADS, WIDTH
    yield "output.weight", count, WIDTH


def _vectors() -> Iterator[str]:
    for i in range(BLOCKS):
        yield f"blk.{i}.attn_norm.weight"
        yield f"blk.{i}.ffn_norm.weight"
    yield "output_norm.weight"


def _add_matrix(writer: gguf.GGUFWriter, name: str, values: np.ndarray[Any, Any], kind: str) -> None:
    quant = gguf.GGMLQuantizationType[kind]
    if kind == "Q4_K":  # the package does not encode it: any bytes are good, with sound scales
        data = np.random.default_rng(3).integers(0, 256, (len(values), 144), dtype=np.uint8)
        data[:, :4] = np.array([1e-4, 1e-4], dtype=np.float16).view(np.uint8)
    else:
        data = gguf.quants.quantize(values, quant)
    writer.add_tensor(name, data, raw_dtype=quant)


class Place(NamedTuple):
    """Where something lies in the header."""

    what: str
    """`count`, `length`, `kind`, `text`, `number`, `dimension`, `type`, `offset`."""
    at: int
    size: int


_SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}


class Map:
    """The places of a sound file's header."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 24
        self.places = [Place("count", 4, 4), Place("count", 8, 8), Place("count", 16, 8)]
        tensors, entries = struct.unpack_from("<QQ", data, 8)
        for _ in range(entries):
            self._text()
            self._value(self._take("kind", 4))
        self.infos = self._at
        for _ in range(tensors):
            self._text()
            for _ in range(self._take("count", 4)):
                self._take("dimension", 8)
            self._take("type", 4)
            self._take("offset", 8)
        self.end = self._at

    def _take(self, what: str, size: int) -> int:
        self.places.append(Place(what, self._at, size))
        self._at += size
        return int.from_bytes(self._data[self._at - size : self._at], "little")

    def _text(self) -> None:
        self._take("text", 0)
        length = self._take("length", 8)
        self.places[-2] = Place("text", self._at, length)
        self._at += length

    def _value(self, kind: int) -> None:
        if kind == 8:
            self._text()
        elif kind == 9:
            inner, count = self._take("kind", 4), self._take("length", 8)
            for i in range(count):
                if inner == 8:
                    self._text()
                elif i < 40:
                    self._take("number", _SIZES[inner])
                else:
                    self._at += _SIZES[inner]
        else:
            self._take("number", _SIZES[kind])


Damage = Callable[[random.Random, bytearray, Map], None]


def _truncate(rng: random.Random, data: bytearray, where: Map) -> None:
    del data[rng.randrange(where.end if rng.random() < 0.5 else len(data)) :]


def _flip_header(rng: random.Random, data: bytearray, where: Map) -> None:
    for _ in range(rng.randint(1, 3)):
        data[rng.randrange(where.end)] ^= 1 << rng.randrange(8)


def _flip_infos(rng: random.Random, data: bytearray, where: Map) -> None:
    data[rng.randrange(where.infos, where.end)] ^= 1 << rng.randrange(8)


def _overwrite(*whats: str) -> Damage:
    def damage(rng: random.Random, data: bytearray, where: Map) -> None:
        place = rng.choice([place for place in where.places if place.what in whats])
        old = int.from_bytes(data[place.at : place.at + place.size], "little")
        new = rng.choice([*COUNTS, old + 1, max(0, old - 1), 2 * old, rng.randrange(46)]) % 256**place.size
        data[place.at : place.at + place.size] = new.to_bytes(place.size, "little")

    return damage


def _text(rng: random.Random, data: bytearray, where: Map) -> None:
    place = rng.choice([place for place in where.places if place.what == "text" and place.size])
    new = rng.choice([b"\0", b"\xff\xfe", b" ", b"a", b"\x1b[31m", "Ġ".encode(), b"<0x41>"])
    data[place.at : place.at + place.size] = (new * place.size)[: place.size]


def _swap_texts(rng: random.Random, data: bytearray, where: Map) -> None:
    sizes = [place for place in where.places if place.what == "text" and place.size]
    one = rng.choice(sizes)
    other = rng.choice([place for place in sizes if place.size == one.size])
    data[one.at : one.at + one.size] = data[other.at : other.at + other.size]


def _template(rng: random.Random, data: bytearray, where: Map) -> None:
    at = data.index(b"tokenizer.chat_template") + 23 + 4
    (length,) = struct.unpack_from("<Q", data, at)
    source = rng.choice(TEMPLATES).encode()
    data[at + 8 : at + 8 + length] = (source + b" " * length)[:length] if len(source) <= length else source[:length]


def _scales(rng: random.Random, data: bytearray, where: Map) -> None:
    for _ in range(rng.choice([1, 1, 50, 2000])):
        at = rng.randrange(where.end, len(data) - 4)
        data[at : at + 4] = rng.choice([b"\xff\xff\xff\xff", b"\0\x7c\0\x7c", b"\0\0\x80\x7f", b"\0\xfc\x01\x7e"])


def _shift(rng: random.Random, data: bytearray, where: Map) -> None:
    at, size = rng.randrange(where.end), rng.randint(1, 64)
    if rng.random() < 0.5:
        del data[at : at + size]
    else:
        data[at:at] = rng.randbytes(size)


DAMAGES: dict[str, Damage] = {
    "truncated": _truncate,
    "header-bits": _flip_header,
    "info-bits": _flip_infos,
    "counts": _overwrite("count", "length"),
    "types": _overwrite("kind", "type"),
    "places": _overwrite("offset", "dimension"),
    "numbers": _overwrite("number"),
    "text": _text,
    "swapped": _swap_texts,
    "template": _template,
    "scales": _scales,
    "shifted": _shift,
}


def damaged(sound: bytes, count: int, seed: int = 0) -> Iterator[tuple[str, bytes]]:
    """Make damaged copies of a sound file, of every kind of damage in turn; gives names and contents."""
    where, kinds = Map(sound), list(DAMAGES.items())
    for i in range(count):
        name, damage = kinds[i % len(kinds)]
        rng, data = random.Random(f"{seed}-{i}"), bytearray(sound)
        damage(rng, data, where)
        yield f"{i:03}-{name}", bytes(data)


if __name__ == "__main__":
    folder, number = Path(sys.argv[1]), int(sys.argv[2])
    base = write_model(folder / "sound.gguf").read_bytes()
    for title, content in damaged(base, number, int(sys.argv[3]) if len(sys.argv) > 3 else 0):
        (folder / f"{title}.gguf").write_bytes(content)
