"""What a verification of a model file says: findings, each with what is wrong and where."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from leafwise.runtime.contracts import Contract

TEMPLATE = "chat template"
"""Where the findings about the chat template are."""
_MOST = 100  # findings of one file


class Order(Contract):
    """What the checking process is told."""

    deep: bool = True
    """Whether to look at the tensors' data too."""
    template: bool = True
    """Whether to render the chat template."""
    sha256: bool = False
    """Whether to hash the whole file."""
    memory_bytes: int = Field(default=2**29, gt=0)
    """Address space it may take, beside what it has when it starts."""
    seconds: float = Field(default=60.0, gt=0)
    """Processor time it may take."""


class Finding(Contract):
    """Something that is wrong with a model file."""

    severity: Literal["error", "warning"]
    """`error`: the file can't be used, or may take the process down. `warning`: it can, and is not as it should be."""
    where: str
    """For example `tensor blk.0.attn_q.weight`, `metadata llama.block_count`, `tokenizer`. Printable."""
    what: str
    """What is wrong there, one line. Printable."""

    def __str__(self) -> str:
        return f"{self.where}: {self.what}"


class Verification(Contract):
    """The verdict on a model file."""

    file_bytes: int = Field(ge=0)
    """Size of the file."""
    findings: tuple[Finding, ...]
    """Errors first; at most 100 of each severity."""
    deep: bool
    """Whether the tensors' data was looked at, beside the header."""
    sha256: str | None = None
    """Of the whole file; None where that was not asked for."""
    tensors: int = Field(default=0, ge=0)
    """Tensors in the file."""
    seconds: float = Field(default=0.0, ge=0)
    """What the checks took."""

    @property
    def sound(self) -> bool:
        """Whether there is no error."""
        return not self.errors

    @property
    def errors(self) -> tuple[Finding, ...]:
        """The findings that make the file unusable."""
        return tuple(finding for finding in self.findings if finding.severity == "error")


class Findings:
    """Collects findings."""

    def __init__(self) -> None:
        self._found: dict[str, list[Finding]] = {"error": [], "warning": []}

    def error(self, where: str, what: str) -> None:
        """Note what makes the file unusable."""
        self._add(Finding(severity="error", where=printable(where), what=printable(what)))

    def warning(self, where: str, what: str) -> None:
        """Note what is not as it should be."""
        self._add(Finding(severity="warning", where=printable(where), what=printable(what)))

    def require(self, condition: bool, where: str, what: str) -> bool:
        """Note an error unless the condition holds; gives the condition."""
        if not condition:
            self.error(where, what)
        return condition

    @property
    def errors(self) -> int:
        """How many errors there are so far."""
        return len(self._found["error"])

    def all(self) -> tuple[Finding, ...]:
        """The findings, errors first."""
        return (*self._found["error"], *self._found["warning"])

    def _add(self, finding: Finding) -> None:
        if len(self._found[finding.severity]) < _MOST:
            self._found[finding.severity].append(finding)


def printable(text: str, most: int = 300) -> str:
    """Text of a file must not steer the terminal, nor fill it."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text[:most])
