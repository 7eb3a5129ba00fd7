"""Reading a task: which function is asked for, and which examples the text gives. Pure functions of the text."""

from __future__ import annotations

import ast
import builtins
import doctest
import itertools
import keyword
import re
from collections import Counter
from collections.abc import Callable, Sequence

from leafwise.agents.contracts import Spec, Task
from leafwise.agents.errors import TaskError
from leafwise.runtime.contracts import Check

_CALL = re.compile(r"(?<![\w.])([A-Za-z_]\w*)\(")
_CONNECTOR = re.compile(
    r"`?\s*(?:==>|==|-+>|=>|→|➞|➔|=|#\s*(?:=>|->|→|==|returns?:?)?|[,;.]?\s*(?:output|result)\s*:|(?P<words>"
    r"(?:(?:should|must|will|would) )?(?:returns?|equals?|gives?|yields?|produces?|outputs?|evaluates? to"
    r"|(?:be|is)(?: equal to)?):?(?:\s+the\s+(?:string|list|tuple|dict|dictionary|set|number|integer|value|array))?"
    r"))\s*`?\s*",
    re.IGNORECASE,
)
_JSON = ("true", "false")
_OPENING = ("[", "(", "{")
_SCALAR = re.compile(
    r"[-+]?(?:0[xX][\da-fA-F]+|0[bB][01]+|\d[\d_]*(?:\.\d+)?(?:[eE][-+]?\d+)?|\.\d+)(?!\w)"
    r"|(?:None|[Tt]rue|[Ff]alse)\b|set\(\)"
    r"""|[bBrRuU]{0,2}(?:'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*")(?!['"\w])"""
)
# after a value: it is only the beginning of a formula, of "1,000" or of "5-digit"
_GOES_ON = re.compile(r"`?[ \t]*(?:[*/%^+<>]|!?[ \t]*=|-[ \t]*[\d(])|[.,]\d|\.\.|-\w|[ \t]+or\b")
# after a number in prose: "is 3 times as large", "returns 2 values"
_COUNTED = re.compile(
    r"[ \t]+(?!(?:and|but|because|since|while|whereas|as|for|if|when|where|so|then|not|with|which|in)\b|\w+\()[A-Za-z]"
)
# before a call: its definition, or a formula that it is part of
_BEFORE_NO_CALL = re.compile(r"(?:\bdef|\w[ \t]*[+*/%])\s*$")
_RAISES = re.compile(r"`?\s*(?:should |must |will )?raises?\s+(?:an?\s+)?`?([A-Za-z_]\w*)`?")
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
_LONGEST_VALUE = 2000
_MOST_BRACKETS = 100
_NO_CODE = (SyntaxError, ValueError, TypeError, MemoryError, RecursionError)


def read_task(statement: str, examples: Sequence[str] = (), tests: tuple[str, tuple[Check, ...]] = ("", ())) -> Task:
    """Read a task.

    Args:
        statement: the user's words, or Python with a signature and a docstring.
        examples: further examples, each in one of the forms that are found in text (`f(x) == y`).
        tests: setup code and checks of a tests file (see `agents.tests_file`).

    Raises:
        TaskError: the statement is empty, or an example is in none of the known forms.
    """
    if not statement.strip():
        raise TaskError("the task is empty", 'say what to write: leafwise solve "Write a function ..."')
    given: list[Check] = []
    for text in examples:
        found = find_examples(text)
        if not found:
            raise TaskError(f"cannot read the example {text.strip()[:80]!r}", "write it as: f(2, 3) == 5")
        given += found
    setup, checks = tests
    signature = find_signature(statement)
    entry_point = signature[0] if signature else find_name(statement)
    read = find_examples(statement)
    if signature is None and not _about([*read, *given, *checks], entry_point):
        # a word of the prose is no name if every example calls something else
        entry_point = _most_called([*read, *given, *checks]) or entry_point
    return Task(
        statement=statement.strip(),
        entry_point=entry_point,
        signature=signature[1] if signature else None,
        # what the user gave as an example or a test is kept whatever it calls
        examples=tuple(_unique([*_about(read, entry_point), *given, *checks])),
        setup=setup,
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
            function = ast.parse(text[:colon] + " pass").body[0]
            if isinstance(function, ast.FunctionDef):
                return function.name, signature_of(function)
        except (*_NO_CODE, IndexError):
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


def called_names(code: str) -> list[str]:
    """Names of plain functions that a piece of code calls, builtins left out, outermost first."""
    try:
        tree = ast.parse(code)
    except _NO_CODE:
        return []
    calls = [node.func.id for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)]
    return [name for name in calls if not hasattr(builtins, name)]


# --- examples --------------------------------------------------------------------------------------------------------


def find_examples(text: str) -> list[Check]:
    """Examples in a text: doctest lines, `f(x) == y`, `f(x) -> y`, "f(x) returns y", "f(x) raises ValueError"."""
    found, rest = _find_doctests(text)
    position = 0
    while match := _CALL.search(rest, position):
        position = match.end()
        call = _balanced_call(rest, match.start())
        line = rest[rest.rfind("\n", 0, match.start()) + 1 : match.start()]
        if call is None or _BEFORE_NO_CALL.search(line) or not _stands_alone(call):
            continue
        if example := _example_after(call, rest[match.start() + len(call) :]):
            found.append(example)
            position = match.start() + len(call)
    return _unique(found)


