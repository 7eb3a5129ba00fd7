"""Counts what an engine does, step by step, and derives EfficientLLM's figures from it (arXiv 2505.13840)."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from leafwise.runtime.contracts import Contract, Usage
from leafwise.runtime.energy import EnergySensor, open_energy_sensor
from leafwise.runtime.meter import Meter

_MEMORY_SECONDS = 0.1  # looks at the memory lie at least this far apart; one takes some 20 microseconds
_ENERGY_SECONDS = 10.0  # RAPL's counters wrap after minutes
_STATUS = Path("/proc/self/status")


class Recorder:
    """What the scheduler thread tells what it did; any thread may ask for the sum.

    Args:
        open_sensor: finds a sensor for energy.
        clock: seconds, steadily growing.
        memory: resident bytes of this process.
    """

    def __init__(
        self,
        open_sensor: Callable[[], EnergySensor | None] = open_energy_sensor,
        *,
        clock: Callable[[], float] = time.monotonic,
        memory: Callable[[], int] | None = None,
    ) -> None:
        self._lock = threading.Lock()
        self._clock, self._memory = clock, memory or _resident_memory()
        self._sensor = open_sensor()
        self._opened = self._looked = self._counted = clock()
        self._processor_opened = time.process_time()
        self._resident = self._most_resident = self._memory()
        self._byte_seconds = 0.0
        self._requests = self._prompt_tokens = self._reused_tokens = self._completion_tokens = 0
        self._prefilled = self._guessed = self._accepted = self._steps = self._decoding_steps = self._running_sum = 0
        self._request_seconds = self._step_seconds = 0.0
        self._compute_seconds = self._prefill_seconds = self._sampling_seconds = 0.0

    def step(
        self,
        prompt_rows: int,
        decode_rows: int,
        running: int,
        compute_seconds: float,
        sampling_seconds: float,
        total_seconds: float,
    ) -> None:
        """A batch was computed.

        Args:
            prompt_rows: its rows that belong to prompts.
            decode_rows: its rows that belong to answers, guessed ones included.
            running: samples that generated.
            compute_seconds: wall-clock time in `llama_decode`.
            sampling_seconds: wall-clock time of drawing tokens.
            total_seconds: wall-clock time of the whole step.
        """
        with self._lock:
            self._steps += 1
            self._prefilled += prompt_rows
            if decode_rows:
                self._decoding_steps += 1
                self._running_sum += running
            self._step_seconds += total_seconds
            self._compute_seconds += compute_seconds
            self._sampling_seconds += sampling_seconds
            if prompt_rows:
                self._prefill_seconds += compute_seconds * prompt_rows / (prompt_rows + decode_rows)
            now = self._clock()
            if now - self._looked >= _MEMORY_SECONDS:
                self._look(now)

    def request(self, usage: Usage) -> None:
        """A request was answered."""
        with self._lock:
            self._requests += 1
            self._request_seconds += usage.seconds
            self._prompt_tokens += usage.prompt_tokens
            self._reused_tokens += usage.cached_tokens
            self._completion_tokens += usage.completion_tokens

    def guesses(self, guessed: int, accepted: int) -> None:
        """Tokens were guessed by prompt lookup, and some of them were right."""
        with self._lock:
            self._guessed += guessed
            self._accepted += accepted

    def processor_seconds(self) -> float:
        """CPU time, over all threads, that this process has used since the recorder was made."""
        return time.process_time() - self._processor_opened

    def snapshot(self) -> Meter:
        """What was counted so far; generated tokens are those of requests that were answered."""
        with self._lock:
            now = self._clock()
            self._look(now)
            seconds = now - self._opened
            return Meter(
                requests=self._requests,
                request_seconds=self._request_seconds,
                prompt_tokens=self._prompt_tokens,
                reused_tokens=self._reused_tokens,
                prefilled_tokens=self._prefilled,
                decoded_tokens=self._completion_tokens,
                guessed_tokens=self._guessed,
                accepted_tokens=self._accepted,
                steps=self._steps,
                decoding_steps=self._decoding_steps,
                running_sum=self._running_sum,
                step_seconds=self._step_seconds,
                compute_seconds=self._compute_seconds,
                prefill_seconds=self._prefill_seconds,
                sampling_seconds=self._sampling_seconds,
                seconds=seconds,
                mean_memory_bytes=self._byte_seconds / seconds if seconds > 0 else float(self._resident),
                peak_memory_bytes=max(peak_memory_bytes() or 0, self._most_resident),
                energy_joules=self._sensor.joules() if self._sensor is not None else None,
            )

    def _look(self, now: float) -> None:
        """Read the memory, and the energy once in a while; between two looks memory counts as their mean."""
        resident = self._memory()
        self._byte_seconds += (resident + self._resident) / 2 * (now - self._looked)
        self._looked, self._resident = now, resident
        self._most_resident = max(self._most_resident, resident)
        if self._sensor is not None and now - self._counted >= _ENERGY_SECONDS:
            self._counted = now
            self._sensor.joules()


class Efficiency(Contract):
    """EfficientLLM's figures of an engine's run. What can't be derived is None, never 0."""

    memory_gb: float | None
    """AMU, average memory utilisation, in GB (10^9 bytes)."""
    memory_share: float | None
    """AMU as a share of the machine's memory."""
    processor_utilization: float | None
    """PCU: mean utilisation of the processors over the most possible, 0 to 1."""
    latency_seconds: float | None
    """AL: mean wall-clock time of a request."""
    prefill_tokens_per_second: float | None
    """IT of prompts: tokens computed, over the part of the computing that they took."""
    decode_tokens_per_second: float | None
    """IT of answers: tokens generated, over the rest of the steps' time, sampling included."""
    watts: float | None
    """AEC: mean power over the whole time, idle included."""
    joules_per_token: float | None
    """Energy for each generated token."""


