"""What a server's refusals mean to the user; and the secrets that no text of ours may hold."""

from __future__ import annotations

import base64
import json
import re
from typing import Any
from urllib.parse import quote

from leafwise.runtime.errors import ChatTemplateError, ContextOverflowError, EngineError, GrammarError

_OVERFLOW = re.compile(
    r"context[ _](length|size|window)|maximum (context|model) length|longer than the maximum|max_model_len", re.I
)
_GRAMMAR = re.compile(r"grammar|json[ _]?schema|response_format|guided|structured|xgrammar", re.I)
_TEMPLATE = re.compile(r"chat[ _]template", re.I)
_LONGEST = 300
LONGER = (
    "shorten the prompt, lower the token limit, or start the server with a longer context (llama-server: --ctx-size, "
    "vLLM: --max-model-len)"
)
"""What can be done about a context that is too short."""
BUSY = (429, 503)
"""The statuses that say: not now. Only these are tried again."""


class Secrets:
    """Strings that must not be shown.

    Args:
        key: the API key.
        login: user and password of the URL, joined by a colon.
    """

    def __init__(self, key: str = "", login: str = "") -> None:
        plain = [key, login, login.partition(":")[2]]
        encoded = [base64.b64encode(login.encode()).decode(), *(quote(p, safe="") for p in plain)]
        escaped = [json.dumps(p)[1:-1] for p in plain]
        self._hidden = sorted({s for s in plain + encoded + escaped if s}, key=len, reverse=True)

    def __repr__(self) -> str:
        return "Secrets()"

    def clean(self, text: str, longest: int = _LONGEST) -> str:
        """A server's text fit to be shown: one line, short, printable, without a secret."""
        for secret in self._hidden:
            text = text.replace(secret, "***")
        text = " ".join("".join(c if c.isprintable() else " " for c in text).split())
        return text if len(text) <= longest else text[:longest] + "..."


class RefusedError(Exception):
    """A server's answer that is not a success. Stays within the remote engine, which says what it means.

    Args:
        status: of the HTTP response, or of an error object in a stream.
        said: the server's own words, fit to be shown.
        retry_after: seconds that the server asks to wait.
    """

    def __init__(self, status: int, said: str, retry_after: float | None = None) -> None:
        super().__init__(said)
        self.status = status
        self.said = said
        self.retry_after = retry_after


def words_of(body: Any) -> str:
    """The server's own words in the JSON body of a refusal, or in an error object of a stream."""
    if isinstance(body, dict):
        for key in ("error", "message", "detail"):
            if body.get(key):
                kind = [str(body[k]) for k in ("type", "code") if key == "message" and isinstance(body.get(k), str)]
                return " ".join([words_of(body[key]), *(f"({k})" for k in kind)])
    return body if isinstance(body, str) else json.dumps(body)


def explained(
    refusal: RefusedError, url: str, models: tuple[str, ...] = (), *, sent_key: bool, schema: bool = False
) -> EngineError:
    """The error that a refusal stands for.

    Args:
        refusal: what the server answered.
        url: the server's address, fit to be shown.
        models: names of the models it has.
        sent_key: whether an API key was sent.
        schema: whether the request had a JSON schema.
    """
    status, said = refusal.status, refusal.said or "nothing more"
    by_content = _by_content(status, said, url, schema=schema)
    if by_content is not None:
        return by_content
    message = f"{url} refuses (status {status}): {said}"
    if status in (401, 403):
        hint = "the server does not accept this API key" if sent_key else "the server wants an API key"
        return EngineError(message, hint)
    if status == 404:
        have = f"; it has the models {', '.join(models[:20])}" if models else ""
        return EngineError(message, f"the address usually ends in /v1, and the model's name follows as #name{have}")
    if status in BUSY:
        return EngineError(f"{url} is busy (status {status}): {said}", "try again later, or run fewer requests at once")
    if 300 <= status < 400:
        return EngineError(f"{url} redirects: {said}", "redirects are not followed: give the address it redirects to")
    return EngineError(message, "look at the server's log" if status >= 500 else "")


def _by_content(status: int, said: str, url: str, *, schema: bool) -> EngineError | None:
    """Errors that the words tell better than the status."""
    if status not in (400, 413, 422, 500):
        return None
    if status == 413 or _OVERFLOW.search(said):
        return ContextOverflowError(f"the request does not fit the context of {url}: {said}", LONGER)
    if status != 500 and _TEMPLATE.search(said):
        return ChatTemplateError(f"{url} can't render these messages: {said}", "serve an Instruct model")
    if schema and _GRAMMAR.search(said):
        return GrammarError(f"{url} can't use this JSON schema: {said}", "simplify the schema")
    return None
