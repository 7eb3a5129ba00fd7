"""Which documents fit a query: BM25 over the words of texts and identifiers."""

from __future__ import annotations

import re
from collections.abc import Sequence

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[^\WA-Z\d_]+|\d+")
_NO_MEANING = frozenset(
    re.findall(
        r"\w+",
        "a an and are as at be by can for from function given has have if in into is it its no not of on or return "
        "returns self should such takes than that the their then there this to use using which will with write "
        "def str int list dict tuple bool float none true false",
    )
)
_SHORTEST = 3


def words_of(text: str) -> list[str]:
    """The words of a text: identifiers are split (`parse_line`, `parseLine`), endings that say little are dropped."""
    words = (word.lower() for word in _WORD.findall(text))
    return [_stem(word) for word in words if word not in _NO_MEANING]


def _stem(word: str) -> str:
    """`parse`, `parses`, `parsed` and `parsing` are one word here."""
    for ending in ("s", "ing", "ed", "e"):
        if word.endswith(ending) and not word.endswith("ss") and len(word) - len(ending) >= _SHORTEST:
            word = word[: -len(ending)]
    return word


def scores(query: str, documents: Sequence[str]) -> list[float]:
    """How well each document fits a query (BM25 as Lucene computes it); 0 where they share no word."""
    import bm25s  # with numpy a third of a second: only runs that retrieve pay for it

    corpus = [words_of(document) for document in documents]
    wanted = words_of(query)
    if not wanted or not any(corpus):
        return [0.0] * len(corpus)
    index = bm25s.BM25(method="lucene")
    index.index(corpus, show_progress=False)
    return [float(score) for score in index.get_scores(wanted)]
