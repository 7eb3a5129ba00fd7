"""Groups of tensors that get one type, and which types each group may have."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from leafwise.quant.contracts import CostTable, TensorCosts
from leafwise.quant.errors import QuantizeError


class Group(NamedTuple):
    """Tensors that get the same type; mostly there is one."""

    tensors: tuple[TensorCosts, ...]
    """In the table's order."""
    types: tuple[str, ...]
    """That all of them can have."""
    reason: str
    """Why there is no free choice for each of them; empty where there is."""


def make_groups(
    table: CostTable,
    ties: Iterable[Sequence[str]],
    fixed: Mapping[str, str],
    allowed: Mapping[str, Collection[str]] | Collection[str] | None,
) -> list[Group]:
    """The groups, in the order of their first tensors.

    Raises:
        QuantizeError: a name is not in the table, or a group is left without a type.
    """
    by_name = {tensor.name: tensor for tensor in table.tensors}
    ties = [tuple(tie) for tie in ties]
    by_tensor = allowed if isinstance(allowed, Mapping) else {}
    for name in [name for tie in ties for name in tie] + [*fixed] + [*by_tensor]:
        if name not in by_name:
            raise QuantizeError(f"there is no tensor {name} in the table", "names are as in the GGUF file")
    members = _members(by_name, ties)
    return [_group([by_name[name] for name in names], fixed, allowed) for names in members]


def ties_by_block(table: CostTable, *kinds: str) -> list[tuple[str, ...]]:
    """Ties between the tensors of these kinds in every block, for example `attn_q`, `attn_k`, `attn_v`."""
    blocks: dict[int, list[str]] = {}
    for tensor in table.tensors:
        if tensor.block is not None and tensor.kind in kinds:
            blocks.setdefault(tensor.block, []).append(tensor.name)
    return [tuple(names) for names in blocks.values() if len(names) > 1]


def _members(names: Iterable[str], ties: Sequence[Sequence[str]]) -> list[list[str]]:
    """Joins ties that share a tensor."""
    home = {name: [name] for name in names}
    for tie in ties:
        for name in tie[1:]:
            first, second = home[tie[0]], home[name]
            if first is not second:
                first.extend(second)
                for moved in second:
                    home[moved] = first
    order = {name: i for i, name in enumerate(home)}
    distinct = {id(members): sorted(members, key=order.__getitem__) for members in home.values()}
    return list(distinct.values())


def _group(
    tensors: list[TensorCosts],
    fixed: Mapping[str, str],
    allowed: Mapping[str, Collection[str]] | Collection[str] | None,
) -> Group:
    types = [choice.type for choice in tensors[0].choices]
    for tensor in tensors:
        possible = {choice.type for choice in tensor.choices}
        if tensor.name in fixed:
            possible &= {fixed[tensor.name]}
        else:  # a fixed type need not be among those allowed for all
            limits = allowed.get(tensor.name) if isinstance(allowed, Mapping) else allowed
            possible &= possible if limits is None else set(limits)
        types = [type_ for type_ in types if type_ in possible]
    if not types:
        names = ", ".join(tensor.name for tensor in tensors[:3])
        raise QuantizeError(
            f"no type is left for {names}: {_why_none(tensors, fixed)}",
            "allow more types, or drop a tie or a fixed type",
        )
    return Group(tuple(tensors), tuple(types), _reason(tensors, types, fixed))


def _why_none(tensors: Sequence[TensorCosts], fixed: Mapping[str, str]) -> str:
    wanted = [f"{tensor.name} is fixed to {fixed[tensor.name]}" for tensor in tensors if tensor.name in fixed]
    tied = [f"{len(tensors)} tensors are tied"] if len(tensors) > 1 else []
    have = f"rows of {tensors[0].shape[0]:,} can be {', '.join(choice.type for choice in tensors[0].choices)}"
    return "; ".join([*wanted, *tied, have])


def _reason(tensors: Sequence[TensorCosts], types: Sequence[str], fixed: Mapping[str, str]) -> str:
    if any(tensor.name in fixed for tensor in tensors):
        return "fixed"
    if len(types) == 1:
        return "the only type left"
    return "tied: " + ", ".join(tensor.name for tensor in tensors) if len(tensors) > 1 else ""
