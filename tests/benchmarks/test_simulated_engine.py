"""The simulated engine does what it says it assumes."""

from __future__ import annotations

import ast

import pytest
from simulated_problems import small_problems

from leafwise.agents.plans import read_plan
from leafwise.agents.prompting import render
from leafwise.benchmarks.errors import BenchmarkError
from leafwise.benchmarks.problems import task_of
from leafwise.benchmarks.simulate_reference import Mistake, SimulatedFunction, SimulatedTask
from leafwise.benchmarks.simulated_engine import SimulatedEngine, Skill, draw_chances
from leafwise.runtime.contracts import FinishReason, Message, Request, Sample, Sampling
from leafwise.runtime.errors import EngineClosedError

FENCE = "```python\n"
ROOT_TEXT = "def even_squares(xs: list[int]) -> int:\n    return sum((square(x) for x in xs if is_even(x)))"
WORDS = render("task", statement="Sum even squares.", is_code=False, examples="", imports="", context="")


def _function(name: str, source: str, wrong: list[str], values: list[str], needs: tuple[str, ...] = ()) -> object:
    calls = tuple(f"{name}({i})" for i in range(len(values)))
    return SimulatedFunction(
        name=name,
        signature=source.partition("\n")[0],
        statement=f"What {name} does.",
        source=source,
        needs=needs,
        calls=calls,
        values=tuple(values),
        mistakes=tuple(Mistake(source=text, values=("99",) * len(values)) for text in wrong),
    )


def _task() -> SimulatedTask:
    problem = small_problems()[1]
    root = _function(
        "even_squares", ROOT_TEXT, [ROOT_TEXT.replace("sum", "max")], ["0", "4"], needs=("square", "is_even")
    )
    square = "def square(number: int) -> int:\n    return number * number"
    even = "def is_even(number: int) -> bool:\n    return number % 2 == 0"
    helpers = [
        _function("square", square, [square.replace("*", op) for op in "+-/"], ["0", "1", "4"]),
        _function("is_even", even, [even.replace("0", "1"), even.replace("2", "3")], ["True", "False"]),
    ]
    functions = (root, *helpers)
    return SimulatedTask.model_validate(
        {"problem": problem, "task": task_of(problem), "preamble": "", "functions": functions}
    )


TASK = _task()


def _engine(p: float = 1.0, q: float = 1.0, d: float = 1.0, chance: float | None = None) -> SimulatedEngine:
    skill = Skill(p=p, q=q, d=d)
    chances = draw_chances([TASK], skill, 0)
    if chance is not None:
        chances = dict.fromkeys(chances, chance)
    return SimulatedEngine(TASK, skill, chances, 0)


def _ask(
    engine: SimulatedEngine, prompt: str, start: str = FENCE, n: int = 1, *, greedy: bool = False, most: int = 500
) -> list[Sample]:
    sampling = Sampling() if greedy else Sampling(temperature=0.8)
    message = Message(role="user", content=prompt)
    request = Request(messages=(message,), continuation=start, sampling=sampling, n=n, max_tokens=most, seed=7)
    return list(engine.submit(request).result(timeout=5).samples)


def _draft(engine: SimulatedEngine, n: int = 1, start: str = FENCE) -> list[str]:
    return [sample.text for sample in _ask(engine, render("draft", task=WORDS), start, n)]


def _repair(code: str) -> str:
    return render("repair", task=WORDS, code=code, failure="It fails.", critique="")


def _texts(code: str) -> dict[str, str]:
    return {node.name: ast.unparse(node) for node in ast.parse(code).body if isinstance(node, ast.FunctionDef)}


RIGHT = {function.name: function.source for function in TASK.functions}


def test_a_perfect_model_writes_the_reference() -> None:
    (text,) = _draft(_engine())
    assert _texts(text) == RIGHT


def test_an_answer_goes_on_where_it_was_begun() -> None:
    start = FENCE + "def even_squares(xs: list[int]) -> int:"
    (text,) = _draft(_engine(), start=start)
    assert _texts((start + text).removeprefix(FENCE)) == RIGHT


def test_an_answer_that_cannot_begin_so_is_an_error() -> None:
    with pytest.raises(BenchmarkError, match="cannot go on from"):
        _draft(_engine(), start=FENCE + "class Even")


def test_a_hopeless_model_makes_every_mistake_there_is_and_only_those() -> None:
    wrong = {function.name: {m.source for m in function.mistakes} for function in TASK.functions}
    for text in _draft(_engine(p=0.0), n=20):
        assert all(text in wrong[name] for name, text in _texts(text).items())


