"""Importance matrix files: what is written is read back, by others too, and what is damaged is refused in words."""

from __future__ import annotations

import ctypes
import hashlib
import random
import struct
from dataclasses import replace
from pathlib import Path

import gguf
import llama_cpp
import numpy as np
import pytest

from leafwise.quant.errors import QuantizeError
from leafwise.quant.gguf_imatrix import read_imatrix, sealed, write_imatrix
from leafwise.quant.importance import ImportanceMatrix, merge
from leafwise.runtime.errors import ModelFileError

_random = np.random.default_rng(7)


def some(count: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return _random.random(count, np.float32) * 100


MATRIX = ImportanceMatrix(
    sums={"blk.0.attn_q.weight": some(64), "blk.0.ffn_down.weight": some(96), "output.weight": some(7)},
    counts={
        "blk.0.attn_q.weight": np.array([1024], np.float32),
        "blk.0.ffn_down.weight": np.array([1024], np.float32),
        "output.weight": np.array([1000], np.float32),
    },
    chunks=2,
    chunk_size=512,
    datasets=("code", "über 数"),
    key_maxima={0: some(6).reshape(2, 3)},
    model_sha256="a" * 64,
    text_sha256="b" * 64,
)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "imatrix.gguf"
    write_imatrix(MATRIX, path)
    return path


def test_what_is_written_is_read(file: Path) -> None:
    found = read_imatrix(file)
    for fact in ("chunks", "chunk_size", "datasets", "model_sha256", "text_sha256"):
        assert getattr(found, fact) == getattr(MATRIX, fact)
    for part in ("sums", "counts", "key_maxima"):
        here, there = getattr(found, part), getattr(MATRIX, part)
        assert here.keys() == there.keys()
        assert all((here[key] == there[key]).all() and here[key].shape == there[key].shape for key in here)
    assert found.sha256 == hashlib.sha256(file.read_bytes()).hexdigest() == sealed(MATRIX).sha256
    np.testing.assert_allclose(found.mean("output.weight"), MATRIX.sums["output.weight"] / 1000, rtol=1e-6)
    assert found.mean("output.weight").dtype == np.float32


def test_the_gguf_package_reads_it(file: Path) -> None:
    reader = gguf.GGUFReader(file)
    assert reader.fields["general.type"].contents() == "imatrix"
    assert reader.fields[gguf.Keys.IMatrix.CHUNK_COUNT].contents() == 2
    assert reader.fields[gguf.Keys.IMatrix.CHUNK_SIZE].contents() == 512
    assert reader.fields[gguf.Keys.IMatrix.DATASETS].contents() == list(MATRIX.datasets)
    tensors = {tensor.name: tensor for tensor in reader.tensors}
    for name, sums in MATRIX.sums.items():
        assert (tensors[f"{name}.in_sum2"].data.ravel() == sums).all()
        assert tensors[f"{name}.in_sum2"].shape.tolist() == [sums.size, 1]
        assert tensors[f"{name}.counts"].data.tolist() == [MATRIX.counts[name].tolist()]
    ours = set(tensors) - {name + suffix for name in MATRIX.sums for suffix in (".in_sum2", ".counts")}
    assert ours == {"blk.0.attn_k.pair_maxima"}  # no suffix that llama.cpp would take for its own


def test_the_c_library_reads_it(file: Path) -> None:
    class Options(ctypes.Structure):
        _fields_ = (("no_alloc", ctypes.c_bool), ("context", ctypes.POINTER(ctypes.c_void_p)))

    library = ctypes.CDLL(llama_cpp.llama_cpp._lib._name)
    library.gguf_init_from_file.argtypes = [ctypes.c_char_p, Options]
    library.gguf_init_from_file.restype = ctypes.c_void_p
    for name in ("gguf_get_n_tensors", "gguf_find_key", "gguf_get_val_u32", "gguf_free"):
        getattr(library, name).restype = None if name == "gguf_free" else ctypes.c_int64
    library.gguf_get_n_tensors.argtypes = library.gguf_free.argtypes = [ctypes.c_void_p]
    library.gguf_find_key.argtypes = [ctypes.c_void_p, ctypes.c_char_p]
    library.gguf_get_val_u32.argtypes = [ctypes.c_void_p, ctypes.c_int64]
    library.gguf_get_val_u32.restype = ctypes.c_uint32
    opened = library.gguf_init_from_file(str(file).encode(), Options(True, None))
    assert opened
    assert library.gguf_get_n_tensors(opened) == 7
    assert library.gguf_get_val_u32(opened, library.gguf_find_key(opened, b"imatrix.chunk_size")) == 512
    library.gguf_free(opened)


def test_experts_keep_a_count_each(tmp_path: Path) -> None:
    name = "blk.0.ffn_down_exps.weight"
    matrix = ImportanceMatrix(
        {name: np.arange(6, dtype=np.float32)}, {name: np.array([2, 0], np.float32)}, chunks=1, chunk_size=2
    )
    write_imatrix(matrix, tmp_path / "experts.gguf")
    found = read_imatrix(tmp_path / "experts.gguf")
    assert found.counts[name].tolist() == [2, 0]
    assert found.mean(name).tolist() == [0, 0.5, 1, 1, 1, 1]  # as llama.cpp: 1 where no token came


def test_without_a_mean_there_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        MATRIX.mean("blk.9.attn_q.weight")


# the former format


def legacy(entries: dict[str, tuple[int, list[float]]], tail: bytes = b"") -> bytes:
    out = struct.pack("<i", len(entries))
    for name, (calls, values) in entries.items():
        out += struct.pack("<i", len(name)) + name.encode() + struct.pack("<ii", calls, len(values))
        out += struct.pack(f"<{len(values)}f", *values)
    return out + tail


def test_the_former_format_is_read(tmp_path: Path) -> None:
    path = tmp_path / "imatrix.dat"
    content = {"blk.0.attn_q.weight": (4, [4.0, 8.0, 0.0]), "blk.0.ffn_down.weight": (2, [1.0])}
    path.write_bytes(legacy(content, struct.pack("<ii", 5, 8) + b"wiki.txt"))
    found = read_imatrix(path)
    assert found.mean("blk.0.attn_q.weight").tolist() == [1, 2, 0]
    assert found.mean("blk.0.ffn_down.weight").tolist() == [0.5]
    assert (found.chunks, found.datasets) == (5, ("wiki.txt",))
    assert found.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    path.write_bytes(legacy(content))  # older still: nothing after the entries
    assert (read_imatrix(path).chunks, read_imatrix(path).datasets) == (4, ())
    write_imatrix(found, tmp_path / "new.gguf")
    assert read_imatrix(tmp_path / "new.gguf").mean("blk.0.attn_q.weight").tolist() == [1, 2, 0]


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (legacy({"a": (1, [1.0, float("nan")])}), "not finite"),
        (legacy({"a": (1, [-1.0])}), "negative"),
        (legacy({"a": (0, [1.0])}), "empty"),
        (legacy({"a": (1, [])}), "empty"),
        (legacy({"a": (1, [1.0])})[:-1], "ends early"),
        (struct.pack("<ii", 1, -5), "claims -5"),
        (struct.pack("<iiii", 1, 0, 1, 2**30), "claims"),
        (struct.pack("<iiii", 1, 0, 1, 2**27), "ends early"),
        (struct.pack("<i", 60_000), "ends early"),
    ],
)
def test_damaged_files_of_the_former_format_are_refused(tmp_path: Path, data: bytes, problem: str) -> None:
    path = tmp_path / "imatrix.dat"
    path.write_bytes(data)
    with pytest.raises(ModelFileError, match=problem):
        read_imatrix(path)


