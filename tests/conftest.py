"""What every test gets: no network beyond this machine, and cache and state folders of its own."""

from __future__ import annotations

import ipaddress
import logging
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

# As the command line does: threads that spin while they wait make everything slow where tests share the cores.
os.environ.setdefault("GOMP_SPINCOUNT", "1000")


class NetworkForbiddenError(Exception):
    """A test tried to leave this machine; not an OSError, so that no retry loop swallows it."""


def _is_local(family: int, address: Any) -> bool:
    if family not in (socket.AF_INET, socket.AF_INET6):
        return True
    host = address[0]
    try:
        return host in ("", "localhost") or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Breaks `connect` and `connect_ex` except to the loopback range and to Unix sockets."""
    connect, connect_ex = socket.socket.connect, socket.socket.connect_ex

    def check(self: socket.socket, address: Any) -> None:
        if not _is_local(self.family, address):
            raise NetworkForbiddenError(f"tests must not connect to {address!r}")

    def guarded_connect(self: socket.socket, address: Any) -> None:
        check(self, address)
        connect(self, address)

    def guarded_connect_ex(self: socket.socket, address: Any) -> int:
        check(self, address)
        return connect_ex(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded_connect)
    monkeypatch.setattr(socket.socket, "connect_ex", guarded_connect_ex)


@pytest.fixture(autouse=True)
def own_logging() -> Iterator[None]:
    """What a command line under test does to logging ends with the test."""
    logger = logging.getLogger("leafwise")
    level, handlers = logger.level, logger.handlers
    yield
    logger.setLevel(level)
    logger.handlers = handlers


@pytest.fixture(scope="session", autouse=True)
def interruptible() -> None:
    """Started in the background, this process ignores Ctrl-C, and so would every child that a test interrupts."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def own_folders(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Cache, state, data and configuration of this session lie in a temporary folder; child processes inherit that."""
    root = tmp_path_factory.mktemp("user")
    with pytest.MonkeyPatch.context() as patch:
        for kind in ("cache", "state", "data", "config"):
            patch.setenv(f"XDG_{kind.upper()}_HOME", str(root / kind))
        # as the command line does: beside other work, spinning threads make the model many times slower
        patch.setenv("GOMP_SPINCOUNT", "1000")
        for name in ("HF_HUB_OFFLINE", "HF_ENDPOINT", "LEAFWISE_DEBUG", "CMAKE_ARGS"):
            patch.delenv(name, raising=False)
        yield


@pytest.fixture(scope="session")
def model_path() -> Path:
    """The embedded model's file. Use it in tests marked `model`."""
    from leafwise.runtime.models import resolve

    return resolve("smollm2-135m").path
