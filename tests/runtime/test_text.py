"""Whole characters, and never a stop string, however the bytes are cut."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from leafwise.runtime.text import TextAssembler

texts = st.text(alphabet="ab`\n é→😀", max_size=40)
stops = st.lists(st.text(alphabet="ab`\n", min_size=1, max_size=4), max_size=3).map(tuple)


@given(texts, stops, st.lists(st.integers(1, 5), max_size=60))
def test_any_cut_of_the_bytes_gives_the_text_up_to_the_first_stop_string(
    text: str, stop: tuple[str, ...], cuts: list[int]
) -> None:
    data, pieces = text.encode(), []
    while data:
        size = cuts.pop() if cuts else 1
        pieces.append(data[:size])
        data = data[size:]
    assembler = TextAssembler(stop)
    out = "".join(assembler.add(piece) for piece in pieces) + assembler.end()
    first = min((at for s in stop if (at := text.find(s)) >= 0), default=len(text))
    # a stop string may be seen before an earlier one is complete; what comes out never contains one
    assert text.startswith(out)
    assert not any(s in out for s in stop)
    assert assembler.stopped == (first < len(text))
    if not assembler.stopped:
        assert out == text


def test_text_comes_as_soon_as_it_is_certain() -> None:
    assembler = TextAssembler(("```",))
    assert assembler.add(b"ab``") == "ab"
    assert assembler.add(b"c") == "``c"
    assert assembler.add("é".encode()[:1]) == ""
    assert assembler.add("é".encode()[1:]) == "é"
    assert assembler.add(b"``` rest") == ""
    assert assembler.stopped
    assert assembler.add(b"more") == ""
    assert assembler.end() == ""


def test_bytes_that_are_no_text_are_replaced_and_not_lost() -> None:
    assembler = TextAssembler()
    assert assembler.add(b"a\xff\xc3") + assembler.end() == "a\ufffd\ufffd"
