"""The four roles: what each is asked, and how its answer is read. An answer of no use is a value, never an error."""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence

from leafwise.agents.context import context_names
from leafwise.agents.contracts import Failure, Plan, Spec
from leafwise.agents.drafting import Batch
from leafwise.agents.extract import extract_code
from leafwise.agents.given import continuable, type_imports, with_given
from leafwise.agents.inputs import literal_arguments
from leafwise.agents.place import Place
from leafwise.agents.plans import read_plan, stub_text
from leafwise.agents.prompt_text import failure_text, shown_examples, task_text
from leafwise.agents.role_settings import Role
from leafwise.agents.settings import Part
from leafwise.agents.standard_names import with_standard_imports
from leafwise.agents.team import Team
from leafwise.agents.tests_in_order import check_of_assert
from leafwise.agents.tidy import tidied, without_definitions, without_tests
from leafwise.agents.written import Written
from leafwise.runtime.contracts import Completion, FinishReason, Sample
from leafwise.runtime.engine import Generation
from leafwise.runtime.sandbox_contracts import Check
from leafwise.runtime.syntax import literal, parse

_FENCE = "```python\n"
_ENDS = ("```", "\nprint(", "\nassert ", "\nif __name__", "\n# Example", "\n# Test", "\n# example", "\n# test")
"""Where a function's code has ended: what a model says after it, examples of its use, is of no use to anybody."""
_DOCSTRINGS = ('"""', "'''")
"""Where a docstring begins: see `drafting`."""
_PLAN_OPENING = f"Here are the helper functions:\n\n{_FENCE}"
CHECK_TOKENS = 160
"""Most tokens of a tester's answer."""
_CRITIQUE_TOKENS = 96


# --- coder -----------------------------------------------------------------------------------------------------------


Asked = tuple[str, Generation | None]
"""The beginning of an answer that was put into the model's mouth, and the request in flight."""


class Coder:
    """Writes one function at a time."""

    def __init__(self, team: Team, place: Place, spec: Spec) -> None:
        self._team, self._place, self._spec = team, place, spec
        self._prompts = team.prompts(Role.CODER)
        self._stops = _ENDS if spec.entry_point else _ENDS[:1]  # a script may well print

    def ask_drafts(self, batches: Sequence[Batch]) -> list[Asked]:
        """Ask for direct answers, all in one batch of the engine; returns at once."""
        prompt = self._prompts.render("draft", task=task_text(self._prompts, self._spec))
        openings = {"signature": self._opening(self._spec), "fence": _FENCE}
        asked: list[Asked] = []
        for number, batch in enumerate(batches):
            if batch.greedy and openings[batch.form] in [opening for opening, _ in asked]:
                continue  # where no function is named, both kinds of answers begin alike
            generation = self._team.ask(
                self._place,
                f"coder-{number}" if number else "coder",
                prompt,
                continuation=openings[batch.form],
                n=batch.n,
                max_tokens=batch.max_tokens,
                greedy=batch.greedy,
                stop=(*self._stops, *_DOCSTRINGS) if batch.bare else self._stops,
                must_fit=number == 0,
            )
            asked.append((openings[batch.form], generation))
        return asked

    def leaf(self, n: int, purpose: str) -> list[Written]:
        """One documented, pure function of a plan."""
        spec = self._spec
        prompt = self._prompts.render(
            "leaf",
            signature=spec.signature or f"def {spec.entry_point}(*args):",
            statement=spec.statement,
            examples=shown_examples(spec) if len(spec.examples) else "",
            context=spec.context,
            purpose=purpose,
            name=spec.entry_point or "",
        )
        return self._sample(prompt, n)

    def compose(self, n: int, children: Sequence[Spec]) -> list[Written]:
        """The parent function, from its children's signatures and docstrings only."""
        spec = self._spec
        prompt = self._prompts.render(
            "compose",
            task=task_text(self._prompts, spec),
            helpers=stub_text(children),
            name=spec.entry_point or "",
        )
        return self._sample(prompt, n)

    def repair(self, n: int, source: str, failure: Failure | None, critique: str) -> list[Written]:
        """The whole module again, with the evidence of what is wrong, if anything is, and what the critic says."""
        prompt = self._prompts.render(
            "repair",
            task=task_text(self._prompts, self._spec),
            code=source.strip(),
            failure=failure_text(failure) if failure else "",
            critique=critique,
        )
        # most of the answer stands in the prompt already, so guesses from it are often right
        asked: list[Asked] = []
        more = n - 1 if self._team.settings.varies(Role.CODER) else 0
        for name, count, greedy in (("coder", 1, True), ("coder-more", more, False)):
            if count:
                generation = self._team.ask(
                    self._place,
                    name,
                    prompt,
                    continuation=_FENCE,
                    n=count,
                    greedy=greedy,
                    stop=self._stops,
                    lookup=True,
                )
                asked.append((_FENCE, generation))
        return self.read(asked)

    def _sample(self, prompt: str, n: int) -> list[Written]:
        opening = self._opening(self._spec)
        generation = self._team.ask(self._place, "coder", prompt, continuation=opening, n=n, stop=self._stops)
        return self.read([(opening, generation)])

    @staticmethod
    def _opening(spec: Spec) -> str:
        """The answer's first characters: a small model that has begun with the right name goes on with it."""
        if spec.signature:
            # no line break at the end: it belongs into one token with the indentation that follows
            return f"{_FENCE}{spec.signature}"
        return f"{_FENCE}def {spec.entry_point}(" if spec.entry_point else _FENCE

    def read(self, asked: Sequence[Asked]) -> list[Written]:
        """Wait for what was asked, and read it."""
        written: list[Written] = []
        for opening, generation in asked:
            completion = self._team.receive(self._place, "coder", generation)
            for sample in completion.samples if completion else ():
                written.append(_read_code(opening, sample, self._spec))
        return written


