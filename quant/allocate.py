"""One type for every tensor, by integer linear programming (HAWQ-V3, arXiv 2011.10680).

minimise sum_i weight_i * error_i(type_i) subject to sums of bytes, times or memory over the tensors being at most the
limits: a binary variable for each tensor and type, exactly one of which is 1 per tensor. Tensors that are tied have one
set of variables. Solved by HiGHS through `scipy.optimize.milp`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from leafwise.quant.contracts import CostTable
from leafwise.quant.errors import QuantizeError
from leafwise.quant.limits import SPEEDS, Bound, Limits, amount_of, bounds, elements, say
from leafwise.quant.quiet import quiet_stdout
from leafwise.quant.tensor_groups import Group, make_groups
from leafwise.runtime.contracts import Contract

Objective = Literal["error", "bytes", "prefill_seconds", "decode_seconds", "batch_seconds"]
"""What is made least."""

_SECONDS = 60.0  # then the best that was found is taken, and its gap is said
_GAP = 1e-4  # of large instances; proving the last of it can take minutes and no measurement would tell
_SMALL = 500  # variables: instances up to this are solved to the end
_FOUND = (0, 1)  # scipy: optimal; a limit on time was reached, perhaps with a solution
_ROUNDS = 5
_ROUNDING = 1e-12  # of a limit: sums of floats differ in their last digits with the order; less than a byte in 10^11


class Allocation(Contract):
    """A type for every tensor, and what that adds up to."""

    types: dict[str, str]
    """For each tensor's name its type, in the table's order."""
    objective: str
    """What was made least."""
    value: float
    """How much of it there is."""
    totals: dict[str, float]
    """`bytes` (all tensors), `bits_per_weight`, `error`, and the seconds where all were measured."""
    slack: dict[str, float] = Field(default_factory=dict)
    """For each limit what is left of it, in its units."""
    gap: float = 0.0
    """How much of the value a better allocation could at most take off, as a share; 0 is the proven optimum."""
    reasons: dict[str, str] = Field(default_factory=dict)
    """For tensors that had no choice of their own: `fixed`, or the tensors they are tied to."""


class _Problem(NamedTuple):
    """The program in matrices. V variables, G groups, B bounds."""

    objective: NDArray[np.float64]  # V
    group: NDArray[np.int64]  # V: the group of each variable
    amounts: NDArray[np.float64]  # B x V
    most: NDArray[np.float64]  # B


def allocate(
    table: CostTable,
    limits: Limits,
    *,
    objective: Objective = "error",
    sensitivities: Mapping[str, float] | None = None,
    ties: Iterable[Sequence[str]] = (),
    fixed: Mapping[str, str] | None = None,
    allowed: Mapping[str, Collection[str]] | Collection[str] | None = None,
) -> Allocation:
    """Choose the types.

    Args:
        table: what every tensor costs in every type.
        limits: upper bounds that have to hold.
        objective: what is made least; other than `error` it wants a limit on the error, or the worst types win.
        sensitivities: factors of the tensors' errors, by name; 1 where a tensor is not in it.
        ties: tensors that get the same type; groups that overlap are one.
        fixed: types that are given, by tensor.
        allowed: types that may be chosen: for all tensors, or by tensor for those that are in it.

    Raises:
        QuantizeError: no choice meets the limits; the message says which, and by how much. Or names or types are wrong,
            or a limit on a time was set that the table does not have.
    """
    weights = _weights(table, sensitivities or {})
    limited = bounds(limits, table)
    groups = make_groups(table, ties, fixed or {}, allowed)
    needed = [*{objective, *(bound.amount for bound in limited)}]
    costs = {amount: _costs(groups, amount, weights) for amount in needed}
    problem = _Problem(
        objective=costs[objective],
        group=np.repeat(np.arange(len(groups)), [len(group.types) for group in groups]),
        amounts=np.array([costs[bound.amount] for bound in limited]).reshape(len(limited), len(costs[objective])),
        most=np.array([bound.most for bound in limited]),
    )
    if not groups:
        raise QuantizeError("the table has no tensors", "is it of a model?")
    _check_each(problem, limited, groups)
    solved = _solve(problem)
    if solved is None:
        raise _together(problem, limited)
    chosen, gap = solved
    return _allocation(table, limited, groups, chosen, objective=objective, weights=weights, gap=gap)


def _weights(table: CostTable, sensitivities: Mapping[str, float]) -> dict[str, float]:
    weights = {tensor.name: float(sensitivities.get(tensor.name, 1.0)) for tensor in table.tensors}
    if unknown := sorted(sensitivities.keys() - weights.keys()):
        raise QuantizeError(f"there is a sensitivity for {unknown[0]}, which the table has not")
    if not all(0 <= weight < float("inf") for weight in weights.values()):
        raise QuantizeError("a sensitivity is negative or not finite", "measure them again")
    return weights


def _costs(groups: Sequence[Group], amount: str, weights: Mapping[str, float]) -> NDArray[np.float64]:
    """Of every variable: sums over the tensors of its group."""
    values = []
    for group in groups:
        for type_ in group.types:
            total = 0.0
            for tensor in group.tensors:
                choice = tensor.choice(type_)
                assert choice is not None
                part = amount_of(choice, amount, weights[tensor.name])
                if part is None:
                    raise QuantizeError(
                        f"the table has no {amount.replace('_', ' ')} of {tensor.name} in {type_}",
                        "measure the costs on this machine: `leafwise quantize costs`",
                    )
                total += part
            values.append(total)
    return np.array(values)


def _check_each(problem: _Problem, limited: Sequence[Bound], groups: Sequence[Group]) -> None:
    """Each limit alone: its least value is the sum of the groups' least, since no choice forbids another."""
    starts = np.searchsorted(problem.group, np.arange(len(groups)))
    problems = []
    for bound, amounts in zip(limited, problem.amounts, strict=True):
        least = float(np.minimum.reduceat(amounts, starts).sum())
        if least > bound.most + _ROUNDING * abs(bound.most):
            wanted, reached = bound.value(bound.most), bound.value(least)
            problems.append(
                f"at most {say(bound.limit, wanted)} cannot be met: the least is {say(bound.limit, reached)}, "
                f"{say(bound.limit, reached - wanted)} more"
            )
    if problems:
        raise QuantizeError("; ".join(problems), "raise the limit, or allow smaller types")


