"""Strategies by name: the four of the team, and `guided` without one of its parts, so that each part can be measured.

direct              one answer
resample            direct answers until the tokens are spent, the best by the visible examples
paper               the published method: decompose always, test, critique, compose; no gate, no consensus
guided              the default
guided-no-PART      `guided` without a part, for example `guided-no-critic`
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast, get_args

from leafwise.agents.settings import Part, Settings, Strategy
from leafwise.runtime.errors import UsageError

_WITHOUT = "guided-no-"

STRATEGIES: tuple[str, ...] = (*get_args(Strategy), *(f"{_WITHOUT}{part}" for part in Part))
"""All names."""


def require_strategies(names: Iterable[str]) -> None:
    """Refuse names that stand for nothing.

    Raises:
        UsageError: some of them do not.
    """
    if unknown := [name for name in names if name not in STRATEGIES]:
        raise UsageError(f"no strategy {', '.join(unknown)}", f"there are {', '.join(STRATEGIES)}")


def with_strategy(settings: Settings, name: str) -> Settings:
    """The settings, with the strategy that a name stands for.

    Args:
        settings: the other knobs.
        name: one of `STRATEGIES`.

    Raises:
        UsageError: there is no such strategy.
    """
    require_strategies([name])
    without: tuple[Part, ...] = ()
    if name.startswith(_WITHOUT):
        name, without = "guided", (Part(name.removeprefix(_WITHOUT)),)
    return settings.model_copy(update={"strategy": cast(Strategy, name), "without": without})


def strategy_name(settings: Settings) -> str:
    """The name of the strategy that the settings have; several missing parts are joined by `-no-`."""
    return "-no-".join([settings.strategy, *settings.without])
