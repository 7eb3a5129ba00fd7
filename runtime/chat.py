"""Chat templates: the Jinja text inside a model file, rendered in a sandbox because model files are untrusted input."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any, NoReturn

import jinja2
from jinja2.sandbox import ImmutableSandboxedEnvironment

from leafwise.runtime.contracts import Message
from leafwise.runtime.errors import ChatTemplateError


class ChatTemplate:
    """One model's chat template, compiled.

    Args:
        source: the Jinja text (`tokenizer.chat_template` of the file).
        bos: text of the beginning-of-sequence token, empty if there is none.
        eos: text of the end-of-sequence token, empty if there is none.

    Raises:
        ChatTemplateError: the text is not a valid template.
    """

    def __init__(self, source: str, bos: str = "", eos: str = "") -> None:
        environment = ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
        )
        environment.filters["tojson"] = _tojson
        environment.globals.update(raise_exception=_raise_exception, strftime_now=_strftime_now)
        try:
            self._template = environment.from_string(source)
        except (jinja2.TemplateError, RecursionError, OverflowError) as error:
            raise ChatTemplateError(
                f"the model's chat template is not valid: {_one_line(error)}",
                "use a GGUF file whose template works in llama.cpp",
            ) from error
        self._tokens = {"bos_token": bos, "eos_token": eos}

    def render(self, messages: Sequence[Message]) -> str:
        """The chat as the model wants to read it, up to where its answer begins.

        Raises:
            ChatTemplateError: the template refuses these messages or fails.
        """
        turns = [message.model_dump() for message in messages]
        try:
            return self._template.render(messages=turns, add_generation_prompt=True, **self._tokens)
        # a template is a program of unknown origin: whatever it does wrong is the template's error
        except Exception as error:
            raise ChatTemplateError(
                f"the model's chat template failed: {_one_line(error)}",
                "some templates refuse a system message or two turns of one role",
            ) from error


def _tojson(value: Any, ensure_ascii: bool = False, indent: int | None = None) -> str:
    # Jinja's own filter escapes HTML, which would change prompts
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent)


def _strftime_now(form: str) -> str:
    return datetime.now().strftime(form)


def _raise_exception(message: str) -> NoReturn:
    raise jinja2.TemplateError(message)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
