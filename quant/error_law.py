"""From a group's error to the loss it brings: power laws through what was measured. Pure functions."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import NamedTuple

_DISTINCT = 0.2  # of the errors' logarithms: nearer ones say nothing of an exponent
_EXPONENTS = (0.7, 1.5)  # beyond that it is noise
SMALLEST_KL = 1e-7  # what rounding alone gives: a group that does no harm at all is not free
"""Less counts as so much."""


class Law(NamedTuple):
    """What a group's error does: the KL divergence at measured errors, and power laws between and beyond them."""

    points: tuple[tuple[float, float], ...]
    """log error and log KL divergence, by error; none where no error was made."""
    shares: Mapping[str, float]
    """For each of the group's tensors its share of the group's error."""

    def of_tensor(self, name: str, error: float) -> float:
        """The KL divergence that a tensor's error brings: its share of the group's, had all tensors such errors."""
        share = self.shares[name]
        return share * math.exp(self._log_kl(math.log(error / share))) if share and error and self.points else 0.0

    def _log_kl(self, log_error: float) -> float:
        if len(self.points) == 1:
            return self.points[0][1] + log_error - self.points[0][0]
        after = next((i for i, (x, _) in enumerate(self.points) if x > log_error), len(self.points) - 1)
        (x0, y0), (x1, y1) = self.points[max(0, after - 1)], self.points[max(1, after)]
        slope = min(max((y1 - y0) / (x1 - x0), _EXPONENTS[0]), _EXPONENTS[1])
        if log_error <= x0 or log_error >= x1:
            x, y = (x0, y0) if log_error <= x0 else (x1, y1)
            return y + slope * (log_error - x)
        return y0 + (y1 - y0) / (x1 - x0) * (log_error - x0)


def law_through(points: Iterable[tuple[float, float]], energies: Mapping[str, float]) -> Law:
    """A law through measured points, each a good deal from the next.

    Args:
        points: error and KL divergence of the group.
        energies: for each of its tensors; the group's error divides about like these.
    """
    whole = sum(energies.values()) or 1.0
    kept: list[tuple[float, float]] = []
    for error, kl in sorted(point for point in points if point[0] > 0):
        point = math.log(error), math.log(max(kl, SMALLEST_KL))
        if not kept or point[0] > kept[-1][0] + _DISTINCT:
            kept.append(point)
    return Law(tuple(kept), {name: energy / whole for name, energy in energies.items()})
