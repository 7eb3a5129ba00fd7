"""Plans before they are carried out: what somebody is shown of one, and how their answer is read."""

from __future__ import annotations

import ast
from collections.abc import Callable, Sequence

from leafwise.agents.contracts import Node, Spec
from leafwise.agents.errors import ReviewError
from leafwise.agents.plans import read_stubs, split_node, taken_names
from leafwise.runtime.contracts import Contract
from leafwise.runtime.syntax import parse

_MOST = 16
"""Helpers of one function that somebody may ask for: the team's own limit is for models."""
_USABLE = "give each helper a name of its own, an argument, and types that Python or the task's code and context have"
_HOW = """\
# The helper functions of {name}, which are written first. Signatures and docstrings count; bodies are ignored.
# Change them, delete some, add others. A docstring says exactly what is returned; its examples are checked.
# Without any function in this file, {name} is written without helpers. Lines like this one are ignored.
"""


class ProposedPlan(Contract):
    """A plan that is not carried out yet."""

    node: Node
    """The function that is to be split."""
    stubs: tuple[Spec, ...]
    """Its helpers, as the team proposes them; none where no plan was of any use."""
    nodes: dict[str, Node]
    """The problem tree so far, without them."""


Review = Callable[[ProposedPlan], Sequence[Spec]]
"""Says with which helpers to go on; none goes on without a plan."""


def plan_text(plan: ProposedPlan) -> str:
    """The plan as Python to be edited, with comments that say how."""
    name = plan.node.spec.entry_point or "the function"
    stubs = [f"\n\n{stub.signature}\n{_docstring(stub.statement)}\n    ...\n" for stub in plan.stubs]
    return _HOW.format(name=name) + "".join(stubs)


def read_plan_text(text: str, plan: ProposedPlan) -> tuple[Spec, ...]:
    """Read an edited plan; functions that did not change stay what they were.

    Raises:
        ReviewError: it is not Python, holds something else than functions, or a function cannot be a helper.
    """
    try:
        body = parse(text).body
    except SyntaxError as error:
        raise ReviewError(f"line {error.lineno}: {error.msg}", "write Python functions") from error
    except ValueError as error:
        raise ReviewError(f"this is not Python: {error}", "write Python functions") from error
    for statement in body:
        if not isinstance(statement, ast.FunctionDef):
            line = ast.unparse(statement).splitlines()[0][:60]
            raise ReviewError(f"line {statement.lineno}: {line!r} is no function", "a plan has functions only")
    if not body:
        return ()
    found = read_stubs(text, None, taken_names(plan.nodes.values()), _MOST, plan.node.spec.given)
    if found.problem:
        raise ReviewError(found.problem, _USABLE)
    same = {(stub.entry_point, stub.signature, stub.statement): stub for stub in plan.stubs}
    return tuple(same.get((s.entry_point, s.signature, s.statement), s) for s in found.stubs)


def split(plan: ProposedPlan, stubs: Sequence[Spec]) -> dict[str, Node]:
    """The node with its helpers, as they enter the tree; empty without any.

    Raises:
        ReviewError: something is no helper: no name, no signature, or a name that is taken.
    """
    taken = set(taken_names(plan.nodes.values()))
    for stub in stubs:
        if not isinstance(stub, Spec) or not stub.entry_point or not stub.signature:
            raise ReviewError(f"no helper: {stub!r}", "a review gives a Spec for each, with entry_point and signature")
        if stub.entry_point in taken:
            raise ReviewError(f"{stub.entry_point}: the name is taken", "give each helper a name of its own")
        taken.add(stub.entry_point)
    return split_node(plan.node, stubs)


def _docstring(text: str) -> str:
    """A text as a function's docstring, so that reading it gives the text again."""
    quoted = text.replace("\\", "\\\\").replace('"""', '\\"\\"\\"')
    if quoted.endswith('"'):
        quoted = f'{quoted[:-1]}\\"'
    lines = quoted.split("\n")
    indented = "\n".join(f"    {line}" if line else "" for line in lines[1:])
    return f'    """{lines[0]}\n{indented}\n    """' if indented else f'    """{lines[0]}"""'
