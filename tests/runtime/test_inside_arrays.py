from __future__ import annotations

import contextlib
import json
import sys
import time
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from leafwise.runtime.inside_codec import MAX_NODES, MAX_TEXT, Codec, MalformedError, UncrossableError

CODEC = Codec()
dtypes = (
    hnp.boolean_dtypes()
    | hnp.integer_dtypes()
    | hnp.unsigned_integer_dtypes()
    | hnp.floating_dtypes(sizes=(16, 32, 64))
    | hnp.complex_number_dtypes(sizes=(64, 128))
    | hnp.byte_string_dtypes(min_len=1)
    | hnp.unicode_string_dtypes(min_len=1)
    | hnp.datetime64_dtypes()
    | hnp.timedelta64_dtypes()
)
shapes = hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=3)
arrays = dtypes.flatmap(lambda dtype: hnp.arrays(dtype, shapes))


def through_json(value: object) -> Any:
    return CODEC.decode(json.loads(json.dumps(CODEC.encode(value), allow_nan=False)))


def assert_same_bits(back: Any, value: Any) -> None:
    assert type(back) is np.ndarray
    assert back.dtype == value.dtype.newbyteorder("<")
    assert back.shape == value.shape
    assert back.tobytes() == value.astype(back.dtype).tobytes()


@given(arrays, st.booleans())
@settings(max_examples=200, deadline=None)
def test_arrays_come_back_bit_for_bit(array: Any, turned: bool) -> None:
    value = array.T[::-1] if turned and array.ndim else array
    ((back,),) = through_json([(value,)])
    assert_same_bits(back, value)
    assert back.flags.writeable
    assert back.flags.owndata


@given(dtypes.flatmap(lambda dtype: hnp.arrays(dtype, 1)))
@settings(max_examples=200, deadline=None)
def test_scalars_keep_their_type(array: Any) -> None:
    value = array[0]
    back = through_json(value)
    assert type(back) is type(value)
    assert back.dtype == value.dtype
    assert back.tobytes() == value.tobytes()


def test_odd_scalars() -> None:
    for value in (np.str_(""), np.str_("a\0"), np.str_("\ud83d"), np.bytes_(b""), np.bytes_(b"a\0"), np.float64("nan")):
        back = through_json(value)
        assert type(back) is type(value)
        assert repr(back) == repr(value)
        assert len(str(back)) == len(str(value))


