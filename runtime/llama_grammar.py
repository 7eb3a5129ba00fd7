"""Grammars: JSON of a schema's form and nothing else, by llama.cpp's grammar sampler, one per sequence."""

from __future__ import annotations

import ctypes
import json
from typing import Any

import llama_cpp
import numpy as np
from llama_cpp import llama_grammar

from leafwise.runtime.errors import GrammarError
from leafwise.runtime.llama import LlamaModel
from leafwise.runtime.sampling import Logits

_CANDIDATE = np.dtype([("id", np.int32), ("logit", np.float32), ("p", np.float32)])  # llama_token_data


class Grammar:
    """What one sequence may say next.

    Args:
        model: whose vocabulary it is.
        text: the grammar, in GBNF.
        after: the text is free until this string appears in it.

    Raises:
        GrammarError: llama.cpp does not accept the grammar.
    """

    def __init__(self, model: LlamaModel, text: str, after: str | None) -> None:
        self._model = model
        self._sampler = llama_cpp.llama_sampler_init_grammar(model.vocab, text.encode(), b"root")
        if not self._sampler:
            raise GrammarError("llama.cpp does not accept the grammar made from the JSON schema", "simplify the model")
        # llama.cpp has lazy grammars of its own; they end the process where a token that completes the trigger goes on
        # with something that the grammar has no room for
        self._awaited = after.encode() if after is not None else b""
        self._free_text = b""
        self._all = np.zeros(model.n_vocab, _CANDIDATE)

    @property
    def active(self) -> bool:
        """Whether the text is bound already."""
        return not self._awaited

    @property
    def may_end(self) -> bool:
        """Whether the text may end here."""
        return not self.active or any(_allows(self._sampler, token) for token in self._model.end_tokens)

    def allows(self, token: int) -> bool:
        """Whether the text may go on with this token."""
        if self.active:
            return _allows(self._sampler, token)
        rest = self._beyond_trigger(token)
        if not rest:
            return True
        trial = llama_cpp.llama_sampler_clone(self._sampler)
        try:
            return self._feed(trial, rest)
        finally:
            llama_cpp.llama_sampler_free(trial)

    def accept(self, token: int) -> None:
        """Go on with a token that is allowed."""
        if self.active:
            llama_cpp.llama_sampler_accept(self._sampler, token)
            return
        rest = self._beyond_trigger(token)
        self._free_text += self._model.piece(token)
        if rest is not None:
            self._awaited = b""
            self._feed(self._sampler, rest)

    def _beyond_trigger(self, token: int) -> bytes | None:
        """What stands after the awaited string, if this token completes it; white space before JSON means nothing."""
        _, found, rest = (self._free_text + self._model.piece(token)).partition(self._awaited)
        return rest.lstrip() if found else None

    def _feed(self, sampler: Any, text: bytes) -> bool:
        """Go on with a text as far as it is allowed; says whether all of it was."""
        for token in self._model.tokenize(text.decode("utf-8", "replace"), add_special=False, parse_special=False):
            if not _allows(sampler, token):
                return False
            llama_cpp.llama_sampler_accept(sampler, token)
        return True

    def restricted(self, logits: Logits) -> Logits:
        """A copy of the logits, in which those of all tokens that are not allowed are minus infinity."""
        self._all["id"] = np.arange(len(logits))
        self._all["logit"] = logits
        _apply(self._sampler, self._all)
        only = np.empty_like(logits)
        only[self._all["id"]] = self._all["logit"]
        return only

    def free(self) -> None:
        """Free the native grammar. Freeing twice is fine."""
        if self._sampler:
            llama_cpp.llama_sampler_free(self._sampler)
            self._sampler = None


def _allows(sampler: Any, token: int) -> bool:
    one = np.array([(token, 0.0, 0.0)], _CANDIDATE)
    _apply(sampler, one)
    return bool(np.isfinite(one["logit"][0]))


def _apply(sampler: Any, candidates: Any) -> None:
    array = llama_cpp.llama_token_data_array(
        data=ctypes.cast(candidates.ctypes.data, ctypes.POINTER(llama_cpp.llama_token_data)),
        size=len(candidates),
        selected=-1,
        sorted=False,
    )
    llama_cpp.llama_sampler_apply(sampler, ctypes.byref(array))


class _Converter(llama_grammar.SchemaConverter):  # type: ignore[misc]  # llama_cpp has no types
    """llama-cpp-python's converter; its own literals lose the backslashes of JSON's escapes."""

    def _format_literal(self, literal: str) -> str:
        """A JSON text as a literal of GBNF; characters stand for themselves where JSON lets them."""
        text = json.dumps(json.loads(literal), ensure_ascii=False)
        if any("\ud800" <= char <= "\udfff" for char in text):  # half characters: no text holds them
            text = literal
        return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def grammar_from_schema(schema: dict[str, Any]) -> str:
    """A GBNF grammar for JSON texts of the given JSON schema.

    Raises:
        GrammarError: the schema uses something that has no grammar.
    """
    try:
        converter = _Converter(prop_order={}, allow_fetch=False, dotall=False, raw_pattern=False)
        # through JSON, so that the caller's own dictionary is not written to
        converter.visit(converter.resolve_refs(json.loads(json.dumps(schema)), "stdin"), "")
        return str(converter.format_grammar())
    # the converter raises whatever it stumbles over: KeyError, TypeError, AssertionError, RecursionError ...
    except Exception as error:
        raise GrammarError(
            f"no grammar can be made from this JSON schema: {type(error).__name__}: {error}", "simplify the model"
        ) from error
