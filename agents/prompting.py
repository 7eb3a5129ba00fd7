"""Prompts are data: the files of `prompts/`, rendered strictly. A missing or an unused variable is an error."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from importlib import resources

import jinja2
import jinja2.meta
from jinja2.sandbox import ImmutableSandboxedEnvironment

from leafwise.agents.errors import PromptError

# a sandbox, because a prompt set may come from somebody else: a prompt is text, and reaches nothing of this process
_ENVIRONMENT = ImmutableSandboxedEnvironment(
    undefined=jinja2.StrictUndefined,
    autoescape=False,
    keep_trailing_newline=False,
)
_Prompt = tuple[jinja2.Template, frozenset[str]]
# what a template can go wrong with while it is rendered
_RENDERING = (jinja2.TemplateError, TypeError, ValueError, ArithmeticError, LookupError, AttributeError, OverflowError)


class PromptSet:
    """The prompts of a role: leafwise's own, some of them replaced.

    Args:
        texts: the texts that replace others, by name. They use exactly the variables of those they replace.

    Raises:
        PromptError: a text replaces nothing, is no template, or uses other variables.
    """

    def __init__(self, texts: Mapping[str, str] | None = None) -> None:
        self._own = {name: _replacement(name, text) for name, text in (texts or {}).items()}

    def render(self, name: str, /, **variables: str | int | bool) -> str:
        """Render a prompt.

        Args:
            name: of the file in `prompts/`, without `.md`.
            variables: exactly those that the file uses.

        Raises:
            PromptError: the file is missing, the variables are not exactly those it uses, or rendering fails.
        """
        template, used = self._own.get(name) or _load(name)
        if used != variables.keys():
            raise PromptError(f"prompt {name}.md: {_difference(used, frozenset(variables))}")
        try:
            return template.render(variables).strip()
        except _RENDERING as error:
            raise PromptError(f"prompt {name}.md cannot be rendered: {error}", "mend the prompt") from error


def prompt_names() -> list[str]:
    """Names of leafwise's own prompts."""
    files = (resources.files("leafwise.agents") / "prompts").iterdir()
    return sorted(file.name.removesuffix(".md") for file in files if file.name.endswith(".md"))


def _replacement(name: str, text: str) -> _Prompt:
    if name not in prompt_names():
        raise PromptError(f"there is no prompt {name}.md to replace", f"there are {', '.join(prompt_names())}")
    try:
        prompt = _read(text)
    except jinja2.TemplateSyntaxError as error:
        raise PromptError(
            f"prompt {name}.md, line {error.lineno}: {error.message}", "it is a Jinja template"
        ) from error
    wanted = _load(name)[1]
    if prompt[1] != wanted:
        raise PromptError(
            f"prompt {name}.md: {_difference(wanted, prompt[1], other='unknown')}",
            f"it has to use {', '.join(sorted(wanted))}; {{% set _ = NAME %}} leaves one out on purpose",
        )
    return prompt


@functools.cache
def _load(name: str) -> _Prompt:
    file = resources.files("leafwise.agents") / "prompts" / f"{name}.md"
    try:
        return _read(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise PromptError(f"there is no prompt {name}.md", "reinstall leafwise") from error


def _read(text: str) -> _Prompt:
    variables = jinja2.meta.find_undeclared_variables(_ENVIRONMENT.parse(text))
    return _ENVIRONMENT.from_string(text), frozenset(variables)


def _difference(wanted: frozenset[str], found: frozenset[str], other: str = "unused") -> str:
    return f"missing variables {sorted(wanted - found)}, {other} variables {sorted(found - wanted)}"


render = PromptSet().render
"""Render one of leafwise's own prompts; see `PromptSet.render`."""