def _read_code(opening: str, sample: Sample, spec: Spec) -> Written:
    answer = opening + sample.text
    found = extract_code(answer, spec.entry_point, continuable(spec.statement, spec.entry_point))
    return Written(
        code=_completed(found.code, spec) if found.code else "",
        rule=found.rule,
        answer=answer,
        cut=sample.finish_reason is not FinishReason.STOP,
        logprob=sample.logprob / sample.tokens if sample.logprob is not None and sample.tokens else None,
    )


def _completed(code: str, spec: Spec) -> str:
    """A coder's module without what is there already or of no use, and with what it takes for granted."""
    code = without_definitions(without_tests(code, spec.setup, spec.entry_point), context_names(spec.context))
    given = "\n".join(filter(None, (type_imports(spec.signature, spec.given), spec.given)))
    code = with_standard_imports(with_given(code, given) if given else code)
    if spec.entry_point is None:
        return code
    told = "\n".join([spec.statement, spec.given, spec.setup, *(example.code for example in spec.examples)])
    return tidied(code, {spec.entry_point, *re.findall(r"\w+", told)})


# --- generalist ------------------------------------------------------------------------------------------------------


def plan(team: Team, place: Place, spec: Spec, taken: Sequence[str]) -> Plan:
    """Ask the generalist how to split a function, as Python stubs; of several plans the fullest is taken."""
    breadth = team.settings.max_breadth
    name = spec.entry_point or ""
    prompts = team.prompts(Role.GENERALIST)
    prompt = prompts.render("plan", task=task_text(prompts, spec), name=name, breadth=breadth)
    opening = f"{_PLAN_OPENING}def"  # without the space: it belongs into one token with the name that follows
    generation = team.ask(place, "generalist", prompt, continuation=opening, n=team.settings.plans, stop=("```",))
    completion = team.receive(place, "generalist", generation)
    if completion is None:
        return Plan(problem="no budget left for a plan")
    answers = [opening + sample.text for sample in completion.samples]
    plans = [read_plan(answer, spec.entry_point, taken, breadth, spec.given) for answer in answers]
    return max(plans, key=lambda p: len(p.stubs))


# --- tester ----------------------------------------------------------------------------------------------------------


def ask_tester(team: Team, place: Place, spec: Spec) -> Generation | None:
    """Ask the tester for checks; returns at once. None if checks are not wanted or there is no name to call."""
    count = team.settings.generated_checks
    if not count or not team.settings.has(Part.TESTER) or spec.entry_point is None:
        return None
    prompts = team.prompts(Role.TESTER)
    prompt = prompts.render("tests", task=task_text(prompts, spec), name=spec.entry_point, count=count)
    opening = f"{_FENCE}assert {spec.entry_point}("
    return team.ask(place, "tester", prompt, continuation=opening, max_tokens=CHECK_TOKENS, stop=("```", "\n\n"))


def receive_checks(team: Team, place: Place, spec: Spec, generation: Generation | None) -> tuple[Check, ...]:
    """Wait for the tester's answer and read it."""
    completion = team.receive(place, "tester", generation)
    if completion is None or generation is None:
        return ()
    return read_checks(
        generation.request.continuation + completion.samples[0].text, spec, team.settings.generated_checks
    )


def read_checks(answer: str, spec: Spec, count: int) -> tuple[Check, ...]:
    """The usable checks in a tester's answer.

    Usable is an assert on one line that calls the function with literal arguments and compares with a literal.
    Repetitions of each other or of the visible examples are dropped.
    """
    seen = {example.code for example in spec.examples}
    checks: list[Check] = []
    for line in answer.splitlines():
        check = _check_of_line(line.strip(), spec.entry_point or "")
        if check is not None and check.code not in seen and len(checks) < count:
            seen.add(check.code)
            checks.append(check)
    return tuple(checks)


def _check_of_line(line: str, name: str) -> Check | None:
    try:
        statement = parse(line).body[0]
    except (SyntaxError, ValueError, IndexError, MemoryError, RecursionError):
        return None
    if not isinstance(statement, ast.Assert):
        return None
    try:
        check = check_of_assert(statement)
        literal(check.expected or "")
    except (ValueError, RecursionError):
        return None
    return check if literal_arguments(check.code, name) else None


# --- critic ----------------------------------------------------------------------------------------------------------


def critique(team: Team, place: Place, spec: Spec, source: str, failure: Failure | None) -> str:
    """Ask the critic what is wrong with a failing candidate, or how efficient a passing one is.

    Returns:
        One line; empty if nothing came.
    """
    prompts, greedy = team.prompts(Role.CRITIC), team.settings.of(Role.CRITIC).temperature is None
    text = task_text(prompts, spec)
    evidence = failure_text(failure) if failure else ""
    prompt = prompts.render("critique", task=text, code=source.strip(), failure=evidence)
    generation = team.ask(place, "critic", prompt, max_tokens=_CRITIQUE_TOKENS, greedy=greedy, stop=("\n\n", "```"))
    completion: Completion | None = team.receive(place, "critic", generation)
    return " ".join(completion.samples[0].text.split()) if completion else ""
