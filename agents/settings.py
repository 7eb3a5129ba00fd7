"""The team's knobs, in one place: they are printed in every report."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from pydantic import Field, field_validator

from leafwise.agents.role_settings import Role, RoleSettings
from leafwise.runtime.contracts import Contract, Sampling

_SMALL = 1_000_000_000
"""Weights below which a model is small."""
_SPLIT_CHANCE, _SPLIT_CHANCE_OF_SMALL = 0.4, 0.1
Strategy = Literal["direct", "resample", "paper", "guided"]


class Part(StrEnum):
    """The parts of `guided` that can be left out, to measure what each is worth."""

    GATE = "gate"
    """Drafts that agree and pass end the task."""
    DECOMPOSE = "decompose"
    """Splitting the task into functions: plan, leaves, composition."""
    CRITIC = "critic"
    """Words about a failing candidate for its repair."""
    TESTER = "tester"
    """Checks that the model writes."""
    CONSENSUS = "consensus"
    """Comparing candidates by their behaviour on generated inputs."""
    RECOMBINE = "recombine"
    """Other versions of leaves in place of the winners, where these fail together."""
    REPAIR = "repair"
    """Writing a failing candidate again."""


class Settings(Contract):
    """The team's knobs. The paper does not publish its own: these are ours."""

    strategy: Strategy = "guided"
    """`direct`: one answer. `resample`: direct answers until the tokens are spent, and the best by the visible
    examples. `paper`: the published method. `guided`: drafts first, and more where they do not settle the task.
    """
    without: tuple[Part, ...] = ()
    """Parts of `guided` that are left out, each once, in the order of `Part`."""
    seed: int = Field(default=0, ge=0, lt=2**32)
    """All sampling derives from it."""
    max_tokens: int = Field(default=12_000, ge=16)
    """Most generated tokens of the whole run; it then ends with the best answer so far."""
    time_limit: float | None = Field(default=None, gt=0)
    """Most seconds of the whole run; it then ends with the best answer so far."""
    answer_tokens: int = Field(default=384, ge=16)
    """Most tokens of one answer of the model."""
    first_answer_tokens: int = Field(default=64, ge=16)
    """Most tokens of an answer in the first round of drafts of `guided`, the greedy one aside; doubled, up to
    `answer_tokens`, where it cuts two thirds of the answers.
    """
    drafts: int = Field(default=8, ge=1, le=64)
    """Direct candidates of `guided` in one round."""
    most_drafts: int = Field(default=32, ge=1, le=1024)
    """Direct candidates of `guided` in all rounds: more hardly change the answer."""
    agreement: int = Field(default=2, ge=1, le=64)
    """Candidates that must pass and behave alike to end a task with visible examples; without examples half a round
    of drafts must, if that is more.
    """
    greedy_draft: bool = True
    """Whether the first draft takes the most likely tokens; otherwise it is sampled like the others."""
    leaf_samples: int = Field(default=3, ge=1, le=64)
    """Candidates per leaf, per composition, and per round of repair."""
    combinations: int = Field(default=128, ge=1, le=4096)
    """Combinations of the leaves' versions that are run where the winners fail together; they cost no tokens."""
    plans: int = Field(default=2, ge=1, le=16)
    """Plans asked for per node; the one with most usable stubs is taken."""
    split_chance: float | None = Field(default=None, ge=0.0, le=10.0)
    """How likely splitting a task that drafts did not settle is thought to solve it (see `value`): with 0.4 a plan
    comes once about a round of whole drafts has failed, with 0.1 once about thirty have; 0 is never. None goes by the
    size of the model that plans (`split_chance_of`): 0.1 below a billion weights, else 0.4.
    """
    repair_chance: float = Field(default=0.25, ge=0.0, le=10.0)
    """How likely a round of repair of a nearly right candidate is thought to make it right; 0 is never."""
    max_depth: int = Field(default=2, ge=1, le=5)
    """Levels of the problem tree below the root."""
    max_breadth: int = Field(default=4, ge=1, le=16)
    """Children per node."""
    repair_rounds: int = Field(default=2, ge=0, le=8)
    """Rounds of critique and repair; they end early when nothing improves."""
    generated_checks: int = Field(default=4, ge=0, le=32)
    """Checks kept of what the tester writes, per node."""
    inputs: int = Field(default=64, ge=0, le=256)
    """Generated inputs on which candidates are compared, per node."""
    temperature: float = Field(default=0.8, ge=0.0, le=5.0)
    """Of every sample but the greedy draft. 0 takes the most likely tokens: all answers to a prompt are equal then, so
    one is asked for, whatever `drafts`, `leaf_samples` and `plans` say, and drafts have one round.
    """
    top_p: float = Field(default=0.95, gt=0.0, le=1.0)
    """Of every sample but the greedy draft."""
    roles: dict[Role, RoleSettings] = Field(default_factory=dict)
    """How roles differ: their models, sampling, limits and prompts."""
    context_tokens: int = Field(default=400, ge=0)
    """Most tokens of a prompt that tell of the context files' functions."""

    @field_validator("without")
    @classmethod
    def _in_order(cls, parts: tuple[Part, ...]) -> tuple[Part, ...]:
        return tuple(part for part in Part if part in parts)

    def for_planner(self, parameters: int | None) -> Settings:
        """The same with the chance of a split settled; see `split_chance_of`."""
        return self.model_copy(update={"split_chance": self.split_chance_of(parameters)})

    def split_chance_of(self, parameters: int | None) -> float:
        """The chance of a split that is given, or else the one that the planning model's size suggests.

        The bound is a guess between what was measured, a model of 0.135 billion weights whose trees solved nothing, and
        what was simulated, models that write an easy function rightly four times in ten, whose trees at least cost
        nothing (`benchmarks/RESULTS.md`).

        Args:
            parameters: the model's weights; None, unknown, is taken for many.
        """
        if self.split_chance is not None:
            return self.split_chance
        return _SPLIT_CHANCE if parameters is None or parameters >= _SMALL else _SPLIT_CHANCE_OF_SMALL

    @property
    def samples_per_node(self) -> int:
        """Candidates per leaf, composition and repair: one in `paper`, where nobody compares."""
        return 1 if self.strategy == "paper" else self.leaf_samples

    def has(self, part: Part) -> bool:
        """Whether the team has a part."""
        return part not in self.without

    def of(self, role: Role) -> RoleSettings:
        """How a role differs; nothing by default."""
        return self.roles.get(role, RoleSettings())

    def sampling(self, role: Role, *, greedy: bool = False) -> Sampling:
        """How a role's tokens are drawn: as its own settings say, or else the team's; `greedy` overrides both."""
        if greedy:
            return Sampling()
        own = self.of(role).model_dump(include=set(Sampling.model_fields), exclude_none=True)
        return Sampling(**{"temperature": self.temperature, "top_p": self.top_p, **own})

    def varies(self, role: Role) -> bool:
        """Whether a role's answers to one prompt can differ: with the most likely tokens only, they are all equal."""
        sampling = self.sampling(role)
        return not sampling.greedy and sampling.top_k != 1
