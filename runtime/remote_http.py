"""HTTP to a server that is not trusted: bounded answers, few retries, no secret in any text."""

from __future__ import annotations

import asyncio
import email.utils
import json
import logging
import random
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit, urlunsplit

import httpx

from leafwise.runtime.errors import EngineError
from leafwise.runtime.remote_errors import BUSY, RefusedError, Secrets, words_of
from leafwise.runtime.remote_sse import Event, EventReader

log = logging.getLogger(__name__)

TRIES = 6
"""Times that a busy server is asked, the first included."""
FIRST_WAIT = 0.5
"""Seconds before the second try; doubles from try to try."""
_CONNECT_SECONDS = 10.0
_LONGEST_ANSWER = 16 * 2**20
_LONGEST_REFUSAL = 64 * 2**10
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, repr=False)
class Address:
    """Where a server is, and the login that its URL held."""

    url: str
    """The OpenAI-compatible interface, usually ending in `/v1`; without login, so fit to be shown."""
    root: str
    """The server itself: the URL without `/v1`."""
    login: str = ""
    """`user:password`, empty if the URL had none."""

    @classmethod
    def parse(cls, url: str) -> Address:
        """Take a URL apart.

        Raises:
            EngineError: it is not an HTTP URL of a server.
        """
        try:
            parts = urlsplit(url)
            port = parts.port
            _ = httpx.URL(url).host  # what it cannot send is refused here, before anything is sent
        except (ValueError, httpx.InvalidURL):
            parts, port = SplitResult("", "", "", "", ""), None
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
            # the URL itself is not repeated: it may hold a password
            raise EngineError("this is not the address of a server", "write it like http://127.0.0.1:8000/v1")
        host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
        shown = urlunsplit((parts.scheme, f"{host}:{port}" if port else host, parts.path.rstrip("/"), "", ""))
        login = f"{unquote(parts.username or '')}:{unquote(parts.password or '')}" if "@" in parts.netloc else ""
        return cls(shown, shown.removesuffix("/v1"), login)


