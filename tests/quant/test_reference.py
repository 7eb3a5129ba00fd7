"""Reference files: what goes in comes out, they are small, and a damaged one is refused."""

from __future__ import annotations

import json
import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from leafwise.quant import QuantizeError
from leafwise.quant.compact import compress
from leafwise.quant.reference import Reference, ReferenceInfo, StorageCheck, load_reference, save_reference

CONTEXT, CHUNKS, N_VOCAB = 16, 2, 300


def made(n_vocab: int = N_VOCAB) -> Reference:
    info = ReferenceInfo(
        version=1,
        model="a.gguf",
        model_sha256="0" * 64,
        vocabulary_sha256="1" * 64,
        n_vocab=n_vocab,
        text_sha256="2" * 64,
        context=CONTEXT,
        chunks=CHUNKS,
        perplexity=8.5,
        check=StorageCheck(against="b.gguf", tokens=7, exact_kl=0.2, stored_kl=0.201, bound_kl=0.19),
        leafwise="0.1.0",
        library="0.3.36",
    )
    generator = np.random.default_rng(0)
    logits = generator.normal(0, 1, (info.scored, n_vocab)).astype(np.float32)
    tokens = generator.integers(0, n_vocab, (CHUNKS, CONTEXT)).astype(np.int32)
    return Reference(info, tokens, compress(logits, tokens[:, 9:].reshape(-1), generator))


def test_half_of_a_chunk_is_scored() -> None:
    # as llama.cpp's tool: position context / 2 predicts the first scored token, the last token predicts none
    assert made().info.scored == 2 * 7


def test_what_is_written_is_read(tmp_path: Path) -> None:
    reference, path = made(), tmp_path / "reference"
    info = save_reference(reference, path)
    again = load_reference(path)
    assert again.info == info
    assert info.check is not None
    assert info.check.relative_error == pytest.approx(0.005)
    assert np.array_equal(again.tokens, reference.tokens)
    for name, array in reference.distributions.arrays().items():
        assert np.array_equal(array, again.distributions.arrays()[name]), name
    assert [p.name for p in tmp_path.iterdir()] == ["reference"]


@pytest.mark.parametrize(("n_vocab", "most"), [(49_152, 20e6 / 12_240), (128_256, 20e6 / 8_000)])
def test_even_flat_distributions_are_small(tmp_path: Path, n_vocab: int, most: float) -> None:
    """The embedded model's vocabulary: 24 chunks of 512 would be below 20 MB if every token were scored."""
    reference = made(n_vocab)
    assert reference.distributions.counts.min() == 256
    save_reference(reference, tmp_path / "reference")
    header = 2_500
    assert (tmp_path / "reference").stat().st_size - header < most * len(reference.distributions)


def test_every_damaged_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "reference"
    save_reference(made(), path)
    data, damaged = path.read_bytes(), tmp_path / "damaged"
    generator = np.random.default_rng(1)
    for length in [0, 1, 7, 8, 9, *generator.integers(10, len(data), 40)]:
        damaged.write_bytes(data[:length])
        with pytest.raises(QuantizeError):
            load_reference(damaged)
    for at in generator.integers(0, len(data), 300):
        flipped = bytearray(data)
        flipped[at] ^= 1 << int(generator.integers(8))
        damaged.write_bytes(flipped)
        try:
            assert load_reference(damaged).info == load_reference(path).info  # white space and key order mean nothing
        except QuantizeError:
            pass
        else:
            assert at < 8 + struct.unpack("<Q", data[:8])[0]


def test_what_is_no_reference_is_refused(tmp_path: Path) -> None:
    with pytest.raises(QuantizeError, match="no reference file at"):
        load_reference(tmp_path / "missing")
    with pytest.raises(QuantizeError, match="no reference file at"):
        load_reference(tmp_path)
    other = tmp_path / "other"
    save_file({"a": np.zeros(3, np.float32)}, other)
    with pytest.raises(QuantizeError, match="is not a reference file"):
        load_reference(other)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ids": lambda a: a + np.uint16(250)}, "tokens that do not exist"),
        ({"tail_ids": lambda a: a + np.uint16(299)}, "tokens that do not exist"),
        ({"counts": lambda a: a + np.uint16(1)}, "do not add up"),
        ({"counts": lambda a: a * 0}, "do not add up"),
        ({"log_probs": lambda a: a[:-1]}, "do not add up"),
        ({"ids": lambda a: a[:0], "log_probs": lambda a: a[:0], "counts": lambda a: a * 0}, "do not exist"),
        ({"tail_log_probs": lambda a: a[:, 1:]}, "tails do not fit"),
        ({"log_probs": lambda a: a * np.float16("nan")}, "no log-probabilities"),
        ({"next_log_probs": lambda a: a + 100}, "no log-probabilities"),
        ({"residual": lambda a: a - 2}, "no probabilities"),
        ({"residual": lambda a: a[1:]}, "of shape"),
        ({"next_log_probs": lambda a: a.astype(np.float64)}, "is F64 of shape"),
    ],
)
def test_nonsense_with_the_right_hash_is_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    reference = made()
    arrays = reference.distributions.arrays()
    with np.errstate(invalid="ignore"):
        wrong = {name: change(arrays[name]) for name, change in changes.items()}
    save_reference(replace(reference, distributions=replace(reference.distributions, **wrong)), tmp_path / "wrong")
    with pytest.raises(QuantizeError, match=message):
        load_reference(tmp_path / "wrong")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"chunks": 2**24, "context": 2**24}, "of shape"),
        ({"n_vocab": 2**20}, "is U16 of shape"),
        ({"n_vocab": 2**40}, "its description has 1 error"),
        ({"version": 2}, "version 2 of the format"),
        ({"colour": "green"}, "its description has 1 error"),
    ],
)
def test_a_description_that_does_not_fit_is_refused(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    reference = made()
    info = json.dumps(reference.info.model_dump(mode="json") | change)
    arrays = {"tokens": reference.tokens, **reference.distributions.arrays()}
    save_file(arrays, tmp_path / "wrong", {"leafwise.reference": info})
    with pytest.raises(QuantizeError, match=message):
        load_reference(tmp_path / "wrong")


def test_a_place_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(QuantizeError, match="cannot write"):
        save_reference(made(), tmp_path / "no" / "reference")
