"""What prompts have in common: the task, the evidence of a failure, and examples as a tests file would have them."""

from __future__ import annotations

import ast
import itertools

from leafwise.agents.contracts import Failure, Spec
from leafwise.agents.given import parse_code
from leafwise.agents.prompting import PromptSet
from leafwise.runtime.sandbox_contracts import Check
from leafwise.runtime.syntax import parse

_SHOWN_EXAMPLES = 4
_LONGEST_SHOWN = 300


def task_text(prompts: PromptSet, spec: Spec) -> str:
    """The task, as every prompt about it begins: what they share is computed once, and found in the engine's cache."""
    return prompts.render(
        "task",
        statement=spec.statement,
        is_code=parse_code(spec.statement) is not None,
        examples=shown_examples(spec),
        imports=", ".join(spec.allow_imports),
        context=spec.context,
    )


def failure_text(failure: Failure) -> str:
    """The evidence, in the words of the repair prompt."""
    where = f" (raised at line {failure.line})" if failure.line else ""
    code, expected = shorten(failure.code), shorten(failure.expected)
    text = f"It fails at `{code}`: expected {expected}, got {failure.observed}{where}."
    if not failure.trace:
        return text
    return f"{text}\nThe last lines that ran, with the values they gave:\n\n```python\n{failure.trace}\n```"


def shorten(text: str) -> str:
    """A long text with its middle left out, and marked."""
    return text if len(text) <= _LONGEST_SHOWN else f"{text[: _LONGEST_SHOWN - 20]} ... {text[-15:]}"


def shown_examples(spec: Spec) -> str:
    """Examples that the statement does not contain already, as a tests file would have them."""
    hidden = [e for e in spec.examples if e.code not in spec.statement]
    texts = [_shown_example(example, spec.setup) for example in hidden]
    short = [text for text in texts if len(text[0]) <= 4 * _LONGEST_SHOWN]
    return "\n".join([*dict.fromkeys(itertools.chain(*short))][:_SHOWN_EXAMPLES])


def _shown_example(example: Check, setup: str) -> tuple[str, ...]:
    """An example, or what it calls if that says more, and the call if its arguments say something too."""
    if example.expected is not None:
        return (f"assert {example.code} == {example.expected}",)
    if example.raises is not None:
        return (f"{example.code}  # raises {example.raises}",)
    for node in parse(setup).body:
        # a call of a test function says nothing: its body does
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and example.code.startswith(f"{node.name}("):
            is_case = example.code.endswith(")") and not example.code.endswith("()")
            return (ast.unparse(node), example.code) if is_case else (ast.unparse(node),)
    return (example.code,)
