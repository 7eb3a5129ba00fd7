"""A coder's answer after reading: what the coder gives to the steps, and what they store until it can be run."""

from __future__ import annotations

from leafwise.runtime.contracts import Contract


class Written(Contract):
    """A coder's answer, read."""

    code: str
    """A module that parses; empty if there is none in the answer."""
    rule: str
    """The rule by which it was found: see `extract`."""
    answer: str = ""
    """The answer as it was written, with the beginning that was put into the model's mouth."""
    cut: bool = False
    """Whether the answer hit its token limit."""
    logprob: float | None = None
    """Mean natural-log probability per token of the answer, if it was computed."""
