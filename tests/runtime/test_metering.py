"""What the recorder counts, EfficientLLM's figures, and the energy sensors on a made-up machine."""

from __future__ import annotations

import sys
import threading
import time
import types
from pathlib import Path
from typing import Any

import pytest

from leafwise.runtime.contracts import Usage
from leafwise.runtime.energy import EnergySensor, open_energy_sensor
from leafwise.runtime.meter import Meter
from leafwise.runtime.metering import Efficiency, Recorder, compression_rate, efficiency, peak_memory_bytes


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


class Memory:
    def __init__(self, *sizes: int) -> None:
        self.sizes = list(sizes)

    def __call__(self) -> int:
        return self.sizes.pop(0)


class Sensor:
    asked = 0

    def joules(self) -> float:
        self.asked += 1
        return 10.0 * self.asked


def no_sensor() -> EnergySensor | None:
    return None


def recorder(clock: Clock, *sizes: int, sensor: Sensor | None = None) -> Recorder:
    return Recorder(lambda: sensor, clock=clock, memory=Memory(*sizes))


def test_steps_are_summed() -> None:
    clock = Clock()
    record = recorder(clock, 1, 1)
    record.step(30, 10, 10, 0.4, 0.1, 0.6)
    record.step(20, 0, 0, 0.2, 0.0, 0.25)
    record.step(0, 8, 4, 0.1, 0.05, 0.2)
    record.guesses(5, 3)
    record.guesses(2, 0)
    meter = record.snapshot()
    assert (meter.steps, meter.decoding_steps, meter.running_sum) == (3, 2, 14)
    assert meter.prefilled_tokens == 50
    assert meter.step_seconds == pytest.approx(1.05)
    assert meter.compute_seconds == pytest.approx(0.7)
    assert meter.prefill_seconds == pytest.approx(0.4 * 30 / 40 + 0.2)
    assert meter.sampling_seconds == pytest.approx(0.15)
    assert (meter.guessed_tokens, meter.accepted_tokens) == (7, 3)


def test_requests_are_summed() -> None:
    record = recorder(Clock(), 1, 1)
    for cached in (0, 8):
        record.request(Usage(prompt_tokens=10, cached_tokens=cached, completion_tokens=5, seconds=1.5))
    meter = record.snapshot()
    assert (meter.requests, meter.request_seconds, meter.prompt_tokens) == (2, 3.0, 20)
    assert (meter.reused_tokens, meter.decoded_tokens) == (8, 10)


def test_mean_memory_is_weighted_by_time() -> None:
    clock = Clock()
    record = recorder(clock, 100, 300, 300)
    clock.now += 0.05
    record.step(1, 0, 0, 0.0, 0.0, 0.0)  # too early to look again
    clock.now += 0.95
    record.step(1, 0, 0, 0.0, 0.0, 0.0)  # 100 to 300 in one second
    clock.now += 3.0
    meter = record.snapshot()  # 300 for three more
    assert meter.seconds == pytest.approx(4.0)
    assert meter.mean_memory_bytes == pytest.approx((200 * 1 + 300 * 3) / 4)


def test_memory_of_no_time_at_all() -> None:
    assert recorder(Clock(), 100, 200).snapshot().mean_memory_bytes == 200


def test_the_real_memory_of_this_process() -> None:
    meter = Recorder(no_sensor).snapshot()
    assert meter.mean_memory_bytes is not None
    assert meter.peak_memory_bytes is not None
    assert 2**20 < meter.mean_memory_bytes <= meter.peak_memory_bytes * 1.01


def test_peak_memory_without_proc(monkeypatch: pytest.MonkeyPatch) -> None:
    in_status = peak_memory_bytes()
    monkeypatch.setattr("leafwise.runtime.metering._STATUS", Path("/nowhere"))
    assert peak_memory_bytes() == pytest.approx(in_status, rel=0.1)


def test_energy_is_asked_before_its_counter_wraps() -> None:
    clock, sensor = Clock(), Sensor()
    record = recorder(clock, *[1] * 30, sensor=sensor)
    for _ in range(21):
        clock.now += 1.0
        record.step(1, 0, 0, 0.0, 0.0, 0.0)
    assert sensor.asked == 2
    assert record.snapshot().energy_joules == 30.0


def test_without_a_sensor_energy_is_none() -> None:
    assert recorder(Clock(), 1, 1).snapshot().energy_joules is None


def test_a_step_costs_less_than_20_microseconds() -> None:
    record, rounds = Recorder(no_sensor), []
    for _ in range(5):
        begin = time.perf_counter()
        for _ in range(2000):
            record.step(100, 16, 16, 0.01, 0.001, 0.012)
        rounds.append((time.perf_counter() - begin) / 2000)
    assert min(rounds) < 20e-6


def test_snapshots_from_other_threads() -> None:
    record = Recorder(no_sensor)
    stop, seen = threading.Event(), list[Meter]()

    def watch() -> None:
        while not stop.is_set():
            seen.append(record.snapshot())

    watcher = threading.Thread(target=watch)
    watcher.start()
    for _ in range(3000):
        record.step(2, 1, 1, 0.1, 0.0, 0.1)
    stop.set()
    watcher.join()
    assert all(meter.prefilled_tokens == 2 * meter.steps for meter in seen)
    assert record.snapshot().steps == 3000


