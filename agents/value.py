"""Marginal values: the chance that a step gives the first passing candidate, per answer that it costs.

All are estimates before the fact, in one unit (chance per answer of usual length), so that they can be compared. What a
step cannot bring to its end within the budget is worth nothing: half a tree answers no question.
"""

from __future__ import annotations

from leafwise.agents.settings import Part, Settings

_PLAN_LENGTH = 0.5
"""Length of a plan, in answers: names and documentation of functions, without their bodies."""
_GLUE_LENGTH = 0.5
"""Length of a composition, in answers: what the helpers do needs not be written again."""
_CHECKS_LENGTH = 0.5
"""Length of the checks of all leaves together, in answers."""
_REPAIR_LENGTH = 1.5
"""Length of a repaired module, in answers: a repair writes all of it again."""


def value_of_draft(settings: Settings, drafts: int, passing: int) -> float:
    """Of one more draft: the rate at which drafts pass, with half a pass in two drafts known beforehand.

    Zero after `most_drafts`: what that many drafts did not show, another will hardly show.
    """
    return (passing + 0.5) / (drafts + 2) if drafts < settings.most_drafts else 0.0


def cost_of_split(settings: Settings) -> float:
    """Answers that a whole pass through the tree takes: plans, leaves with their checks, a composition.

    The leaves divide the task among them: a sample of each makes one answer, however many they are.
    """
    samples = settings.leaf_samples * (1 + _GLUE_LENGTH)
    return settings.plans * _PLAN_LENGTH + samples + settings.has(Part.TESTER) * _CHECKS_LENGTH


def value_of_split(settings: Settings, plans: int, answers_left: float) -> float:
    """Of splitting the task into functions.

    Args:
        settings: the knobs.
        plans: how often it was tried to no avail: the chance halves with each time.
        answers_left: what the budget has room for.
    """
    cost = cost_of_split(settings)
    chance = settings.split_chance_of(None)  # a session has settled it by the planner's size
    return chance * 0.5**plans / cost if answers_left >= cost else 0.0


def value_of_growth(settings: Settings, share: float, growths: int, answers_left: float) -> float:
    """Of writing leaves and their parent once more, so that there are more versions to combine.

    It needs no end that the budget has to carry: each version that is written can be the one that was missing.

    Args:
        settings: the knobs.
        share: of the leaves that are written again.
        growths: how often they were written: from the second time on the chance halves with each.
        answers_left: what the budget has room for.
    """
    cost = settings.leaf_samples * (share + _GLUE_LENGTH)
    return settings.split_chance_of(None) * 0.5 ** (growths - 1) / cost if answers_left >= 1 else 0.0


def value_of_repair(settings: Settings, near: float, answers_left: float) -> float:
    """Of a round of repair: what passes more of the examples is nearer to passing all.

    Args:
        settings: the knobs.
        near: share of the visible examples that the candidate passes.
        answers_left: what the budget has room for.
    """
    cost = settings.leaf_samples * _REPAIR_LENGTH + settings.has(Part.CRITIC)
    return settings.repair_chance * (0.25 + 0.75 * near) / cost if answers_left >= cost else 0.0
