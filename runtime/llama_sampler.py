"""Drawing tokens: one llama.cpp sampler chain per sequence, and grammars made from JSON schemas."""

from __future__ import annotations

import json
from typing import Any

import llama_cpp
from llama_cpp import llama_grammar

from leafwise.runtime.contracts import Sampling
from leafwise.runtime.errors import GrammarError
from leafwise.runtime.llama import LlamaModel


class Sampler:
    """A llama.cpp sampler chain: grammar, top-k, top-p, min-p, temperature, draw."""

    def __init__(self, model: LlamaModel, sampling: Sampling, seed: int, grammar: str | None) -> None:
        self._model = model
        self._chain = llama_cpp.llama_sampler_chain_init(llama_cpp.llama_sampler_chain_default_params())
        if grammar is not None:
            self._add(llama_cpp.llama_sampler_init_grammar(model.vocab, grammar.encode(), b"root"))
        if sampling.temperature == 0.0:
            self._add(llama_cpp.llama_sampler_init_greedy())
            return
        if sampling.top_k:
            self._add(llama_cpp.llama_sampler_init_top_k(sampling.top_k))
        if sampling.top_p < 1.0:
            self._add(llama_cpp.llama_sampler_init_top_p(sampling.top_p, 1))
        if sampling.min_p > 0.0:
            self._add(llama_cpp.llama_sampler_init_min_p(sampling.min_p, 1))
        self._add(llama_cpp.llama_sampler_init_temp(sampling.temperature))
        self._add(llama_cpp.llama_sampler_init_dist(seed))

    def _add(self, sampler: Any) -> None:
        if not sampler:
            self.free()
            raise GrammarError("llama.cpp does not accept the grammar made from the JSON schema", "simplify the model")
        llama_cpp.llama_sampler_chain_add(self._chain, sampler)

    def sample(self, row: int) -> int:
        """Draw the token that follows the given row of the last batch, and advance the grammar by it."""
        return int(llama_cpp.llama_sampler_sample(self._chain, self._model.context, row))

    def free(self) -> None:
        """Free the chain. Freeing twice is fine."""
        if self._chain:
            llama_cpp.llama_sampler_free(self._chain)
            self._chain = None


def grammar_from_schema(schema: dict[str, Any]) -> str:
    """A GBNF grammar for JSON texts of the given JSON schema.

    Raises:
        GrammarError: the schema uses something that has no grammar.
    """
    try:
        return str(llama_grammar.json_schema_to_gbnf(json.dumps(schema)))
    # the converter raises whatever it stumbles over: KeyError, TypeError, AssertionError, RecursionError ...
    except Exception as error:
        raise GrammarError(
            f"no grammar can be made from this JSON schema: {type(error).__name__}: {error}", "simplify the model"
        ) from error