def test_functions_are_right_as_often_as_their_chance_says_and_first_mistakes_are_typical() -> None:
    answers = [_texts(text) for text in _draft(_engine(chance=0.6), n=250)]
    right = sum(answer["square"] == RIGHT["square"] for answer in answers)
    assert 0.5 < right / 250 < 0.7
    both = sum(answer["square"] == RIGHT["square"] and answer["is_even"] == RIGHT["is_even"] for answer in answers)
    assert both < right  # functions fail independently
    mistakes = [TASK.functions[1].mistakes[i].source for i in range(3)]
    counts = [sum(answer["square"] == text for answer in answers) for text in mistakes]
    assert counts == sorted(counts, reverse=True)


def test_equal_requests_get_equal_answers() -> None:
    assert _draft(_engine(chance=0.5), n=9) == _draft(_engine(chance=0.5), n=9)


def test_greedy_takes_the_most_likely_version() -> None:
    for chance, expected in ((0.9, RIGHT["square"]), (0.1, TASK.functions[1].mistakes[0].source)):
        (sample,) = _ask(_engine(chance=chance), render("draft", task=WORDS), greedy=True)
        assert _texts(sample.text)["square"] == expected


def test_a_leaf_is_one_function_and_a_composition_leaves_out_what_is_offered() -> None:
    leaf = render(
        "leaf",
        signature="def square(n):",
        statement="Square.",
        context="",
        examples="",
        purpose="Sum.",
        name="square",
    )
    assert _texts(_ask(_engine(), leaf)[0].text).keys() == {"square"}
    compose = render("compose", task=WORDS, helpers='def square(n):\n    """It."""\n    ...', name="even_squares")
    assert _texts(_ask(_engine(), compose)[0].text).keys() == {"even_squares", "is_even"}


@pytest.mark.parametrize(("d", "expected"), [(1.0, {"square", "is_even"}), (0.0, {"prepare", "check"})])
def test_a_plan_is_the_references_split_or_useless(d: float, expected: set[str]) -> None:
    opening = FENCE + "def"
    prompt = render("plan", task=WORDS, name="even_squares", breadth=4)
    plan = read_plan(opening + _ask(_engine(d=d), prompt, opening)[0].text, "even_squares", (), 4)
    assert {str(s.entry_point) if d else str(s.entry_point).partition("_")[0] for s in plan.stubs} == expected
    assert all(stub.examples for stub in plan.stubs)


@pytest.mark.parametrize("q", [0.0, 1.0])
def test_checks_are_right_with_chance_q(q: float) -> None:
    opening = FENCE + "assert square("
    said = opening + _ask(_engine(q=q), render("tests", task=WORDS, count=3, name="square"), opening)[0].text
    lines = [line for line in said.splitlines() if line.startswith("assert")]
    right = {
        f"assert {call} == {value}"
        for call, value in zip(TASK.functions[1].calls, TASK.functions[1].values, strict=True)
    }
    assert len(lines) == 3
    assert all((line in right) == (q == 1.0) for line in lines)


def test_a_repair_keeps_what_is_right_and_does_not_repeat_the_mistake() -> None:
    mistake = TASK.functions[1].mistakes[0].source
    code = "\n\n".join([RIGHT["is_even"], mistake, RIGHT["even_squares"]])
    answers = [_texts(sample.text) for sample in _ask(_engine(chance=0.5), _repair(code), n=60)]
    assert {answer["is_even"] for answer in answers} == {RIGHT["is_even"]}
    assert mistake in {answer["square"] for answer in answers}  # not found every time
    assert RIGHT["square"] in {answer["square"] for answer in answers}
    alone = [_texts(sample.text) for sample in _ask(_engine(chance=0.5), _repair(mistake), n=60)]
    assert mistake not in {answer["square"] for answer in alone}


def test_a_long_answer_is_cut() -> None:
    (sample,) = _ask(_engine(), render("draft", task=WORDS), most=10)
    assert (sample.finish_reason, sample.tokens, len(sample.text)) == (FinishReason.LENGTH, 10, 35)


def test_a_closed_engine_answers_nothing() -> None:
    engine = _engine()
    engine.close()
    with pytest.raises(EngineClosedError):
        _draft(engine)


def test_chances_have_the_mean_p_and_keep_their_order() -> None:
    easy, hard = (draw_chances([TASK], Skill(p=p, concentration=5.0), 3) for p in (0.8, 0.3))
    assert sorted(easy, key=easy.__getitem__) == sorted(hard, key=hard.__getitem__)
    many = [TASK.model_copy(update={"problem": TASK.problem.model_copy(update={"id": f"T/{i}"})}) for i in range(60)]
    for p in (0.0, 0.22, 0.63, 1.0):
        drawn = draw_chances(many, Skill(p=p), 1).values()
        assert sum(drawn) / len(drawn) == pytest.approx(p, abs=0.01)
