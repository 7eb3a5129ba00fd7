"""Which prompt of the team a request holds, found by matching it against the prompt files themselves.

Each file of `agents/prompts` becomes a pattern: its fixed words, with its variables between them. So a prompt whose
words change is recognised all the same, and one that nobody has taught the simulation is an error, never a guess.
"""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Iterator, Sequence
from importlib import resources

import jinja2
import jinja2.meta
from jinja2 import nodes

from leafwise.benchmarks.errors import BenchmarkError
from leafwise.runtime.contracts import Contract

_PARTS = frozenset({"task"})
"""Files that are only used inside of others."""
_SPACE = re.compile(r"\s+")


class Asked(Contract):
    """A prompt, read."""

    prompt: str
    """The name of its file, without `.md`."""
    values: dict[str, str]
    """The file's variables, as they stand in the prompt; empty texts where a part is left out."""


def read_prompt(text: str) -> Asked:
    """Find the file that a prompt was made from; of several that fit, the one with most fixed words.

    Args:
        text: the user's turn.

    Raises:
        BenchmarkError: it was made from none.
    """
    for name, pattern, variables in _patterns():
        if match := pattern.fullmatch(text.strip()):
            found = {key: value.strip() for key, value in match.groupdict().items()}
            return Asked(prompt=name, values=dict.fromkeys(variables, "") | found)
    raise BenchmarkError(
        f"the simulation does not know the prompt {' '.join(text.split())[:120]!r}",
        "prompts are recognised by the files of agents/prompts; is one made in another way?",
    )


@functools.cache
def _patterns() -> tuple[tuple[str, re.Pattern[str], frozenset[str]], ...]:
    """The files' patterns with their variables, those with most fixed words first; one for each choice of parts."""
    environment = jinja2.Environment(autoescape=False)
    folder = resources.files("leafwise.agents") / "prompts"
    found: list[tuple[int, str, re.Pattern[str], frozenset[str]]] = []
    for file in folder.iterdir():
        name, dot, ending = file.name.rpartition(".")
        if dot and ending == "md" and name not in _PARTS:
            parsed = environment.parse(file.read_text(encoding="utf-8"))
            variables = frozenset(jinja2.meta.find_undeclared_variables(parsed))
            for variant in _variants(parsed.body):
                fixed, text = _pattern(variant)
                found.append((fixed, name, re.compile(rf"\s*{text}\s*", re.DOTALL), variables))
    return tuple(one[1:] for one in sorted(found, key=lambda one: (-one[0], one[1])))


def _variants(parts: Sequence[nodes.Node]) -> Iterator[list[nodes.Node]]:
    """A template's parts, once for each choice of its branches."""
    choices: list[list[list[nodes.Node]]] = []
    for part in parts:
        match part:
            case nodes.Output():
                choices.append([list(part.nodes)])
            case nodes.If():
                branches = [part.body, *(branch.body for branch in part.elif_), part.else_]
                choices.append([variant for branch in branches for variant in _variants(branch)])
            case _:
                choices.append([[part]])
    for chosen in itertools.product(*choices):
        yield [part for piece in chosen for part in piece]


def _pattern(parts: Sequence[nodes.Node]) -> tuple[int, str]:
    """How many fixed characters parts of a template have, and their regular expression."""
    fixed, text, seen = 0, "", set[str]()
    for part in parts:
        match part:
            case nodes.TemplateData():
                fixed += len(part.data.strip())
                # how much white space there is depends on what is left out around it
                text += r"\s*".join(re.escape(word) for word in _SPACE.split(part.data))
            case nodes.Name() if part.name not in seen:
                seen.add(part.name)
                text += (
                    f"(?P<{part.name}>.*)"  # greedy: fixed words are looked for from the end, behind the task's text
                )
            case _:
                text += ".*"
    return fixed, text
