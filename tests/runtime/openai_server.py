"""OpenAI-compatible servers on the loopback interface: a small one that misbehaves on demand, and llama_cpp.server."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

STORY = "Once upon a time there was a small tree."
VLLM = {"id": "tiny", "object": "model", "owned_by": "vllm", "max_model_len": 2048}
LLAMA_SERVER = {"id": "tiny", "object": "model", "owned_by": "llamacpp", "meta": {"n_ctx_train": 4096}}
PLAIN = {"id": "tiny", "object": "model", "owned_by": "someone"}


@dataclass
class Asked:
    """One request that the server got."""

    path: str
    body: Any
    authorization: str | None


@dataclass
class FakeServer:
    """What the server has, what it was asked, and how it answers."""

    models: list[dict[str, Any]] = field(default_factory=lambda: [VLLM])
    plays: list[Play] = field(default_factory=list)
    """How it answers the next requests to generate, in order; after that it tells its story."""
    forever: Play | None = None
    """How it answers every other request to generate."""
    any_request: Play | None = None
    """How it answers every request at all."""
    asked: list[Asked] = field(default_factory=list)
    hung_up: threading.Event = field(default_factory=threading.Event)
    """The client closed a connection before the answer's end."""
    together: int = 0
    most_together: int = 0
    url: str = ""

    def generated(self) -> list[dict[str, Any]]:
        """Bodies of the requests to generate."""
        return [asked.body for asked in self.asked if asked.path.endswith("completions")]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    fake: FakeServer
    answered = 0
    """Requests answered over this connection."""

    def do_GET(self) -> None:
        self._answer(None)

    def do_POST(self) -> None:
        self._answer(json.loads(self.rfile.read(int(self.headers["content-length"]))))

    def log_message(self, format: str, *args: object) -> None:
        pass

    def _answer(self, body: Any) -> None:
        fake = self.fake
        fake.asked.append(Asked(self.path, body, self.headers["authorization"]))
        try:
            if fake.any_request is not None:
                fake.any_request(self, body)
            elif self.path.endswith("completions"):
                fake.together += 1
                fake.most_together = max(fake.most_together, fake.together)
                play = fake.plays.pop(0) if fake.plays else fake.forever or tell()
                try:
                    play(self, body)
                finally:
                    fake.together -= 1
            else:
                self._about(body)
        except OSError:
            fake.hung_up.set()
            self.close_connection = True
        self.answered += 1

    def _about(self, body: Any) -> None:
        """What lies beside generating, as vLLM and llama-server have it."""
        words = str(body).split()
        answers: dict[str, Any] = {
            "/v1/models": {"object": "list", "data": self.fake.models},
            "/props": {"default_generation_settings": {"n_ctx": 1024}},
            "/apply-template": {"prompt": "<user>" + str(body and body.get("messages")) + "<assistant>"},
            "/tokenize": {"count": len(words), "tokens": list(range(len(words)))},
        }
        self.send(200 if self.path in answers else 404, answers.get(self.path, {"detail": "Not Found"}))

    def send(self, status: int, body: Any, headers: dict[str, str] | None = None) -> None:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(data)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def begin_stream(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream; charset=utf-8")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()

    def chunk(self, data: bytes) -> None:
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))

    def event(self, data: Any) -> None:
        self.chunk(b"data: " + (data if isinstance(data, bytes) else json.dumps(data).encode()) + b"\n\n")


Play = Callable[[Handler, Any], None]


def refuse(status: int, body: Any = None, **headers: str) -> Play:
    """An answer without a stream."""
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda handler, _: handler.send(status, body or {"error": {"message": f"status {status}"}}, names)


def stream(*events: Any, end: bool = True) -> Play:
    """These events; `end` is false where the connection drops after them."""

    def play(handler: Handler, _: Any) -> None:
        handler.begin_stream()
        for event in events:
            handler.event(event)
        if end:
            handler.chunk(b"")
        handler.close_connection = True

    return play


def close_if_kept(handler: Handler, body: Any) -> None:
    """Close a connection that is used again, as a server does whose time for idle ones is up; else tell the story."""
    if handler.answered:
        handler.close_connection = True
    else:
        tell()(handler, body)


def choice(text: str = "", finish: str | None = None, **more: Any) -> dict[str, Any]:
    """A chunk of a chat."""
    return {"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": finish, **more}]}


def tell(text: str = STORY, finish: str = "stop", *, usage: bool = True, delay: float = 0.0) -> Play:
    """Words of a text one by one, in the form that was asked for; a request without a stream gets its usage."""

    def play(handler: Handler, body: Any) -> None:
        words = [w if i == 0 else f" {w}" for i, w in enumerate(text.split(" "))]
        costs = {"prompt_tokens": 7, "completion_tokens": len(words), "prompt_tokens_details": {"cached_tokens": 4}}
        if not body.get("stream"):
            handler.send(200, {"choices": [], "usage": costs})
            return
        handler.begin_stream()
        for number, word in enumerate(words):
            delta = {"delta": {"content": word}} if "messages" in body else {"text": word}
            last = number == len(words) - 1
            handler.event({"choices": [{"index": 0, **delta, "finish_reason": finish if last else None}]})
            time.sleep(delay)
        if usage:
            handler.event({"choices": [], "usage": costs})
        handler.event(b"[DONE]")
        handler.chunk(b"")

    return play


@contextmanager
def fake_server() -> Iterator[FakeServer]:
    """A server that speaks vLLM's dialect until told otherwise."""
    fake = FakeServer()

    class Bound(Handler):
        pass

    Bound.fake = fake
    server = ThreadingHTTPServer(("127.0.0.1", 0), Bound)
    server.daemon_threads = True
    fake.url = f"http://127.0.0.1:{server.server_port}/v1"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield fake
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


@contextmanager
def llama_cpp_server(model: Path, log: Path, context: int, key: str) -> Iterator[str]:
    """llama-cpp-python's server in a process of its own; gives its URL."""
    port = free_port()
    options = {"model": model, "n_ctx": context, "host": "127.0.0.1", "port": port, "model_alias": "smol"}
    options |= {"n_threads": 2, "api_key": key, "verbose": False}
    command = [sys.executable, "-m", "llama_cpp.server", *(f"--{k}={v}" for k, v in options.items())]
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
        try:
            _wait_for(port, process, log)
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            process.kill()
            process.wait()


def _wait_for(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + 60.0
    while time.monotonic() < until and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), 1.0).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise RuntimeError(f"llama_cpp.server did not start:\n{log.read_text()[-2000:]}")
