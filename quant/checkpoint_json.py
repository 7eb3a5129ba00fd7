"""JSON files of a checkpoint, read without trusting them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from leafwise.quant.errors import QuantizeError


def read_object(path: Path) -> dict[str, Any]:
    """The object in a JSON file.

    Raises:
        QuantizeError: the file is missing, cannot be read, or holds something else.
    """
    try:
        text = path.read_text(encoding="utf-8")
        found = json.loads(text)
        if "\\ud" in text.lower():  # half a surrogate pair is no text, and cannot be written to a file
            json.dumps(found, ensure_ascii=False).encode()
    except FileNotFoundError as error:
        raise QuantizeError(f"there is no {path.name} in {path.parent}", "download the model again") from error
    except OSError as error:
        raise QuantizeError(f"cannot read {path}: {error.strerror}", "check its permissions") from error
    except (ValueError, RecursionError) as error:
        raise QuantizeError(f"{path} is not JSON: {error}", "download the model again") from error
    if not isinstance(found, dict):
        raise QuantizeError(f"{path} holds no JSON object", "download the model again")
    return found


def read_optional(path: Path) -> dict[str, Any]:
    """The object in a JSON file, empty where there is no such file.

    Raises:
        QuantizeError: as `read_object`.
    """
    return read_object(path) if path.exists() else {}
