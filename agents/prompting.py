"""Prompts are data: the files of `prompts/`, rendered strictly. A missing or an unused variable is an error."""

from __future__ import annotations

import functools
from importlib import resources

import jinja2
import jinja2.meta

from leafwise.agents.errors import PromptError

_ENVIRONMENT = jinja2.Environment(
    undefined=jinja2.StrictUndefined,
    autoescape=False,
    keep_trailing_newline=False,
)


@functools.cache
def _load(name: str) -> tuple[jinja2.Template, frozenset[str]]:
    file = resources.files("leafwise.agents") / "prompts" / f"{name}.md"
    try:
        text = file.read_text(encoding="utf-8")
    except OSError as error:
        raise PromptError(f"there is no prompt {name}.md", "reinstall leafwise") from error
    variables = jinja2.meta.find_undeclared_variables(_ENVIRONMENT.parse(text))
    return _ENVIRONMENT.from_string(text), frozenset(variables)


def render(name: str, /, **variables: str | int | bool) -> str:
    """Render a prompt.

    Args:
        name: of the file in `prompts/`, without `.md`.
        variables: exactly those that the file uses.

    Raises:
        PromptError: the file is missing, or the variables are not exactly those it uses.
    """
    template, used = _load(name)
    if used != variables.keys():
        missing, unused = sorted(used - variables.keys()), sorted(variables.keys() - used)
        raise PromptError(f"prompt {name}.md: missing variables {missing}, unused variables {unused}")
    return template.render(variables).strip()
