"""The errors of the benchmarks.

LeafwiseError
└── BenchmarkError    a data file is unusable, or a measurement could not be taken
"""

from __future__ import annotations

from leafwise.runtime.errors import LeafwiseError


class BenchmarkError(LeafwiseError):
    """A measurement could not be taken."""