def _solve(problem: _Problem) -> tuple[NDArray[np.int64], float] | None:
    """The chosen variables, one per group, and the gap; None if there are none."""
    most = problem.most.copy()
    for _ in range(_ROUNDS):
        solved = _milp(problem.objective, problem, most)
        if solved is None:
            return None
        # HiGHS lets a constraint be off by a millionth: that much is taken off the limit, so that it really holds
        excess = problem.amounts[:, solved[0]].sum(axis=1) - problem.most
        over = excess > _ROUNDING * np.abs(problem.most)
        if not over.any():
            return solved
        most = np.where(over, most - 2 * excess, most)
    return None


def _milp(
    objective: NDArray[np.float64], problem: _Problem, most: NDArray[np.float64]
) -> tuple[NDArray[np.int64], float] | None:
    from scipy.optimize import LinearConstraint
    from scipy.sparse import csr_array

    count = len(objective)
    one_each = csr_array((np.ones(count), (problem.group, np.arange(count))))
    constraints = [LinearConstraint(one_each, 1, 1)]
    if len(most):
        scale = np.maximum(np.abs(problem.amounts).max(axis=1), 1e-300)
        constraints.append(LinearConstraint(problem.amounts / scale[:, None], -np.inf, most / scale))
    found = _run(objective, constraints, np.ones(count))
    if found is None:
        return None
    return np.flatnonzero(np.round(found.x)), float(found.mip_gap or 0.0)


