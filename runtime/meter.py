"""What an engine did, in numbers: tokens, steps, times, memory, energy.

The definitions are EfficientLLM's (arXiv 2505.13840).
"""

from __future__ import annotations

from leafwise.runtime.contracts import Contract


class Meter(Contract):
    """Counts and sums since the engine was opened. What can't be measured is None, never 0."""

    requests: int = 0
    """Requests that were answered."""
    request_seconds: float = 0.0
    """Sum of their wall-clock times, from submission to the last token."""
    prompt_tokens: int = 0
    """Tokens of their prompts."""
    reused_tokens: int = 0
    """Of these, found in the cache."""
    prefilled_tokens: int = 0
    """Prompt tokens that were computed."""
    decoded_tokens: int = 0
    """Tokens generated."""
    guessed_tokens: int = 0
    """Tokens guessed by prompt lookup."""
    accepted_tokens: int = 0
    """Of these, guessed right."""
    steps: int = 0
    """Batches computed."""
    decoding_steps: int = 0
    """Of these, batches in which at least one sample generated."""
    running_sum: int = 0
    """Samples that generated, summed over the steps: divided by `decoding_steps` it is the mean batch occupancy."""
    step_seconds: float = 0.0
    """Wall-clock time of all steps."""
    compute_seconds: float = 0.0
    """Of these, in `llama_decode`."""
    prefill_seconds: float = 0.0
    """The part of `compute_seconds` that went into prompt tokens, by their share of each batch's rows."""
    sampling_seconds: float = 0.0
    """Of these, drawing tokens."""
    restarts: int = 0
    """Times that the engine's process was started again."""
    seconds: float = 0.0
    """Wall-clock time since the engine was opened: T of the averages."""
    mean_memory_bytes: float | None = None
    """Average memory utilisation: (1/T) integral of the process's resident memory over time."""
    peak_memory_bytes: int | None = None
    """Most resident memory the process ever had."""
    energy_joules: float | None = None
    """Energy the machine's sensors counted meanwhile (whole package or card, whoever used it)."""
