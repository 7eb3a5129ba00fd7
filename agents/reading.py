"""Reading a task: which function is asked for, and which examples the text gives. Pure functions of the text."""

from __future__ import annotations

import ast
import itertools
import keyword
import re
import textwrap
from collections import Counter
from collections.abc import Collection, Iterator, Sequence

from leafwise.agents.class_tasks import (
    class_asked_at,
    class_name,
    find_method_examples,
    has_class_code,
    without_classes,
)
from leafwise.agents.contracts import Spec, Task
from leafwise.agents.errors import TaskError
from leafwise.agents.examples import NO_CODE, called_names, find_examples
from leafwise.agents.given import given_code
from leafwise.agents.given_examples import read_example
from leafwise.agents.usage_examples import find_usage_examples
from leafwise.agents.worded_examples import find_worded_examples
from leafwise.runtime.sandbox_contracts import Check
from leafwise.runtime.syntax import parse

_NAMED = re.compile(
    r"\b(?:function|method|routine)\s+(?P<sure>(?:called\s+|named\s+)?[`'\"]?)(?P<name>[^\W\d]\w*)[`'\"]?"
    r"(?P<arguments>\([^()]*\))?",
    re.IGNORECASE,
)
_ASKED = re.compile(
    r"(?<!async )\b(?:def|write|implement|create|define|complete)\s+(?P<sure>`?)(?P<name>[^\W\d]\w*)"
    r"(?P<arguments>\([^()]*\))",
    re.IGNORECASE,
)
_DEF = re.compile(r"^[ \t]*(?:async[ \t]+)?def\s", re.MULTILINE)
_DEFINITIONS = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
_METHOD = re.compile(r"^[ \t]+(?:async[ \t]+)?def[ \t]+(?P<name>\w+)", re.MULTILINE)
_ASYNC_DEF = re.compile(r"\basync[ \t]+def[ \t]+\w")
_ASYNC = re.compile(
    r"\b(?:write|implement|create|define|complete)\s+(?:an?|the|this)\s+"
    r"(?:async(?:hronous)?\s+(?:python\s+)?(?:function|method|generator|class)|(?:python\s+)?coroutine)\b",
    re.IGNORECASE,
)
# words that follow "function" in prose
_PROSE = re.compile(
    r"that|which|to|for|in|of|with|called|named|takes|returns|should|must|is|and|or|on|from|it|has|the|a|an|as|by|given"
    r"|body|name|where|below|above|can|will|does|so|not|computes|calculates|accepts|gets|receives|converts|counts|finds"
    r"|checks|prints|adds|signature|definition|whose|who|when|if|into|without|\w+ing",
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
        examples: further examples, each in one of the forms that are found in text (`f(x) == y`), or an assert.
        tests: setup code and checks of a tests file (see `agents.tests_file`).
        allow_imports: packages that the code may import.

    Raises:
        TaskError: the statement is empty or asks for asynchronous code, or an example is in none of the known forms.
    """
    statement = _usable(statement, examples)
    name, signature, read = _asked(statement)
    given = [check for text in examples for check in _given(text, name)]
    setup, checks = tests
    is_class = signature is None and _asks_for_class(statement)
    if signature is None and not (is_class and name) and not _about([*read, *given, *checks], name):
        # a word of the prose is no name if every example calls something else
        name = _most_called([*read, *given, *checks], _defined(setup)) or name
    used = [e for e in find_usage_examples(statement) if name in (None, *called_names(e.code))]
    return Task(
        statement=statement,
        entry_point=None if is_class else name,
        signature=signature,
        # what the user gave as an example or a test is kept whatever it calls
        examples=tuple(dict.fromkeys([*_about(read, name), *used, *given, *checks])),
        setup=setup,
        given=given_code(statement, name),
        allow_imports=tuple(allow_imports),
    )


def _usable(statement: str, examples: Sequence[str]) -> str:
    """The statement without a byte order mark, and flush left if all of it is indented: its lines stand as they did."""
    try:
        "\n".join((statement, *examples)).encode()
    except UnicodeEncodeError as error:
        raise TaskError("the task is not text in UTF-8", "save it as UTF-8 and give it with --file") from error
    text = statement.removeprefix("\ufeff").strip("\r\n")
    text = (textwrap.dedent(text) if text[:1].isspace() else text).strip()
    if not text:
        raise TaskError("the task is empty", 'say what to write, for example "Write a function add(a, b) that ..."')
    if _asks_for_async(text):
        raise TaskError(
            "the task asks for an asynchronous function, which cannot be checked",
            "ask for a plain function, and call it with asyncio.to_thread",
        )
    return text


def _given(text: str, about: str | None) -> list[Check]:
    found = read_example(text, about)
    if not found:
        raise TaskError(f"cannot read the example {text.strip()[:80]!r}", "write it as: f(2, 3) == 5")
    return found


def _asked(statement: str) -> tuple[str | None, str | None, list[Check]]:
    """The name of what is asked for, a function's signature, and the examples that the text says in one expression."""
    if signature := find_signature(statement):
        return *signature, [*find_examples(statement, signature[0]), *find_worded_examples(statement, signature[1])]
    if _asks_for_class(statement):
        return class_name(statement), None, [*find_examples(statement), *find_method_examples(statement)]
    name = find_name(statement)
    return name, None, find_examples(statement, name)


def spec_of_stub(function: ast.FunctionDef) -> Spec:
    """The spec of a child function from its stub: signature, docstring, and the examples in the docstring."""
    doc = ast.get_docstring(function) or function.name.replace("_", " ").strip()
    examples = _about(find_examples(doc, function.name), function.name)
    return Spec(statement=doc, entry_point=function.name, signature=signature_of(function), examples=tuple(examples))


def signature_of(function: ast.FunctionDef | ast.AsyncFunctionDef) -> str:
    """The function's `def` line, on one line."""
    kind = "async def" if isinstance(function, ast.AsyncFunctionDef) else "def"
    returns = f" -> {ast.unparse(function.returns)}" if function.returns else ""
    return f"{kind} {function.name}({ast.unparse(function.args)}){returns}:"


# --- names and signatures --------------------------------------------------------------------------------------------


def find_signature(text: str) -> tuple[str, str] | None:
    """Name and `def` line of the function asked for; None for a class.

    Of the outermost `def`s the last one wins, because the code of a task puts its helper functions first; tests
    (`test_add`, `check`) and methods do not count. Without any, "function add(a, b)" is read.
    """
    rest = without_classes(text)
    if found := _outermost_defs(rest):
        return None if _is_async(found[-1]) else found[-1]
    for match in () if _asks_for_class(text) else _named(rest):
        if match["arguments"] and (signature := _parse_def(f"def {match['name']}{match['arguments']}:")):
            return signature
    return None


def _asks_for_class(text: str) -> bool:
    """Whether a class is asked for: in words, before any function is named, or by code that has nothing else."""
    rest = without_classes(text)
    if _outermost_defs(rest):
        return False
    methods = {match["name"] for match in _METHOD.finditer(text)}  # there are no other functions
    named = [match.start() for match in _sure_names(rest) if match["name"] not in methods]
    asked = class_asked_at(rest)
    return asked < min(named, default=len(rest)) if asked is not None else not named and has_class_code(text)


def _asks_for_async(text: str) -> bool:
    rest = without_classes(text)
    if found := _outermost_defs(rest):
        return _is_async(found[-1])
    return bool(_ASYNC.search(text) or (find_name(text) is None and _ASYNC_DEF.search(text)))


def _is_async(signature: tuple[str, str]) -> bool:
    return signature[1].startswith("async ")


def _outermost_defs(text: str) -> list[tuple[str, str]]:
    """Names and `def` lines of the least indented functions, without tests where there is anything else."""
    defs = list(_DEF.finditer(text))
    indents = [len(match[0].expandtabs()) - len(match[0].expandtabs().lstrip()) for match in defs]
    outer = [m for m, indent in zip(defs, indents, strict=True) if indent == min(indents)]
    found = [signature for match in outer if (signature := _parse_def(text[match.start() :].lstrip()))]
    return [f for f in found if not f[0].startswith("test_") and f[0] != "check"] or found


def _parse_def(text: str) -> tuple[str, str] | None:
    for colon in [m.end() for m in re.finditer(r":", text[:1000])] or [0]:
        try:
            function = parse(text[:colon] + " pass").body[0]
            if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
                return function.name, signature_of(function)
        except (*NO_CODE, IndexError):
            continue
    return None


def find_name(text: str) -> str | None:
    """The name of the function asked for, from prose such as "a function called `add`"; None for a class."""
    if _asks_for_class(text):
        return None
    return next((match["name"] for match in _sure_names(without_classes(text))), None)


def _named(text: str) -> Iterator[re.Match[str]]:
    return itertools.chain(_NAMED.finditer(text), _ASKED.finditer(text))


def _sure_names(text: str) -> Iterator[re.Match[str]]:
    """Where a function is named, and not only talked about."""
    for match in _named(text):
        name = match["name"]
        if (match["sure"] or match["arguments"] or not _PROSE.fullmatch(name)) and not keyword.iskeyword(name):
            yield match


def _most_called(examples: Sequence[Check], without: Collection[str]) -> str | None:
    names = Counter[str]()
    for example in examples:
        called = called_names(example.code)
        if not any(name in without and name.lower().startswith("test") for name in called):
            # what the arguments of a test are made with is not what it calls
            names.update(name for name in called if name not in without)
    return names.most_common(1)[0][0] if names else None


def _defined(setup: str) -> set[str]:
    """Functions and classes of a tests file: its tests call them, and they are not what is asked for."""
    try:
        body = parse(setup).body
    except NO_CODE:  # a data set's; whoever runs it will hear of it
        return set()
    return {node.name for node in body if isinstance(node, _DEFINITIONS)}


def _about(examples: Sequence[Check], name: str | None) -> list[Check]:
    """The examples that call the named function."""
    return [e for e in examples if name in called_names(e.code, name)]
