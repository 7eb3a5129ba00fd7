"""What each role of the team works with: its model, sampling, limit and prompts."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from leafwise.runtime.contracts import Contract


class Role(StrEnum):
    """Who asks a model."""

    GENERALIST = "generalist"
    """Splits a function into helpers."""
    CODER = "coder"
    """Writes, composes and repairs code."""
    TESTER = "tester"
    """Writes checks."""
    CRITIC = "critic"
    """Says what is wrong with a failing candidate."""


class RoleSettings(Contract):
    """How one role differs from the team; what is None is as the team has it."""

    model: str | None = Field(default=None, min_length=1)
    """A name of the registry, the path of a GGUF file, or the URL of a server."""
    temperature: float | None = Field(default=None, ge=0.0, le=5.0)
    """Of its samples; 0 takes the most likely tokens, so that a prompt has one answer. The coder's greedy draft stays
    greedy.
    """
    top_p: float | None = Field(default=None, gt=0.0, le=1.0)
    """See `Sampling.top_p`."""
    top_k: int | None = Field(default=None, ge=0)
    """See `Sampling.top_k`."""
    min_p: float | None = Field(default=None, ge=0.0, lt=1.0)
    """See `Sampling.min_p`."""
    max_tokens: int | None = Field(default=None, ge=16)
    """Most tokens of one answer."""
    prompts: dict[str, str] = Field(default_factory=dict)
    """Texts of the prompts that replace leafwise's own, by name, such as `draft`."""


def role_of(asker: str) -> Role:
    """The role that asks as `coder-open`, for example: what follows the dash only tells its requests apart.

    Raises:
        ValueError: there is no such role.
    """
    return Role(asker.partition("-")[0])