# damage


def changed(**facts: object) -> ImportanceMatrix:
    return replace(MATRIX, **facts)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("matrix", "problem"),
    [
        (changed(sums=dict(MATRIX.sums) | {"output.weight": np.full(7, np.nan, np.float32)}), "not finite"),
        (changed(sums=dict(MATRIX.sums) | {"output.weight": np.full(7, np.inf, np.float32)}), "not finite"),
        (changed(sums=dict(MATRIX.sums) | {"output.weight": np.full(7, -1, np.float32)}), "negative"),
        (changed(counts=dict(MATRIX.counts) | {"output.weight": np.full(1, -1, np.float32)}), "negative"),
        (changed(key_maxima={0: np.full((1, 2), np.nan, np.float32)}), "not finite"),
        (changed(sums={}, counts={}), "no sums"),
    ],
)
def test_numbers_that_cannot_be_are_refused(tmp_path: Path, matrix: ImportanceMatrix, problem: str) -> None:
    write_imatrix(matrix, tmp_path / "x.gguf")
    with pytest.raises(ModelFileError, match=problem) as caught:
        read_imatrix(tmp_path / "x.gguf")
    assert caught.value.hint


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        (b"output.weight.counts", b"output.weight.cxunts", "0 counts for 7 sums"),
        (b"imatrix", b"imatrex", "not an importance matrix"),
        (b"GGUF", b"GGUX", "not a GGUF"),
        (b"imatrix.chunk_count\x04\0\0\0", b"imatrix.chunk_count\x06\0\0\0", "not a count"),
    ],
)
def test_what_is_missing_is_said(file: Path, old: bytes, new: bytes, problem: str) -> None:
    file.write_bytes(file.read_bytes().replace(old, new, 1))
    with pytest.raises(ModelFileError, match=problem):
        read_imatrix(file)


def test_no_damage_is_a_traceback(file: Path) -> None:
    whole, chance, read = file.read_bytes(), random.Random(11), 0
    hints: list[str] = []
    for trial in range(600):
        data = bytearray(whole)
        if trial % 3 == 0:
            data = data[: chance.randrange(len(data))]
        else:
            for _ in range(trial % 3):
                # mostly in the header: what is behind it are only numbers
                data[chance.randrange(1200 if chance.random() < 0.9 else len(data))] ^= 1 << chance.randrange(8)
        file.write_bytes(data)
        try:
            found = read_imatrix(file)
        except ModelFileError as error:
            hints.append(error.hint)
            continue
        read += 1
        for name in found.sums:
            assert np.isfinite(found.mean(name)).all()
        merge(found, found)
    assert all(hints)
    assert 0 < read < 300  # many hits make no difference that can be seen: names, counts, low bits


def test_a_huge_array_in_the_metadata_is_refused_at_once(file: Path) -> None:
    write_imatrix(changed(datasets=("",) * 300_000), file)
    with pytest.raises(ModelFileError, match="not an importance matrix"):
        read_imatrix(file)


def test_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="no file"):
        read_imatrix(tmp_path / "none.gguf")
    with pytest.raises(ModelFileError, match="is a directory"):
        read_imatrix(tmp_path)
    (tmp_path / "empty").touch()
    with pytest.raises(ModelFileError, match="is empty"):
        read_imatrix(tmp_path / "empty")
    with pytest.raises(QuantizeError, match="cannot write"):
        write_imatrix(MATRIX, tmp_path / "no" / "folder.gguf")
