"""Examples that name the arguments instead of writing the call. Pure functions of the text.

| form | read as |
|---|---|
| `For lst = [1, 2], k = 1 the output should be [2]` | `f([1, 2], 1)` gives `[2]` |
| `Input: lst = [1, 2], k = 1`, `Output: [2]` below it | the same |
| `Input: [1, 2]`, `Output: 2` below it, and one parameter | `f([1, 2])` gives `2` |
"""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence

from leafwise.agents.examples import as_python, leading_value
from leafwise.runtime.sandbox_contracts import Check
from leafwise.runtime.syntax import parse

_BEGINS = re.compile(r"\b(?:for|if|when|with|given|inputs?)\b[ \t]*:?\s*`?", re.IGNORECASE)
_NEXT = re.compile(r"`?(?:[ \t]*,\s*|[ \t]+and[ \t]+|[ \t]*\n[ \t]*|[ \t]*;[ \t]*)`?(?:and[ \t]+)?")
_RESULT = re.compile(
    r"[^\n]{0,80}?\s*\b(?:outputs?|results?|answer|returns?)\b(?:[ \t]+value)?[ \t]*"
    r"(?::|=>?|->|(?:(?:should|must|will|would)[ \t]+be|is)\b:?)\s*`?",
    re.IGNORECASE,
)
_FURTHER = re.compile(r"\b(?:inputs?|for|example)\b", re.IGNORECASE)


def find_worded_examples(text: str, signature: str | None) -> list[Check]:
    """Examples that give each argument by its parameter's name, or one value as `Input:`.

    Args:
        text: the task's words.
        signature: the function's `def` line; without it nothing is found, since the order of arguments is unknown.

    Returns:
        Checks that call the function, each once.
    """
    if signature is None:
        return []
    function = parse(signature + " pass").body[0]
    assert isinstance(function, ast.FunctionDef)
    names = [a.arg for a in (*function.args.posonlyargs, *function.args.args)]
    if not names:
        return []
    found = (_example_at(text[match.end() :], match[0], function.name, names) for match in _BEGINS.finditer(text))
    return list(dict.fromkeys(check for check in found if check))


def _example_at(rest: str, begin: str, function: str, names: Sequence[str]) -> Check | None:
    named = _named(rest, names)
    if named is None and "input" in begin.lower() and len(names) == 1 and (value := leading_value(rest)):
        named = [as_python(value)], len(value)
    if named is None:
        return None
    values, end = named
    rest = rest[end:]
    result = _RESULT.match(rest)
    if result is None or _FURTHER.search(result[0]):
        return None
    expected = leading_value(rest[result.end() :])
    if expected is None:
        return None
    call = ast.unparse(parse(f"{function}({', '.join(values)})", mode="eval"))
    return Check(code=call, expected=as_python(expected))


def _named(text: str, names: Sequence[str]) -> tuple[list[str], int] | None:
    """The value of each parameter, in the order of the signature, and where the last of them ends."""
    values: dict[str, str] = {}
    end = 0
    while len(values) < len(names):
        assigned = re.match(r"(\w+)[ \t]*=[ \t]*", text[end:])
        if assigned is None or assigned[1] not in names or assigned[1] in values:
            return None
        start = end + assigned.end()
        value = leading_value(text[start:])
        if value is None:
            return None
        values[assigned[1]] = as_python(value)
        end = start + len(value)
        if len(values) < len(names):
            gap = _NEXT.match(text[end:])
            if gap is None:
                return None
            end += gap.end()
    return [values[name] for name in names], end
