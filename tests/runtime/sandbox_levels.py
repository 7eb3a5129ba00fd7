"""A sandbox of a wanted level for tests of the real thing; where the machine can't give it, the test is skipped."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest

from leafwise.runtime.errors import SandboxUnavailableError
from leafwise.runtime.sandbox import Sandbox, open_sandbox
from leafwise.runtime.sandbox_contracts import SandboxLevel


def open_or_skip(level: SandboxLevel, allow_imports: Sequence[str] = ()) -> Iterator[Sandbox]:
    """The body of a fixture: opens one worker, and closes it in the end."""
    try:
        opened = open_sandbox(level, workers=1, allow_imports=allow_imports)
    except SandboxUnavailableError as error:
        pytest.skip(f"{error.message} ({error.hint})")
    yield opened
    opened.close()
