"""What a process and all its descendants hold: memory, descriptors, zombies."""

from __future__ import annotations

import contextlib
from typing import NamedTuple

import psutil


class Footprint(NamedTuple):
    """What is held at one moment."""

    memory: int
    """Resident bytes of this process."""
    descriptors: int
    """Open descriptors of this process."""
    below_memory: int
    """Resident bytes of its descendants; pages that they share count for each."""
    below_descriptors: int | None
    """Open descriptors of its descendants; None where this user may not see them."""
    processes: int
    """Descendants that live."""
    zombies: int
    """Descendants that have ended and were not waited for."""


def read_footprint() -> Footprint:
    """The footprint of this process, now."""
    own = psutil.Process()
    memory, descriptors, living, zombies = 0, 0, 0, 0
    hidden = False
    for child in own.children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            if child.status() == psutil.STATUS_ZOMBIE:
                zombies += 1
                continue
            living += 1
            memory += child.memory_info().rss
            try:
                descriptors += child.num_fds()
            except psutil.AccessDenied:
                hidden = True
    below = None if hidden else descriptors
    return Footprint(own.memory_info().rss, own.num_fds(), memory, below, living, zombies)


def descendants() -> set[psutil.Process]:
    """The descendants of this process; two are equal only if they started at the same moment."""
    return set(psutil.Process().children(recursive=True))


def still_alive(processes: set[psutil.Process]) -> list[psutil.Process]:
    """Which of them have not ended."""
    return [process for process in processes if _lives(process)]


def _lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
