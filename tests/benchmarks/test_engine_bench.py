"""The engine's benchmark: its arithmetic by hand, its sections on the real model in tiny sizes. No timing is judged."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from leafwise.benchmarks import engine_bench
from leafwise.benchmarks.bench_cli import main
from leafwise.benchmarks.engine_bench import SECTIONS, Bench, EngineReport, open_bench_model, run_section, variant
from leafwise.benchmarks.engine_bench_cli import heading
from leafwise.benchmarks.engine_prompts import PromptMaker
from leafwise.benchmarks.engine_stress_cases import Case, base_requests, differs, fault, make_cases
from leafwise.benchmarks.engine_timing import Arrivals, BatchTimes, exactly, meter_difference
from leafwise.benchmarks.errors import BenchmarkError
from leafwise.benchmarks.humaneval import read_prompts
from leafwise.benchmarks.report import Recorder, Tell, read_machine
from leafwise.benchmarks.synthetic_gguf import SHAPES, write_synthetic
from leafwise.runtime.contracts import Completion, FinishReason, Request, Sample, Usage
from leafwise.runtime.errors import UsageError
from leafwise.runtime.gguf_header import read_header
from leafwise.runtime.llama_serial import SerialLlama
from leafwise.runtime.meter import Meter


def silent(_text: str) -> None:
    """Nobody wants to know."""


# --- the heading ------------------------------------------------------------------------------------------------------


def test_the_heading_warns_of_quick_numbers() -> None:
    report = EngineReport(model="m", threads=2, runs=1, quick=True, machine=read_machine())
    assert "mean nothing" in heading(report)
    assert EngineReport.model_validate_json(report.model_dump_json()) == report


# --- timing ----------------------------------------------------------------------------------------------------------


def test_the_rate_of_a_batch_is_taken_while_all_generate() -> None:
    # two sequences at 10 tokens per second each; the second begins a second later and ends a second later
    first = Arrivals([1.0 + i / 10 for i in range(31)], list(range(1, 32)))
    second = Arrivals([2.0 + i / 10 for i in range(31)], list(range(1, 32)))
    times = BatchTimes([first, second], [], first_token_seconds=2.0, seconds=5.0)
    assert times.decode_rate == pytest.approx(20.0)
    assert first.rate(0.0, 0.5) == 0.0


def test_a_batch_that_never_runs_together_has_a_rate_too() -> None:
    first = Arrivals([1.0, 1.1, 1.2], [1, 2, 3])
    second = Arrivals([2.0, 2.5, 3.0], [1, 2, 3])
    assert BatchTimes([first, second], [], first_token_seconds=2.0, seconds=3.0).decode_rate == pytest.approx(2.0)
    single = Arrivals([1.0], [1])
    assert BatchTimes([single], [], first_token_seconds=1.0, seconds=1.0).decode_rate == 0.0


def test_differences_of_a_meter() -> None:
    found = meter_difference(Meter(steps=3, step_seconds=1.0), Meter(steps=10, step_seconds=2.5, energy_joules=3.0))
    assert (found["steps"], found["step_seconds"]) == (7, 1.5)
    assert "energy_joules" not in found


@pytest.mark.parametrize("tokens", [8, 128, 900])
@pytest.mark.parametrize("count", [lambda t: 1 + len(t.split()), lambda t: 1 + len(t.encode())], ids=["words", "bytes"])
def test_prompts_have_the_exact_number_of_tokens(count: object, tokens: int) -> None:
    assert callable(count)
    maker = PromptMaker(count)
    texts = [maker.text(tokens) for _ in range(5)]
    assert len(set(texts)) == 5
    assert {count(text) for text in texts} == {tokens}
    longer = maker.text(tokens + 20, beginning=texts[0])
    assert longer.startswith(texts[0])
    assert count(longer) == tokens + 20


def test_a_prompt_that_can_not_be_made_is_an_error() -> None:
    with pytest.raises(BenchmarkError, match="no text of 7 tokens"):
        PromptMaker(lambda text: 2 * len(text)).text(7)


# --- sections --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [BenchmarkError("broke", "mend it"), KeyboardInterrupt()])
def test_what_was_measured_survives(error: BaseException, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def measure(_bench: Bench, out: Recorder, tell: Tell) -> None:
        tell("half of it")
        out.figure("before", 1.0)
        raise error

    module = SimpleNamespace(measure_fake=measure)
    monkeypatch.setitem(engine_bench.SECTIONS, "fake", "fake")
    monkeypatch.setattr("importlib.import_module", lambda _name: module)
    told: list[str] = []
    section = run_section("fake", Bench(name="m", path=tmp_path, threads=1, folder=tmp_path), told.append)
    assert [figure.name for figure in section.figures] == ["before"]
    assert section.interrupted is isinstance(error, KeyboardInterrupt)
    assert section.failure in ("broke (mend it)", "interrupted")
    assert told == ["fake: half of it"]


# --- stress cases ----------------------------------------------------------------------------------------------------


def answer(text: str, reason: FinishReason, tokens: int = 4) -> Completion:
    sample = Sample(text=text, finish_reason=reason, tokens=tokens)
    return Completion(samples=(sample,), usage=Usage(prompt_tokens=1, completion_tokens=tokens, seconds=1.0))


def test_random_requests_are_of_all_kinds_and_the_same_every_time() -> None:
    bases = base_requests(200, 1, 512)
    assert bases == base_requests(200, 1, 512)
    assert {bool(r.messages) for r in bases} == {r.json_schema is None for r in bases} == {True, False}
    assert {bool(r.stop) for r in bases} == {r.n > 1 for r in bases} == {r.lookup for r in bases} == {True, False}
    cases = make_cases(bases, 500, 2)
    assert {case.cancel for case in cases} == {"never", "at once", "with text", "later"}
    assert 50 < sum(case.request.deadline is not None for case in cases) < 150
    assert all(case.request.model_copy(update={"deadline": None}) == bases[case.base] for case in cases)


@pytest.mark.parametrize(
    ("fields", "text", "reason", "wrong"),
    [
        ({}, "fine", FinishReason.LENGTH, None),
        ({"max_tokens": 3}, "long", FinishReason.STOP, "too many tokens"),
        ({"max_tokens": 9}, "short", FinishReason.LENGTH, "cut before its length"),
        ({}, "", FinishReason.CANCELLED, "cancelled by nobody"),
        ({}, "", FinishReason.DEADLINE, "a deadline nobody set"),
        ({"stop": ("b",)}, "abc", FinishReason.LENGTH, "a stop string is in the text"),
        ({"json_schema": {"required": ["x"]}}, '{"x": 1}', FinishReason.STOP, None),
        ({"json_schema": {"required": ["x"]}}, '{"y": 1}', FinishReason.STOP, "not the JSON that was asked for"),
        ({"json_schema": {"required": []}}, "{", FinishReason.GRAMMAR, None),
        ({"json_schema": {"required": []}, "json_after": "!"}, "never", FinishReason.STOP, None),
        ({"json_schema": {"required": []}, "json_after": "!"}, "a!{}", FinishReason.STOP, None),
        (
            {"json_schema": {"required": []}, "json_after": "!"},
            "a!b",
            FinishReason.STOP,
            "not the JSON that was asked for",
        ),
    ],
)
def test_faults_are_seen(fields: dict[str, object], text: str, reason: FinishReason, wrong: str | None) -> None:
    request = Request.model_validate({"prompt": "p", "max_tokens": 4, **fields})
    assert fault(Case(base=0, request=request), answer(text, reason)) == wrong


@pytest.mark.parametrize(
    ("text", "reason", "other"),
    [
        ("one two", FinishReason.STOP, False),
        ("one tw", FinishReason.STOP, True),
        ("one tw", FinishReason.CANCELLED, False),
        ("one two e", FinishReason.CANCELLED, False),  # the stop string's beginning, held back until the end
        ("one \ufffd", FinishReason.DEADLINE, False),
        ("two", FinishReason.DEADLINE, True),
    ],
)
def test_answers_are_compared_with_the_same_request_alone(text: str, reason: FinishReason, other: bool) -> None:
    case = Case(base=0, request=Request(prompt="p", stop=(" end",)))
    assert differs(case, answer(text, reason), answer("one two", FinishReason.STOP)) is other


# --- the real model --------------------------------------------------------------------------------------------------


def test_humaneval_has_164_prompts() -> None:
    prompts = read_prompts()
    assert len(prompts) == 164
    assert prompts[0].id == "HumanEval/0"
    assert "def has_close_elements" in prompts[0].prompt


@pytest.fixture(scope="module")
def bench(model_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Bench:
    folder = tmp_path_factory.mktemp("bench")
    sizes = {"runs": 1, "quick": True, "limit": 2, "threads": 2, "isolated": False}
    return open_bench_model("smollm2-135m", model_path, **sizes).model_copy(update={"folder": folder})


@pytest.mark.model
def test_the_yardstick_agrees_with_itself(model_path: Path) -> None:
    llama = SerialLlama(model_path, 256, 2)
    try:
        runs = [llama.generate("def add(a, b):", 8) for _ in range(2)]
    finally:
        llama.close()
    assert runs[0].tokens == runs[1].tokens
    assert len(runs[0].tokens) == 8


@pytest.fixture(scope="module")
def tiny(bench: Bench) -> Bench:
    """A model so small that computing takes no time; one byte is one token."""
    path = bench.folder / "tiny.gguf"
    write_synthetic(SHAPES["tiny"], path)
    return bench.model_copy(update={"name": "tiny", "path": path})


def test_a_variant_is_made_once(tiny: Bench) -> None:
    told: list[str] = []
    path = variant(tiny, "iq4_nl", told.append)
    assert read_header(path).quantization == "IQ4_NL"
    assert variant(tiny, "iq4_nl", told.append) == path
    assert len(told) == 1
    assert variant(tiny, "q4_k", told.append) == tiny.path


@pytest.mark.model
def test_nothing_is_lost_or_wrong_under_stress(bench: Bench) -> None:
    section = run_section("stress", bench, silent)
    assert section.failure is None
    promised = {f.name: f.value for f in section.figures if f.met is not None and "memory" not in f.name}
    assert len(promised) >= 8
    assert set(promised.values()) == {0}, promised


@pytest.mark.parametrize("name", ["throughput", "latency", "steps", "lookup", "humaneval"])
def test_a_section_measures_something(name: str, tiny: Bench) -> None:
    section = run_section(name, tiny, silent)
    assert section.failure is None
    assert section.figures
    if name == "latency":
        assert section.figures[-1].value <= 1.1, section.figures[-1]


@pytest.mark.parametrize("name", ["kills", "kv"])
def test_a_section_with_a_process_of_its_own_measures_something(name: str, tiny: Bench) -> None:
    section = run_section(name, tiny.model_copy(update={"isolated": True}), silent)
    assert section.failure is None
    if name == "kills":
        promised = {figure.name: figure.met for figure in section.figures if figure.met is not None}
        assert set(promised.values()) == {True}, promised


def test_every_section_is_tested() -> None:
    tested = ("throughput", "stress", "humaneval", "latency", "steps", "lookup", "kills", "kv", "synthetic")
    assert set(SECTIONS) == set(tested)


def test_the_command_writes_a_report(tiny: Bench, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "report.json"
    options = [
        "--model",
        str(tiny.path),
        "--quick",
        "--runs",
        "1",
        "--in-process",
        "--only",
        "latency",
        "--out",
        str(out),
        "--json",
    ]
    assert main(["engine", *options]) == 0
    report = EngineReport.model_validate_json(out.read_text(encoding="utf-8"))
    assert json.loads(capsys.readouterr().out) == report.model_dump(mode="json")
    assert [section.name for section in report.sections] == ["latency"]


def test_a_synthetic_model_is_measured_and_removed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        main(["engine", "--synthetic", "tiny", "--quick", "--runs", "1", "--in-process", "--keep", str(tmp_path)]) == 0
    )
    assert "decode, 8 sequences" in capsys.readouterr().out
    assert [path.name for path in tmp_path.iterdir()] == ["tiny.synthetic.gguf"]


@pytest.mark.parametrize(
    ("options", "match"),
    [
        (["--only", "magic"], "magic"),
        (["--synthetic", "gpt5"], "gpt5"),
        (["--synthetic", "tiny", "--only", "kv"], "section of its own"),
        (["--out", "/nowhere/at/all.json"], "/nowhere/at"),
    ],
)
def test_wrong_options_are_refused_before_anything_runs(options: list[str], match: str) -> None:
    with pytest.raises(UsageError, match=match):
        main(["engine", *options])


def test_exact_requests() -> None:
    request = exactly("p", 7, n=2)
    assert (request.max_tokens, request.min_tokens, request.n) == (7, 7, 2)
