"""Reading a task: which function is asked for, and which examples the text gives. Pure functions of the text."""

from __future__ import annotations

import ast
import keyword
import re
from collections import Counter
from collections.abc import Sequence

from leafwise.agents.contracts import Spec, Task
from leafwise.agents.errors import TaskError
from leafwise.agents.examples import NO_CODE, called_names, find_examples
from leafwise.agents.given import given_code
from leafwise.agents.usage_examples import find_usage_examples
from leafwise.agents.worded_examples import find_worded_examples
from leafwise.runtime.sandbox_contracts import Check
from leafwise.runtime.syntax import parse

_NAMED = re.compile(
    r"\b(?:function|method|routine)\s+(?P<sure>(?:called\s+|named\s+)?[`'\"]?)(?P<name>[A-Za-z_]\w*)[`'\"]?"
    r"(?P<arguments>\([^()]*\))?",
    re.IGNORECASE,
)
_ASKED = re.compile(
    r"\b(?:def|write|implement|create|define|complete)\s+(?P<sure>`?)(?P<name>[A-Za-z_]\w*)(?P<arguments>\([^()]*\))",
    re.IGNORECASE,
)
# words that follow "function" in prose
_PROSE = re.compile(
    r"that|which|to|for|in|of|with|called|named|takes|returns|should|must|is|and|or|on|from|it|has|the|a|an|as|by|given"
    r"|body|name|where|below|above|can|will|does|so|not|computes|calculates|accepts|gets|receives|converts|counts|finds"
    r"|checks|prints|adds|signature|definition|\w+ing",
    re.IGNORECASE,
)


def read_task(
    statement: str,
    examples: Sequence[str] = (),
    tests: tuple[str, tuple[Check, ...]] = ("", ()),
    allow_imports: Sequence[str] = (),
) -> Task:
    """Read a task.

    Args:
        statement: the user's words, or Python with a signature and a docstring.
        examples: further examples, each in one of the forms that are found in text (`f(x) == y`).
        tests: setup code and checks of a tests file (see `agents.tests_file`).
        allow_imports: packages that the code may import.

    Raises:
        TaskError: the statement is empty, or an example is in none of the known forms.
    """
    try:
        "\n".join((statement, *examples)).encode()
    except UnicodeEncodeError as error:
        raise TaskError("the task is not text in UTF-8", "save it as UTF-8 and give it with --file") from error
    if not statement.strip():
        raise TaskError("the task is empty", 'say what to write: leafwise solve "Write a function ..."')
    given: list[Check] = []
    for text in examples:
        found = find_usage_examples(text) or find_examples(text)
        if not found:
            raise TaskError(f"cannot read the example {text.strip()[:80]!r}", "write it as: f(2, 3) == 5")
        given += found
    setup, checks = tests
    signature = find_signature(statement)
    entry_point = signature[0] if signature else find_name(statement)
    read = [*find_examples(statement), *find_worded_examples(statement, signature[1] if signature else None)]
    if signature is None and not _about([*read, *given, *checks], entry_point):
        # a word of the prose is no name if every example calls something else
        entry_point = _most_called([*read, *given, *checks]) or entry_point
    used = [e for e in find_usage_examples(statement) if entry_point in (None, *called_names(e.code))]
    return Task(
        statement=statement.strip(),
        entry_point=entry_point,
        signature=signature[1] if signature else None,
        # what the user gave as an example or a test is kept whatever it calls
        examples=tuple(dict.fromkeys([*_about(read, entry_point), *used, *given, *checks])),
        setup=setup,
        given=given_code(statement, entry_point),
        allow_imports=tuple(allow_imports),
    )


def spec_of_stub(function: ast.FunctionDef) -> Spec:
    """The spec of a child function from its stub: signature, docstring, and the examples in the docstring."""
    doc = ast.get_docstring(function) or function.name.replace("_", " ").strip()
    examples = _about(find_examples(doc), function.name)
    return Spec(statement=doc, entry_point=function.name, signature=signature_of(function), examples=tuple(examples))


def signature_of(function: ast.FunctionDef) -> str:
    """The function's `def` line, on one line."""
    returns = f" -> {ast.unparse(function.returns)}" if function.returns else ""
    return f"def {function.name}({ast.unparse(function.args)}){returns}:"


# --- names and signatures --------------------------------------------------------------------------------------------


def find_signature(text: str) -> tuple[str, str] | None:
    """Name and `def` line of the function asked for.

    Of the outermost `def`s the last one wins, because the code of a task puts its helper functions first; tests
    (`test_add`, `check`) do not count. Without any, "function add(a, b)" is read.
    """
    defs = list(re.finditer(r"^[ \t]*def\s", text, re.MULTILINE))
    indents = [len(match[0].expandtabs()) for match in defs]
    outer = [m for m, indent in zip(defs, indents, strict=True) if indent == min(indents)]
    found = [signature for match in outer if (signature := _parse_def(text[match.start() :].lstrip()))]
    if found := [f for f in found if not f[0].startswith("test_") and f[0] != "check"] or found:
        return found[-1]
    for match in (*_NAMED.finditer(text), *_ASKED.finditer(text)):
        if match["arguments"] and (signature := _parse_def(f"def {match['name']}{match['arguments']}:")):
            return signature
    return None


def _parse_def(text: str) -> tuple[str, str] | None:
    for colon in [m.end() for m in re.finditer(r":", text[:1000])] or [0]:
        try:
            function = parse(text[:colon] + " pass").body[0]
            if isinstance(function, ast.FunctionDef):
                return function.name, signature_of(function)
        except (*NO_CODE, IndexError):
            continue
    return None


def find_name(text: str) -> str | None:
    """The name of the function asked for, from prose such as "a function called `add`"."""
    for match in (*_NAMED.finditer(text), *_ASKED.finditer(text)):
        name = match["name"]
        if (match["sure"] or match["arguments"] or not _PROSE.fullmatch(name)) and not keyword.iskeyword(name):
            return name
    return None


def _most_called(examples: Sequence[Check]) -> str | None:
    names = Counter(name for example in examples for name in called_names(example.code))
    return names.most_common(1)[0][0] if names else None


def _about(examples: Sequence[Check], name: str | None) -> list[Check]:
    """The examples that call the named function."""
    return [e for e in examples if name in called_names(e.code)]
