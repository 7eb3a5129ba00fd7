"""A Hugging Face hub of one repository, on the loopback interface, that can be told to misbehave."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

COMMIT = "c0ffee" + "0" * 34


@dataclass
class Hub:
    """What the server has, how it misbehaves, and what it was asked."""

    repo_id: str
    filename: str
    content: bytes
    etag: str = ""
    """Promised SHA-256; empty takes the content's."""
    status: int = 200
    """Anything else is the answer to every request."""
    error_code: str = ""
    """Sent as X-Error-Code with a bad status."""
    cut_after: int | None = None
    """Bytes of a body after which the connection drops; later GET requests get `after_cut`."""
    after_cut: int = 503
    """Status of requests after a cut; 200 serves them."""
    stall: bool = False
    """Hold the connection open at the cut until `release` is set, instead of dropping it."""
    promised_size: int | None = None
    """X-Linked-Size; None is the content's."""
    resumes: bool = True
    """Whether Range requests are honoured."""
    redirects: bool = False
    """Whether the content is on another host, as large files of the real hub are."""
    tokens: list[tuple[str, str | None]] = field(default_factory=list)
    """(path, Authorization header) of every GET request."""
    like_a_hub: bool = True
    """Whether the hub's own headers are sent."""
    requests: list[tuple[str, str | None]] = field(default_factory=list)
    """(method, Range header) of every request."""
    sent: int = 0
    """Bytes of bodies sent."""
    url: str = ""
    reached_cut: threading.Event = field(default_factory=threading.Event)
    release: threading.Event = field(default_factory=threading.Event)

    def ranges(self) -> list[str | None]:
        return [asked for method, asked in self.requests if method == "GET"]


class Handler(BaseHTTPRequestHandler):
    hub: Hub

    def do_HEAD(self) -> None:
        self.hub.requests.append(("HEAD", None))
        if self._refused() or self._redirected():
            return
        self.send_response(200)
        self._describe()
        self.send_header("Content-Length", str(len(self.hub.content)))
        self.end_headers()

    def do_GET(self) -> None:
        asked = self.headers.get("Range")
        self.hub.tokens.append((self.path, self.headers.get("Authorization")))
        if self._redirected():
            return
        self.hub.requests.append(("GET", asked))
        if self._refused():
            return
        asked = asked if self.hub.resumes else None
        begin = int(asked.removeprefix("bytes=").removesuffix("-")) if asked else 0
        body = self.hub.content[begin:]
        self.send_response(206 if asked else 200)
        self._describe()
        self.send_header("Content-Length", str(len(body)))
        if asked:
            self.send_header("Content-Range", f"bytes {begin}-{len(self.hub.content) - 1}/{len(self.hub.content)}")
        self.end_headers()
        self._send(body)

    def _send(self, body: bytes) -> None:
        cut, self.hub.cut_after = self.hub.cut_after, None
        part = body[:cut]
        self.wfile.write(part)
        self.wfile.flush()
        self.hub.sent += len(part)
        if cut is not None:
            self.hub.status = self.hub.after_cut
            self.hub.reached_cut.set()
            if self.hub.stall:
                self.hub.release.wait(20)
            self.close_connection = True

    def _redirected(self) -> bool:
        """To the same port under another host's name."""
        if not self.hub.redirects or self.path == "/cdn":
            return False
        self.send_response(302)
        self._describe()
        self.send_header("Location", self.hub.url.replace("127.0.0.1", "localhost") + "/cdn")
        self.send_header("Content-Length", "0")
        self.end_headers()
        return True

    def _refused(self) -> bool:
        known = self.path.startswith(f"/{self.hub.repo_id}/resolve/") and self.path.endswith(f"/{self.hub.filename}")
        found = known or self.path == "/cdn"
        status = self.hub.status if found or self.hub.status != 200 else 404
        if status == 200:
            return False
        self.send_response(status)
        if self.hub.error_code:
            self.send_header("X-Error-Code", self.hub.error_code)
        self.send_header("Content-Length", "0")
        self.end_headers()
        return True

    def _describe(self) -> None:
        self.send_header("Accept-Ranges", "bytes")
        if self.hub.like_a_hub:
            self.send_header("X-Repo-Commit", COMMIT)
            self.send_header("X-Linked-Etag", f'"{self.hub.etag or hashlib.sha256(self.hub.content).hexdigest()}"')
            size = self.hub.promised_size
            self.send_header("X-Linked-Size", str(len(self.hub.content) if size is None else size))

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def serving(hub: Hub) -> Iterator[Hub]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Handler,), {"hub": hub}))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    hub.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield hub
    finally:
        hub.release.set()
        server.shutdown()
        server.server_close()
        thread.join()
