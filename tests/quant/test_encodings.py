"""Every type's encoding is, bit for bit, what llama.cpp's quantizer writes; decoding is what the gguf package says."""

from __future__ import annotations

from pathlib import Path
from threading import Thread

import gguf
import numpy as np
import pytest
from tiny_gguf import quantize_stock, second_moments, weights, write_gguf

from leafwise.quant.errors import QuantizeError
from leafwise.quant.native_ggml import decode, encode, ggml_base
from leafwise.quant.tensor_types import TYPES, TensorType
from leafwise.runtime.errors import UsageError

ROWS, COLUMNS = 35, 512  # llama.cpp's two threads take 32 rows at a time here
each_type = pytest.mark.parametrize("type_", TYPES.values(), ids=lambda t: t.name)


def tensor_name(type_: TensorType) -> str:
    return f"blk.0.{type_.name}.weight"


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tensor for each type."""
    tensors = {tensor_name(t): weights(ROWS, COLUMNS, t.number) for t in TYPES.values()}
    return write_gguf(tmp_path_factory.mktemp("encodings") / "source.gguf", tensors)


def test_encodings_without_importance_are_those_of_llama_cpp(tmp_path: Path) -> None:
    possible = {tensor_name(t): t for t in TYPES.values() if t.importance in ("unused", "used")}
    tensors = {name: weights(ROWS, COLUMNS, t.number) for name, t in possible.items()}
    part = write_gguf(tmp_path / "source.gguf", tensors)
    made = quantize_stock(part, tmp_path / "made.gguf", {name: t.number for name, t in possible.items()})
    assert made.keys() == possible.keys()
    for name, type_ in possible.items():
        assert made[name] == encode(tensors[name].astype(np.float32), type_), name


def test_encodings_with_importance_are_those_of_llama_cpp(source: Path, tmp_path: Path) -> None:
    importance = {tensor_name(t): second_moments(COLUMNS, t.number) for t in TYPES.values()}
    numbers = {tensor_name(t): t.number for t in TYPES.values()}
    tables = Thread(target=lambda: [ggml_base().ggml_quantize_init(number) for number in numbers.values()])
    tables.start()  # the tables of the iq2 types take seconds: here while llama.cpp's process makes its own
    made = quantize_stock(source, tmp_path / "made.gguf", numbers, importance)
    tables.join()
    assert made.keys() == numbers.keys()
    for type_ in TYPES.values():
        values = weights(ROWS, COLUMNS, type_.number).astype(np.float32)
        given = importance[tensor_name(type_)]
        assert made[tensor_name(type_)] == encode(values, type_, given, threads=2), type_.name
        if type_.importance in ("unused", "used"):
            assert (encode(values, type_) == encode(values, type_, given)) == (type_.importance == "unused")


@each_type
def test_decoding_is_what_the_gguf_package_says(type_: TensorType) -> None:
    values = weights(3, COLUMNS).astype(np.float32)
    data = encode(values, type_, second_moments(COLUMNS))
    decoded = decode(data, type_, (COLUMNS, 3))
    raw = np.frombuffer(data, np.uint8).reshape(3, -1)
    expected = gguf.dequantize(raw, gguf.GGMLQuantizationType(type_.number)).reshape(3, COLUMNS)
    assert decoded.dtype == np.float32
    assert np.array_equal(decoded, expected)
    assert np.square(decoded - values).sum() < 0.6 * np.square(values).sum()


@each_type
def test_dead_rows_and_inputs_do_no_harm(type_: TensorType) -> None:
    values = weights(4, COLUMNS).astype(np.float32)
    values[1], values[2, :256] = 0, 0
    importance = second_moments(COLUMNS)
    for dead in (slice(0, 0), slice(0, 256), slice(None)):
        importance[dead] = 0
        assert np.isfinite(decode(encode(values, type_, importance), type_, (COLUMNS, 4))).all()


def test_what_would_end_the_process_is_refused() -> None:
    q4_0, iq2 = TYPES["q4_0"], TYPES["iq2_xs"]
    good = weights(2, COLUMNS).astype(np.float32)
    for odd in (np.nan, np.inf, 1e30):
        bad = good.copy()
        bad[1, 7] = odd
        with pytest.raises(QuantizeError, match="not finite"):
            encode(bad, q4_0)
        with pytest.raises(QuantizeError, match="importance matrix has values"):
            encode(good, q4_0, np.abs(bad[1]))
    with pytest.raises(QuantizeError, match="without an importance"):
        encode(good, iq2)
    with pytest.raises(QuantizeError, match="is not for rows"):
        encode(good, iq2, second_moments(COLUMNS - 1))
    with pytest.raises(UsageError, match="blocks"):
        encode(weights(2, 288).astype(np.float32), TYPES["q4_k"])
    with pytest.raises(QuantizeError, match="a scale is not finite"):
        encode(good * 1e6, TYPES["f16"])
    with pytest.raises(QuantizeError, match="bytes are not"):
        decode(b"1234", q4_0, (32, 1))