def _run(objective: NDArray[np.float64], constraints: list[Any], integrality: NDArray[np.float64]) -> Any:
    from scipy.optimize import Bounds, milp

    upper = np.where(integrality > 0, 1.0, np.inf)
    with quiet_stdout():  # HiGHS prints a line of its own where it repairs a solution
        found = milp(
            objective / max(float(np.abs(objective).max()), 1e-300),
            integrality=integrality,
            bounds=Bounds(0, upper),
            constraints=constraints,
            options={"time_limit": _SECONDS, "mip_rel_gap": 0.0 if len(objective) <= _SMALL else _GAP},
        )
    return found if found.status in _FOUND and found.x is not None else None


def _together(problem: _Problem, limited: Sequence[Bound]) -> QuantizeError:
    """Each limit can be met, all of them cannot: how much all would have to give, as the same share of each."""
    from scipy.optimize import LinearConstraint
    from scipy.sparse import csr_array

    count = len(problem.objective)
    one_each = csr_array((np.ones(count), (problem.group, np.arange(count))), shape=(problem.group[-1] + 1, count + 1))
    # sum of amounts - share * whole limit <= most: the last variable is the share
    whole = np.array([bound.value(bound.most) / bound.scale for bound in limited])
    rows = np.hstack([problem.amounts, -whole[:, None]]) / whole[:, None]
    constraints = [LinearConstraint(one_each, 1, 1), LinearConstraint(rows, -np.inf, problem.most / whole)]
    found = _run(np.append(np.zeros(count), 1.0), constraints, np.append(np.ones(count), 0.0))
    names = " and ".join(say(bound.limit, bound.value(bound.most)) for bound in limited)
    if found is None:
        return QuantizeError(f"the limits cannot be met together: {names}", "raise one of them")
    relaxed = " and ".join(say(bound.limit, bound.value(bound.most) * (1 + found.x[-1])) for bound in limited)
    return QuantizeError(
        f"the limits cannot be met together: {names}; each alone can",
        f"raise all of them by {100 * found.x[-1]:.3g} % ({relaxed}), or one of them by more",
    )


def _allocation(
    table: CostTable,
    limited: Sequence[Bound],
    groups: Sequence[Group],
    chosen: NDArray[np.int64],
    *,
    objective: str,
    weights: Mapping[str, float],
    gap: float,
) -> Allocation:
    flat = [(group, type_) for group in groups for type_ in group.types]
    picked = {tensor.name: type_ for group, type_ in (flat[i] for i in chosen) for tensor in group.tensors}
    types = {tensor.name: picked[tensor.name] for tensor in table.tensors}
    totals = totals_of(table, types, weights)
    sums = {**totals, "bytes": totals["bytes"] - table.other_bytes}
    return Allocation(
        types=types,
        objective=objective,
        value=totals[objective],
        totals=totals,
        slack={bound.limit: (bound.most - sums[bound.amount]) * bound.scale for bound in limited},
        gap=gap,
        reasons={tensor.name: group.reason for group in groups if group.reason for tensor in group.tensors},
    )


def totals_of(table: CostTable, types: Mapping[str, str], weights: Mapping[str, float]) -> dict[str, float]:
    """What an assignment of types adds up to: as `Allocation.totals`.

    Raises:
        QuantizeError: a tensor cannot have its type.
    """
    totals: dict[str, float] = {"bytes": float(table.other_bytes), "error": 0.0}
    parameters = table.other_parameters
    speeds = dict.fromkeys(SPEEDS, 0.0)
    for tensor in table.tensors:
        choice = tensor.choice(types[tensor.name])
        if choice is None:
            raise QuantizeError(f"{tensor.name} cannot be {types[tensor.name]}", "its rows do not allow it")
        totals["bytes"] += choice.bytes
        totals["error"] += choice.error * weights.get(tensor.name, 1.0)
        parameters += elements(tensor.shape)
        speeds = {n: s + v for n, s in speeds.items() if (v := getattr(choice, n)) is not None}
    return {**totals, "bits_per_weight": 8 * totals["bytes"] / max(1, parameters), **speeds}
