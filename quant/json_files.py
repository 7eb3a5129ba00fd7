"""Reading our own JSON files, which a user may have edited, or mistaken for each other."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from leafwise.quant.errors import QuantizeError
from leafwise.runtime.contracts import Contract

Content = TypeVar("Content", bound=Contract)


def read_json(path: Path, kind: type[Content], *, reading: str, expected: str, hint: str, most: int) -> Content:
    """Read a file's content.

    Args:
        path: the file.
        kind: what it holds.
        reading: what is read, for the message that it cannot be: "the recipe".
        expected: what the file should be, for the message that it is not: "a recipe".
        hint: how such a file is made.
        most: bytes that are read.

    Raises:
        QuantizeError: there is no such file, or it is none of this kind.
    """
    try:
        with path.open("rb") as file:
            data = file.read(most)
    except (OSError, ValueError) as error:  # ValueError: a null byte in the path
        reason = error.strerror if isinstance(error, OSError) else error
        raise QuantizeError(f"cannot read {reading} {path}: {reason}", "check the path") from error
    try:
        return kind.model_validate_json(data)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise QuantizeError(f"{path} is not {expected}: {where}: {first['msg']}", hint) from error