@pytest.mark.parametrize(
    "value",
    [
        np.array([object()]),
        np.zeros(2, "i4,f8"),
        np.zeros(2, "i4,f8")[0],
        np.zeros(2, "V3"),
        np.longdouble(1),
        np.ma.masked_array([1, 2], mask=[False, True]),
        np.broadcast_to(np.int8(0), (1 << 20, 1 << 20)),
        np.zeros(MAX_NODES, dtype=bool),
        np.zeros(MAX_TEXT // 8 + 1),
    ],
    ids=lambda value: f"{type(value).__name__}-{value.dtype}-{value.size}",
)
def test_what_does_not_cross(value: Any) -> None:
    with pytest.raises(UncrossableError):
        CODEC.encode(value)
    if value.size < MAX_NODES // 4:
        assert Codec(refer=lambda value: {"ref": 1}).encode([value])


def test_elements_count_against_the_codecs_own_cap() -> None:
    assert Codec(max_nodes=11).encode(np.zeros(10))
    with pytest.raises(UncrossableError):
        Codec(max_nodes=10).encode(np.zeros(10))


def raiser(*args: object, **kwargs: object) -> Any:
    raise SystemExit("a method of the subclass ran")


def test_no_method_of_a_subclass_runs() -> None:
    names = {"dtype", "shape", "size", "nbytes", "ndim", "T", "data", "__array_interface__", "__array_struct__"}
    methods = {"__array__", "astype", "tobytes", "__len__", "__iter__", "__getitem__", "__buffer__", "__reduce__"}
    body = dict.fromkeys(names, property(raiser)) | dict.fromkeys(methods, raiser)
    array: Any = np.arange(4.0).view(type("Array", (np.ndarray,), body))
    assert_same_bits(through_json(array), np.arange(4.0))
    for scalar in (np.float64(1.5), np.int8(3), np.str_("a"), np.bytes_(b"a"), np.datetime64(1, "s")):
        own = body | dict.fromkeys(("__str__", "__bytes__", "__float__", "__int__", "encode"), raiser)
        back = through_json(type("Scalar", (type(scalar),), own)(scalar))
        assert type(back) is type(scalar)
        assert back == scalar


def test_subclasses_cross_as_plain_arrays() -> None:
    assert_same_bits(through_json(np.eye(2).view(np.matrix)), np.eye(2))


@pytest.mark.parametrize(
    "payload",
    [
        ["|O", [1], "00" * 8],
        ["<f16", [1], "00" * 16],
        ["<i8,<i8", [0], ""],
        ["<i8\n", [0], ""],
        [8, [1], "00" * 8],
        ["<i8", [2], "00" * 8],
        ["<i8", [-1, -1], "00" * 8],
        ["<i8", [True], "00" * 8],
        ["<i8", [1.0], "00" * 8],
        ["<i8", None, "00" * 8],
        ["<i8", [1] * 65, "00" * 8],
        ["<i8", [0, 1 << 70], ""],
        ["|b1", [1 << 50], ""],
        ["|b1", [1], "02"],
        ["<U1", [1], "00001100"],
        ["<U1", [1], "ffffffff"],
        ["<M8[0s]", [1], "00" * 8],
        ["<M8[999999999999s]", [1], "00" * 8],
        ["|S0", [5], ""],
        ["|S99999999999", [0], ""],
        ["|b1", [1], "0"],
        ["|b1", [1], 0],
        ["|b1", [1]],
        {},
    ],
    ids=lambda payload: str(payload)[:40],
)
def test_no_array(payload: Any) -> None:
    with pytest.raises(MalformedError):
        CODEC.decode({"a": payload})


@pytest.mark.parametrize(
    "payload", [["U", [{"b": "00"}]], ["S", ["a"]], ["U", ["a", "b"]], ["O", "00"], [[], ""], ["U", "a"]]
)
def test_no_scalar(payload: Any) -> None:
    with pytest.raises(MalformedError):
        CODEC.decode({"g": payload})


garbage = st.tuples(
    st.sampled_from(["|b1", "|u1", "<i8", "<f2", "<c8", "|S3", "<U1", "<M8[25s]", "<m8", "|O", "", ">i4", "U", "S"]),
    st.lists(st.integers(-1, 3) | st.integers() | st.none(), max_size=3) | st.text(max_size=3),
    st.binary(max_size=16).map(bytes.hex) | st.text(max_size=4) | st.lists(st.text(max_size=2), max_size=2),
)


@given(garbage, st.sampled_from("ag"))
@settings(max_examples=400, deadline=2000)
def test_any_tree_gives_a_value_or_is_called_malformed(payload: Any, tag: str) -> None:
    with contextlib.suppress(MalformedError):
        value = CODEC.decode({tag: [payload[0], *payload[1:][tag == "g" :]]})
        assert isinstance(repr(value), str)  # every element can be read


@pytest.mark.parametrize("value", [np.zeros(2), np.datetime64(1, "s")])
def test_an_array_is_malformed_where_numpy_is_not_loaded(value: object, monkeypatch: pytest.MonkeyPatch) -> None:
    tree = CODEC.encode(value)
    monkeypatch.delitem(sys.modules, "numpy")
    with pytest.raises(MalformedError, match="numpy"):
        CODEC.decode(tree)


@given(dtypes.filter(lambda dtype: dtype.kind not in "mM").flatmap(lambda dtype: hnp.arrays(dtype, 1)))
@settings(max_examples=100, deadline=None)
def test_scalars_are_plain_where_numpy_is_not_loaded(array: Any) -> None:
    tree, plain = CODEC.encode(array[0]), array[0].item()
    with pytest.MonkeyPatch.context() as patch:
        patch.delitem(sys.modules, "numpy")
        back = CODEC.decode(tree)
    assert type(back) is type(plain)
    assert repr(back) == repr(plain)


@pytest.mark.parametrize("payload", [["<f8", "00"], ["<f8", 0], ["|b1", ""], ["|O", "00"], [[], ""], ["S", ["a"]]])
def test_no_scalar_without_numpy(payload: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "numpy")
    with pytest.raises(MalformedError):
        CODEC.decode({"g": payload})


def test_a_large_array_is_quick() -> None:
    value = np.arange(400_000.0)
    start = time.perf_counter()
    assert_same_bits(CODEC.decode(CODEC.encode(value)), value)
    assert time.perf_counter() - start < 1