def efficiency(
    meter: Meter, *, machine_bytes: int | None = None, processor_seconds: float | None = None, processors: int = 1
) -> Efficiency:
    """Derive the figures.

    Args:
        meter: what was counted.
        machine_bytes: the machine's memory.
        processor_seconds: CPU time used meanwhile (`Recorder.processor_seconds`).
        processors: CPUs that could be used.
    """
    memory, energy = meter.mean_memory_bytes, meter.energy_joules
    return Efficiency(
        memory_gb=_ratio(memory, 1e9),
        memory_share=_ratio(memory, machine_bytes),
        processor_utilization=_ratio(processor_seconds, meter.seconds * processors),
        latency_seconds=_ratio(meter.request_seconds, meter.requests),
        prefill_tokens_per_second=_ratio(meter.prefilled_tokens, meter.prefill_seconds),
        decode_tokens_per_second=_ratio(meter.decoded_tokens, meter.step_seconds - meter.prefill_seconds),
        watts=_ratio(energy, meter.seconds),
        joules_per_token=_ratio(energy, meter.decoded_tokens),
    )


def compression_rate(
    original_bytes: float, compressed_bytes: float, original_score: float, compressed_score: float
) -> float | None:
    """MCR, the model compression rate: how much smaller, times the share of the score that is left.

    (bytes original / bytes compressed) x (score compressed / score original); None where there is nothing to divide by.
    """
    smaller, kept = _ratio(original_bytes, compressed_bytes), _ratio(compressed_score, original_score)
    return None if smaller is None or kept is None else smaller * kept


def _ratio(of: float | None, to: float | None) -> float | None:
    return of / to if of is not None and to is not None and to > 0 else None


def _resident_memory() -> Callable[[], int]:
    process = psutil.Process()
    return lambda: int(process.memory_info().rss)


def peak_memory_bytes() -> int | None:
    """Most resident memory this process ever had; None where the system does not say."""
    try:
        for line in _STATUS.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass  # not Linux
    if sys.platform == "win32":
        return None
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
