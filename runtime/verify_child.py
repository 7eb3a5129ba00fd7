"""Checks one model file, in a process of its own: `python -P -m leafwise.runtime.verify_child PATH OPTIONS`.

The options are those of `verify.Order`, as JSON. Standard output gets a line of JSON for what is being done, and in the
end one with the verdict: whoever is killed in between has said where.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import resource
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

from leafwise.runtime.chat import ChatTemplate
from leafwise.runtime.contracts import Message
from leafwise.runtime.errors import ChatTemplateError, ModelFileError
from leafwise.runtime.gguf_contents import Contents, read_contents
from leafwise.runtime.gguf_llama import check_model
from leafwise.runtime.gguf_values import check_values
from leafwise.runtime.gguf_vocabulary import check_vocabulary, special_text
from leafwise.runtime.verify_report import TEMPLATE, Findings, Order, Verification

_TEMPLATE_SECONDS = 2.0  # of processor time: a template has nothing to wait for
_LONGEST_PROMPT = 2**20  # characters that a template may make of a short chat
_RECORDED = "leafwise.data_sha256"  # our quantizer's note: SHA-256 of the data section
_CHUNK = 8 * 2**20
_CHAT = (
    Message(role="user", content="Write a function that adds two numbers."),
    Message(role="assistant", content="def add(a, b):\n    return a + b"),
    Message(role="user", content="Now one that subtracts."),
)
_SYSTEM = Message(role="system", content="You write Python.")


def check(path: Path, order: Order, say: Callable[[dict[str, Any]], None]) -> Verification:
    """Do all checks that were ordered.

    Args:
        path: the file.
        order: how much.
        say: told what is being done (`doing`), or how far it is (`done`, `total`).
    """
    findings, started = Findings(), time.perf_counter()
    contents, sha256 = None, None
    try:
        say({"doing": "the header"})
        contents = read_contents(path)
        _check_contents(contents, findings, say)
        if order.template and (source := contents.header.chat_template):
            say({"doing": f"the {TEMPLATE}"})
            check_template(source, contents, findings)
        if order.deep:
            say({"doing": "the tensors' data"})
            _check_data(contents, findings, say)
        if order.sha256:
            say({"doing": "the hash"})
            sha256 = _check_hash(path, findings, say)
    except ModelFileError as error:
        findings.error("file", error.message.removeprefix(f"{path}: "))
    except OSError as error:
        findings.error("file", f"cannot be read: {error.strerror}")
    return Verification(
        file_bytes=contents.file_bytes if contents else path.stat().st_size,
        findings=findings.all(),
        deep=order.deep,
        sha256=sha256,
        tensors=len(contents.tensors) if contents else 0,
        seconds=round(time.perf_counter() - started, 3),
    )


def _check_contents(contents: Contents, findings: Findings, say: Callable[[dict[str, Any]], None]) -> None:
    say({"doing": "hyperparameters and tensors"})
    findings.require(bool(contents.tensors), "file", "holds no tensors")
    check_model(contents, findings)
    say({"doing": "the tokenizer"})
    check_vocabulary(contents, findings)
    surplus = contents.file_bytes - contents.data_end
    if surplus >= 2**20:
        findings.warning("file", f"goes on for {surplus:,} bytes after its last tensor")


def check_template(source: str, contents: Contents, findings: Findings) -> None:
    """Render the chat template on a short chat, with limits on time and length."""
    bos, eos = special_text(contents, "bos"), special_text(contents, "eos")
    try:
        with _time_limit(_TEMPLATE_SECONDS):
            template = ChatTemplate(source, bos, eos)
            prompt = template.render(_CHAT)
    except ChatTemplateError as error:
        findings.error(TEMPLATE, error.message)
        return
    # the process's boundary: a template is a program of unknown origin, and its compilation is the start of it
    except Exception as error:
        findings.error(TEMPLATE, f"cannot be used: {type(error).__name__}: {error}")
        return
    findings.require(len(prompt) <= _LONGEST_PROMPT, TEMPLATE, f"makes {len(prompt):,} characters of a short chat")
    findings.require(_CHAT[-1].content in prompt, TEMPLATE, "leaves out what the user said last")
    try:
        with _time_limit(_TEMPLATE_SECONDS):
            template.render((_SYSTEM, *_CHAT))
    except ChatTemplateError as error:
        findings.warning(TEMPLATE, f"refuses a system message: {error.message}")


@contextlib.contextmanager
def _time_limit(seconds: float) -> Iterator[None]:
    def stop(*_: object) -> NoReturn:
        raise TimeoutError(f"not finished within {seconds:g} s")

    before = signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def _check_data(contents: Contents, findings: Findings, say: Callable[[dict[str, Any]], None]) -> None:
    recorded = contents.metadata.get(_RECORDED)
    digest, total = hashlib.sha256(), contents.data_end - contents.data_begin
    last = 0

    def progress(done: int) -> None:
        nonlocal last
        if done - last >= 4 * _CHUNK:
            last = done
            say({"done": done, "total": total})

    check_values(contents, findings, digest.update if isinstance(recorded, str) else None, progress)
    if isinstance(recorded, str) and recorded != digest.hexdigest():
        findings.error(f"metadata {_RECORDED}", "is not the hash of the tensors' data: the file was changed")


def _check_hash(path: Path, findings: Findings, say: Callable[[dict[str, Any]], None]) -> str:
    digest, done, total = hashlib.sha256(), 0, path.stat().st_size
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
            done += len(chunk)
            say({"done": done, "total": total})
    noted = path.with_name(f"{path.name}.sha256")
    with contextlib.suppress(OSError, UnicodeDecodeError):
        words = noted.read_text()[:200].split()
        if words and words[0].lower() != digest.hexdigest():
            findings.error("file", f"does not have the hash that is noted in {noted.name}")
    return digest.hexdigest()


def limit_resources(memory: int, seconds: float) -> None:
    """Let this process have `memory` more bytes of address space, and `seconds` of processor time."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (int(seconds) + 1, int(seconds) + 2))
    with contextlib.suppress(OSError, ValueError):  # no /proc: not Linux
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        most = pages * resource.getpagesize() + memory
        resource.setrlimit(resource.RLIMIT_AS, (most, most))


def _say(message: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def main(arguments: list[str]) -> int:
    """See the module's docstring."""
    path, order = Path(arguments[0]), Order.model_validate_json(arguments[1])
    limit_resources(order.memory_bytes, order.seconds)
    verification = check(path, order, _say)
    _say({"verdict": verification.model_dump(mode="json")})
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except MemoryError:
        sys.exit(137)