# EfficientLLM


def test_the_figures() -> None:
    meter = Meter(
        requests=4,
        request_seconds=10.0,
        prefilled_tokens=600,
        decoded_tokens=300,
        step_seconds=8.0,
        prefill_seconds=2.0,
        seconds=20.0,
        mean_memory_bytes=2e9,
        energy_joules=600.0,
    )
    figures = efficiency(meter, machine_bytes=8 * 10**9, processor_seconds=10.0, processors=2)
    assert figures == Efficiency(
        memory_gb=2.0,
        memory_share=0.25,
        processor_utilization=0.25,
        latency_seconds=2.5,
        prefill_tokens_per_second=300.0,
        decode_tokens_per_second=50.0,
        watts=30.0,
        joules_per_token=2.0,
    )


def test_what_cannot_be_derived_is_none() -> None:
    assert set(efficiency(Meter()).model_dump().values()) == {None}


def test_compression_rate() -> None:
    assert compression_rate(16, 4, 0.5523, 0.5095) == pytest.approx(3.690, abs=5e-4)
    assert compression_rate(16, 0, 0.5, 0.5) is compression_rate(16, 4, 0.0, 0.5) is None


def test_processor_time_is_that_of_this_process() -> None:
    record = Recorder(no_sensor)
    begin = time.process_time()
    while time.process_time() < begin + 0.05:
        pass
    assert 0.05 <= record.processor_seconds() < 5


# sensors


@pytest.fixture(autouse=True)
def no_cards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)


def zone(root: Path, folder: str, name: str, energy: int, most: int = 262_143_328_850) -> Path:
    path = root / folder
    path.mkdir(parents=True)
    (path / "name").write_text(f"{name}\n")
    (path / "energy_uj").write_text(f"{energy}\n")
    (path / "max_energy_range_uj").write_text(f"{most}\n")
    return path / "energy_uj"


def opened(root: Path) -> EnergySensor:
    sensor = open_energy_sensor(root)
    assert sensor is not None
    return sensor


def test_packages_are_added_and_their_parts_are_not(tmp_path: Path) -> None:
    counters = [
        zone(tmp_path, "intel-rapl:0", "package-0", 1_000_000),
        zone(tmp_path, "intel-rapl:1", "package-1", 5_000_000),
        zone(tmp_path, "intel-rapl:0:0", "core", 500_000),
        zone(tmp_path, "intel-rapl:2", "psys", 500_000),
    ]
    sensor = opened(tmp_path)
    assert sensor.joules() == 0.0
    for counter in counters:
        counter.write_text(str(int(counter.read_text()) + 2_500_000))
    assert sensor.joules() == pytest.approx(5.0)


def test_a_counter_wraps_around(tmp_path: Path) -> None:
    counter = zone(tmp_path, "intel-rapl:0", "package-0", 9_000_000, most=10_000_000)
    sensor = opened(tmp_path)
    for now, total in (2_000_000, 3.0), (1_000_000, 12.0):
        counter.write_text(str(now))
        assert sensor.joules() == pytest.approx(total)


def test_no_sensor(tmp_path: Path) -> None:
    assert open_energy_sensor(tmp_path) is None
    assert open_energy_sensor(tmp_path / "nowhere") is None


@pytest.mark.parametrize("text", ["", "many", None])
def test_a_counter_that_cannot_be_read_is_no_sensor(tmp_path: Path, text: str | None) -> None:
    counter = zone(tmp_path, "intel-rapl:0", "package-0", 1)
    if text is None:
        counter.unlink()
        counter.mkdir()  # root may read any file, but not a folder
    else:
        counter.write_text(text)
    assert open_energy_sensor(tmp_path) is None


def test_a_counter_lost_on_the_way_makes_the_sum_none(tmp_path: Path) -> None:
    counter = zone(tmp_path, "intel-rapl:0", "package-0", 1_000_000)
    sensor = opened(tmp_path)
    counter.unlink()
    assert sensor.joules() is None
    counter.write_text("3000000")
    assert sensor.joules() is None


class Card:
    """Stands for the `pynvml` module."""

    class NVMLError(Exception): ...

    def __init__(self, *millijoules: int, broken: bool = False) -> None:
        self.readings, self.broken = list(millijoules), broken

    def module(self) -> Any:
        module: Any = types.SimpleNamespace()
        module.NVMLError = self.NVMLError
        module.nvmlInit = self.start
        module.nvmlDeviceGetCount = lambda: 1
        module.nvmlDeviceGetHandleByIndex = lambda i: i
        module.nvmlDeviceGetTotalEnergyConsumption = self.read
        return module

    def start(self) -> None:
        if self.broken:
            raise self.NVMLError("no driver")

    def read(self, _card: int) -> int:
        if not self.readings:
            raise self.NVMLError("not supported")
        return self.readings.pop(0)


def test_a_card_counts_millijoules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", Card(0, 1000, 3500).module())
    assert opened(tmp_path).joules() == pytest.approx(2.5)


@pytest.mark.parametrize("card", [Card(), Card(1, broken=True)], ids=["old", "no driver"])
def test_a_card_without_a_counter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, card: Card) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", card.module())
    assert open_energy_sensor(tmp_path) is None