def _example_after(call: str, rest: str) -> Check | None:
    if raises := _RAISES.match(rest):
        return Check(code=call, raises=raises[1]) if _is_exception(raises[1]) else None
    connector = _CONNECTOR.match(rest)
    if connector is None or call.startswith("print("):
        return None
    rest = rest[connector.end() :]
    value = _leading_literal(rest)
    if value is None or _GOES_ON.match(rest[len(value) :]):
        return None
    counted = connector["words"] and not value.startswith(_OPENING)
    if counted and _COUNTED.match(rest[len(value) :]):
        return None
    return Check(code=call, expected=value.title() if value in _JSON else value)


def _is_exception(name: str) -> bool:
    kind = getattr(builtins, name, None)
    return isinstance(kind, type) and issubclass(kind, BaseException)


def _find_doctests(text: str) -> tuple[list[Check], str]:
    """Examples of doctest lines, and the text without them."""
    lines, found = text.split("\n"), []
    prompts = [i for i, line in enumerate(lines) if line.lstrip().startswith(">>>")]
    for start, end in itertools.pairwise([*prompts, len(lines)]):
        # each by itself: one line that only looks like a doctest must not hide the others
        block = "\n".join([re.sub(r">>>(?=\S)", ">>> ", lines[start], count=1), *lines[start + 1 : end]])
        try:
            example = doctest.DocTestParser().get_examples(block)[0]
        except (ValueError, IndexError):
            continue
        height = len(example.source.splitlines())
        if check := _check_of_doctest(example):
            found.append(check)
            height += len((check.expected or example.want).splitlines())
        lines[start : start + height] = [""] * height
    return found, "\n".join(lines)


def _check_of_doctest(example: doctest.Example) -> Check | None:
    source, want = example.source.strip(), example.want.strip()
    if not _is_expression(source) or not _stands_alone(source):
        return None
    if example.exc_msg:
        return Check(code=source, raises=example.exc_msg.split(":")[0].strip().split(".")[-1])
    match ast.parse(source, mode="eval").body:
        case ast.Call(func=ast.Name(id="print"), args=[ast.expr() as printed], keywords=[]) if want:
            return Check(code=f"str({ast.unparse(printed)})", expected=repr(want))
    if not _is_literal(want):
        want = want.split("\n", 1)[0].strip()  # prose may follow without an empty line
    return Check(code=source, expected=want) if _is_literal(want) else None


def _stands_alone(code: str) -> bool:
    """Whether an expression calls a function to be written and needs no variable that the text only talks about."""
    names = [node for node in ast.walk(ast.parse(code, mode="eval")) if isinstance(node, ast.Name | ast.arg)]
    called = set(called_names(code))
    bound = called | {n.arg if isinstance(n, ast.arg) else n.id for n in names if not _is_read(n)}
    return bool(called) and all(n.id in bound or hasattr(builtins, n.id) for n in names if isinstance(n, ast.Name))


def _is_read(node: ast.Name | ast.arg) -> bool:
    return isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)


def _balanced_call(text: str, start: int) -> str | None:
    """The call expression that begins at `start`, up to its closing parenthesis."""
    return _up_to("[)]", text[start : start + _LONGEST_VALUE], _is_expression)


def _leading_literal(text: str) -> str | None:
    """The Python literal that the text begins with; only a value in brackets may go over several lines."""
    text = text[:_LONGEST_VALUE]
    if match := _SCALAR.match(text):
        return match[0] if match[0] in _JSON or _is_literal(match[0]) else None
    return _up_to("[)\\]}]", text, _is_literal) if text.startswith(_OPENING) else None


def _up_to(closing: str, text: str, accept: Callable[[str], bool]) -> str | None:
    """The shortest acceptable beginning of the text that ends with a closing bracket."""
    ends = itertools.islice((m.end() for m in re.finditer(closing, text)), _MOST_BRACKETS)
    return next((text[:end] for end in ends if _may_close(text[:end]) and accept(text[:end])), None)


def _may_close(text: str) -> bool:
    """Whether the brackets may be closed; cheap, so that nested calls are not parsed at every bracket."""
    return "'" in text or '"' in text or sum(map(text.count, "([{")) == sum(map(text.count, ")]}"))


def _is_literal(text: str) -> bool:
    try:
        ast.literal_eval(text)
    except _NO_CODE:
        return False
    return True


def _is_expression(code: str) -> bool:
    try:
        ast.parse(code, mode="eval")
    except _NO_CODE:
        return False
    return True


def _about(examples: Sequence[Check], name: str | None) -> list[Check]:
    """The examples that call the named function."""
    return [e for e in examples if name in called_names(e.code)]


def _unique(examples: Sequence[Check]) -> list[Check]:
    return list(dict.fromkeys(examples))