class Wire:
    """Requests to one server.

    Args:
        address: the server's.
        key: the API key; empty sends none, and a login in the address is sent instead of it.
        connections: requests in flight at once, at most.

    Raises:
        EngineError: the key can't be sent, or the environment's settings for connections can't be used.
    """

    def __init__(self, address: Address, key: str, connections: int) -> None:
        if any(not "!" <= c <= "~" for c in key):
            raise EngineError("the API key holds characters that can't be sent", "it is one word of ASCII characters")
        self.address = address
        self.secrets = Secrets(key, address.login)
        self.sends_key = bool(key or address.login)
        bearer = {"Authorization": f"Bearer {key}"} if key and not address.login else {}
        user, _, password = address.login.partition(":")
        with _usable_settings(address.url, self.secrets):
            self._client = httpx.AsyncClient(
                # Compressed answers could be small here and huge in memory; so none are asked for, and none are read.
                headers={"Accept-Encoding": "identity"} | bearer,
                auth=httpx.BasicAuth(user, password) if address.login else None,
                follow_redirects=False,  # the key is for this server only
                timeout=httpx.Timeout(None, connect=_CONNECT_SECONDS),  # the rest is bounded by the request's own time
                limits=httpx.Limits(max_connections=connections + 4),  # and some beside, for counting tokens
                trust_env=urlsplit(address.url).hostname not in _LOOPBACK,  # a proxy is no way to this machine
            )

    async def close(self) -> None:
        """Close every connection."""
        await self._client.aclose()

    async def ask(self, method: str, url: str, body: dict[str, Any] | None, until: float) -> Any:
        """Send a request and read its JSON answer.

        Args:
            method: of HTTP.
            url: in full.
            body: sent as JSON.
            until: time (`time.monotonic`) by which it has to be answered.

        Raises:
            RefusedError: the answer is not a success.
            EngineError: the server can't be reached, does not answer in time, or not in JSON.
        """
        try:
            async with (
                asyncio.timeout(until - time.monotonic()),
                self._opened(method, url, body, until) as response,
            ):
                data = await _read(response, _LONGEST_ANSWER)
        except TimeoutError:
            raise EngineError(f"{self.address.url} does not answer in time", "look at the server's log") from None
        if len(data) > _LONGEST_ANSWER:
            raise EngineError(f"{self.address.url} sent more than {_LONGEST_ANSWER:,} bytes", "check the server")
        try:
            return json.loads(data)
        except (ValueError, RecursionError):
            said = self.secrets.clean(data[:200].decode("utf-8", "replace"))
            raise EngineError(
                f"{self.address.url} does not answer in JSON: {said}", "is it an OpenAI-compatible server?"
            ) from None

    async def events(self, url: str, body: dict[str, Any], until: float) -> AsyncGenerator[Event, None]:
        """Send a request and give the events of its answer as they come; see `ask`. No retry passes `until`."""
        reader = EventReader()
        async with self._opened("POST", url, body, until) as response:
            kind = response.headers.get("content-type", "")
            if not kind.startswith("text/event-stream"):
                raise EngineError(f"{self.address.url} does not stream its answer", "check the server")
            async for chunk in response.aiter_raw():
                for event in reader.feed(chunk):
                    yield event

    @asynccontextmanager
    async def _opened(
        self, method: str, url: str, body: dict[str, Any] | None, until: float
    ) -> AsyncIterator[httpx.Response]:
        """A successful response whose body is not read yet; a busy server is asked again.

        A server may close a kept connection in the moment in which it is used again. Nothing was answered then, so the
        request goes out once more, until it had a connection of its own.
        """
        tries = 1
        while True:
            progress = _Progress()
            try:
                async with self._client.stream(method, url, json=body, extensions={"trace": progress.seen}) as response:
                    progress.answered = True
                    if response.is_success:
                        if response.headers.get("content-encoding", "identity") != "identity":
                            raise EngineError(f"{self.address.url} compresses, unasked", "check the server")
                        yield response
                        return
                    refusal = await self._refusal(response)
            except (httpx.HTTPError, httpx.InvalidURL) as error:
                if isinstance(error, httpx.NetworkError | httpx.RemoteProtocolError) and progress.stale:
                    continue
                raise self._broken(error) from None  # its text and its request may hold what must not be shown
            wait = FIRST_WAIT * 2 ** (tries - 1) * random.uniform(0.5, 1.5)
            wait = max(wait, refusal.retry_after or 0.0)
            if refusal.status not in BUSY or tries == TRIES or time.monotonic() + wait >= until:
                raise refusal
            log.info("%s is busy (status %d): asking again in %.1f s", self.address.url, refusal.status, wait)
            await asyncio.sleep(wait)
            tries += 1

    async def _refusal(self, response: httpx.Response) -> RefusedError:
        data = (await _read(response, _LONGEST_REFUSAL))[:_LONGEST_REFUSAL]
        text = data.decode("utf-8", "replace")
        try:
            said = words_of(json.loads(text))
        except (ValueError, RecursionError):
            said = text
        if response.is_redirect:
            said = _target(response.headers.get("location", ""))
        return RefusedError(response.status_code, self.secrets.clean(said), _retry_after(response.headers))

    def _broken(self, error: Exception) -> EngineError:
        url, said = self.address.url, self.secrets.clean(str(error)) or type(error).__name__
        if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.ProxyError):
            return EngineError(f"cannot reach {url}: {said}", "is the server running, and is this its address?")
        if isinstance(error, httpx.InvalidURL | httpx.UnsupportedProtocol):
            return EngineError("this is not the address of a server", "write it like http://127.0.0.1:8000/v1")
        return EngineError(f"the connection to {url} broke: {said}", "look at the server's log")


@contextmanager
def _usable_settings(url: str, secrets: Secrets) -> Iterator[None]:
    """Say whose fault it is where httpx stumbles over proxies and certificates that the environment names."""
    try:
        yield
    except (ImportError, ValueError, OSError, httpx.InvalidURL) as error:
        raise EngineError(
            f"no connection to {url} can be set up: {secrets.clean(str(error))}",
            "look at HTTPS_PROXY, HTTP_PROXY, ALL_PROXY, NO_PROXY, SSL_CERT_FILE and SSL_CERT_DIR in the environment",
        ) from None


@dataclass
class _Progress:
    """How far one request came."""

    connected: bool = False
    """Whether a connection was made for it."""
    answered: bool = False
    """Whether the server began to answer."""

    @property
    def stale(self) -> bool:
        """Whether a kept connection broke before anything came over it."""
        return not self.connected and not self.answered

    async def seen(self, event: str, _: dict[str, Any]) -> None:
        """Is told by httpx what happens to the request."""
        self.connected |= event.startswith("connection.connect")


async def _read(response: httpx.Response, most: int) -> bytes:
    """The body, or more than `most` bytes of it."""
    data = bytearray()
    async for chunk in response.aiter_raw():
        data += chunk
        if len(data) > most:
            break
    return bytes(data)


def _target(location: str) -> str:
    """Where a redirect leads, without a login."""
    try:
        parts = urlsplit(location)
    except ValueError:
        return "nowhere"
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def _retry_after(headers: httpx.Headers) -> float | None:
    """Seconds that the server asks to wait: given as such, or as a date."""
    value = headers.get("retry-after", "").strip()
    if value.isascii() and value.isdigit():
        return float(value[:9])
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    except (ValueError, TypeError, IndexError, OverflowError):  # whatever its parser makes of nonsense
        return None
