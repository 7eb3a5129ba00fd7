"""Energy that the machine's own sensors count: RAPL for processors, NVML for NVIDIA cards."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, Protocol

POWERCAP = Path("/sys/class/powercap")
"""Where Linux shows RAPL's counters."""


class EnergySensor(Protocol):
    """Counts what a part of the machine uses, whoever uses it."""

    def joules(self) -> float | None:
        """Energy since the sensor was opened; None once it can't be read any more."""
        ...


class _Counter(NamedTuple):
    """One hardware counter."""

    read: Callable[[], float]
    """The counter, in joules; raises OSError where it can't be read."""
    wraps_at: float
    """Joules after which it begins at zero again; 0 for never."""


class CountingSensor:
    """Adds up counters that only grow and may wrap around.

    RAPL's wrap after about 262 kJ (some 20 minutes at 200 W), so `joules` has to be asked more often than that.
    """

    def __init__(self, counters: list[_Counter]) -> None:
        self._counters = counters
        self._last = [counter.read() for counter in counters]
        self._sum = 0.0
        self._lost = False

    def joules(self) -> float | None:
        """Energy since the sensor was opened; None once a counter can't be read any more."""
        for i, counter in enumerate(self._counters):
            try:
                now = counter.read()
            except OSError:
                self._lost = True  # a sum with a part missing would look like thrift
                break
            gone = now - self._last[i]
            self._sum += gone if gone >= 0 else gone + counter.wraps_at
            self._last[i] = now
        return None if self._lost else self._sum


def open_energy_sensor(root: Path = POWERCAP) -> EnergySensor | None:
    """A sensor for all processor packages and NVIDIA cards that can be read; None where there are none.

    RAPL's counters are readable for root only on most machines.

    Args:
        root: the powercap folder.
    """
    counters = [*_rapl(root), *_nvml()]
    try:
        return CountingSensor(counters) if counters else None
    except OSError:
        return None


def _rapl(root: Path) -> list[_Counter]:
    """The counters of whole packages (`intel-rapl:0`); their parts (`intel-rapl:0:1`) are counted in them."""
    counters = []
    for zone in sorted(root.glob("intel-rapl:*")):
        if zone.name.count(":") != 1 or not _text(zone / "name").startswith("package"):
            continue  # `psys` is the whole board, packages included
        counter = _Counter(_file_reader(zone / "energy_uj"), _number(zone / "max_energy_range_uj") / 1e6)
        try:
            counter.read()
        except OSError:
            continue
        counters.append(counter)
    return counters


def _file_reader(path: Path) -> Callable[[], float]:
    def read() -> float:
        try:
            return int(path.read_text()) / 1e6
        except ValueError as error:
            raise OSError(f"{path} holds no number") from error

    return read


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except (OSError, UnicodeDecodeError):
        return ""


def _number(path: Path) -> int:
    text = _text(path)
    return int(text) if text.isdecimal() else 0


def _nvml() -> list[_Counter]:
    """The counters of the cards, if `pynvml` is installed and a driver answers."""
    try:
        nvml: Any = importlib.import_module("pynvml")
    except ImportError:
        return []
    try:
        nvml.nvmlInit()
        cards = [nvml.nvmlDeviceGetHandleByIndex(i) for i in range(nvml.nvmlDeviceGetCount())]
    except nvml.NVMLError:
        return []
    return [counter for card in cards if (counter := _card(nvml, card)) is not None]


def _card(nvml: Any, card: Any) -> _Counter | None:
    def read() -> float:
        try:
            return float(nvml.nvmlDeviceGetTotalEnergyConsumption(card)) / 1e3  # millijoules since the driver came up
        except nvml.NVMLError as error:
            raise OSError(f"the card's energy counter cannot be read: {error}") from error

    try:
        read()
    except OSError:
        return None  # older than Volta: no counter
    return _Counter(read, 0.0)
