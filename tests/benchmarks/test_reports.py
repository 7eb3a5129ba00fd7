"""The reports of a run: what they say, that hostile answers stay text, and how the page looks in a browser."""

from __future__ import annotations

import base64
import gzip
import io
import json
import re
import shutil
import struct
import subprocess
import zlib
from pathlib import Path

import pytest
from measured_run import ARMS, HOSTILE, arm, events, judged, manifest, sample, write_run
from rich.console import Console

from leafwise.agents.settings import Settings
from leafwise.agents.strategies import STRATEGIES
from leafwise.benchmarks.contracts import Sample
from leafwise.benchmarks.errors import BenchmarkError
from leafwise.benchmarks.evaluation_view import score_table
from leafwise.benchmarks.report_html import pack
from leafwise.benchmarks.report_view import scatter
from leafwise.benchmarks.reports import read_traces, report_run
from leafwise.benchmarks.summary import summarize
from leafwise.benchmarks.traces import read_trace, trace_path, write_trace
from leafwise.runtime.cli import main

CHROMIUM = shutil.which("chromium")
browser = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed: the page was not looked at")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_run(tmp_path_factory.mktemp("run"))
    report_run(folder)
    return folder


def test_a_trace_comes_back(tmp_path: Path) -> None:
    path = trace_path(tmp_path, "model/guided", "HumanEval/7", 2)
    assert path.relative_to(tmp_path).as_posix() == "traces/model_guided/HumanEval_7-2.jsonl.gz"
    assert read_trace(path) is None
    write_trace(path, events("x"))
    trace = read_trace(path)
    assert trace is not None
    assert [(node.id, node.name, node.state) for node in trace.nodes] == [
        ("root", "f", "solved"),
        ("root.1", "helper", "failed"),
    ]
    assert (trace.task, trace.candidates[0].source, trace.calls[0].texts[0].text) == ("Write f. x", "x", "x")
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(BenchmarkError, match="damaged"):
        read_trace(path)


def test_hostile_answers_are_text_in_the_page(run: Path) -> None:
    page = (run / "report.html").read_text(encoding="utf-8")
    assert page.count("<script") == page.count("</script>") == 2
    assert "onerror" not in page
    assert "{{" not in page
    assert not re.findall(r"(?:src|href|url)\s*[=(]\s*[\"']?(?:https?:)?//", page)
    assert len(page) < 10 * 2**20


def test_hostile_names_are_text_too(tmp_path: Path) -> None:
    write_run(tmp_path, tasks=3)
    for name in ("manifest.json", "samples.jsonl", "verdicts.jsonl"):
        text = (tmp_path / name).read_text(encoding="utf-8")
        changed = text.replace('"arm":"guided"', f'"arm":{json.dumps(HOSTILE)}')
        changed = changed.replace('"name":"guided"', f'"name":{json.dumps(HOSTILE)}')
        (tmp_path / name).write_text(changed, encoding="utf-8")
    report_run(tmp_path)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert page.count("<script") == 2
    assert "<img" not in page
    assert "<img" not in (tmp_path / "report.md").read_text(encoding="utf-8").replace("\\<img", "")


def test_packed_tasks_keep_to_the_limit(run: Path) -> None:
    lines = (run / "samples.jsonl").read_text(encoding="utf-8").splitlines()
    samples = [Sample.model_validate_json(line) for line in lines[:20]]
    traces = read_traces(run, samples)
    whole = pack(samples, traces)
    limit = int(0.9 * sum(map(len, whole.values())))
    less = pack(samples, traces, limit)
    assert sum(map(len, less.values())) <= limit
    shown = [json.loads(gzip.decompress(base64.b64decode(blob))) for blob in less.values()]
    assert all(("calls" in one["trace"]) == (one["left_out"] == "") for one in shown)
    assert any(one["left_out"] for one in shown)


def test_the_command_says_what_it_made(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "report", str(run)]) == 0
    out = capsys.readouterr().out
    assert re.search(r"guided solves \d+ of 164, direct \d+: [+-][\d.]+ points \(95 % interval .* McNemar p", out)
    summary = json.loads((run / "summary.json").read_text(encoding="utf-8"))
    text = (run / "report.md").read_text(encoding="utf-8")
    assert summary["verdicts"][0] in out
    assert f"{summary['arms'][2]['scores'][0]['passed']} of 164" in text
    assert "prompts\\_sha256 | " + "3" * 64 in text
    assert "| guided | 164 of 164 |" in text
    assert "| 880 | 14.7x |" in text
    page = (run / "report.html").read_text(encoding="utf-8")
    for knob in Settings.model_fields:
        assert f'<th scope="row">{knob}</th>' in page, "every report prints every knob of the team"
        assert f"| {knob} |".replace("_", "\\_") in text


def test_an_incomplete_run_says_so_first(tmp_path: Path) -> None:
    write_run(tmp_path, tasks=3)
    path = tmp_path / "samples.jsonl"
    path.write_text("".join(path.read_text(encoding="utf-8").splitlines(keepends=True)[1:]), encoding="utf-8")
    report_run(tmp_path)
    text = (tmp_path / "report.md").read_text(encoding="utf-8").splitlines()
    assert text[2].startswith("> Not complete: direct: 1 of 3 samples are missing")
    assert "Not complete: direct" in (tmp_path / "report.html").read_text(encoding="utf-8").partition("<main>")[0]


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("samples.jsonl", '{"task_id": 1}\n', "line 1"),
        ("verdicts.jsonl", "{broken\n", "line 1"),
        ("manifest.json", "{}", "no manifest"),
        ("manifest.json", None, "cannot read"),
    ],
)
def test_damaged_files_are_named_with_their_line(tmp_path: Path, name: str, content: str | None, says: str) -> None:
    write_run(tmp_path, tasks=2)
    if content is None:
        (tmp_path / name).unlink()
    else:
        (tmp_path / name).write_text(content, encoding="utf-8")
    with pytest.raises(BenchmarkError, match=says) as caught:
        report_run(tmp_path)
    assert caught.value.hint


def chromium(profile: Path, page: str, *options: str) -> subprocess.CompletedProcess[str]:
    assert CHROMIUM is not None
    fixed = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--enable-logging=stderr", "--v=0"]
    command = [CHROMIUM, *fixed, f"--user-data-dir={profile}", "--virtual-time-budget=4000", *options, page]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)


def colours(png: bytes) -> int:
    """How many different rows of pixels an image has: 1 for a blank one."""
    assert png.startswith(b"\x89PNG")
    width, _, depth, kind = struct.unpack(">IIBB", png[16:26])
    data, at = b"", 8
    while at < len(png):
        length, name = struct.unpack(">I4s", png[at : at + 8])
        data += png[at + 8 : at + 8 + length] if name == b"IDAT" else b""
        at += length + 12
    stride = 1 + width * depth // 8 * {2: 3, 6: 4}[kind]
    raw = zlib.decompress(data)
    return len({raw[i : i + stride] for i in range(0, len(raw), stride)})


@browser
@pytest.mark.parametrize(
    ("look", "options", "place"),
    [
        ("light", ["--window-size=1240,2600"], ""),
        ("dark", ["--window-size=1240,2600", "--blink-settings=preferredColorScheme=0"], ""),
        ("narrow", ["--window-size=500,2600"], ""),
        ("task", ["--window-size=1240,1600"], "#task=HumanEval/0&arm=guided"),
    ],
)
def test_the_page_in_a_browser(run: Path, tmp_path: Path, look: str, options: list[str], place: str) -> None:
    shot = tmp_path / f"{look}.png"
    address = (run / "report.html").as_uri() + place
    if look == "narrow":  # windows are at least 500 px wide
        frame = tmp_path / "frame.html"
        frame.write_text(f'<iframe width="400" height="2500" src="{address}"></iframe>', encoding="utf-8")
        address = frame.as_uri()
    done = chromium(tmp_path / "profile", address, *options, f"--screenshot={shot}")
    assert colours(shot.read_bytes()) > 100
    assert "CONSOLE" not in done.stderr


@browser
@pytest.mark.parametrize(("task", "missing"), [(0, False), (163, True)])
def test_a_task_opens_by_its_address(run: Path, tmp_path: Path, task: int, missing: bool) -> None:
    address = (run / "report.html").as_uri() + f"#task=HumanEval/{task}"
    done = chromium(tmp_path, address, "--dump-dom")
    assert "CONSOLE" not in done.stderr
    dom = done.stdout
    assert f'data-ready="HumanEval/{task}"' in dom
    assert len(re.findall(r'<a class="cell ', dom)) == 3 * 164
    dialog = dom[dom.index("<dialog") : dom.index("</dialog>")]
    assert ("trace of this sample is missing" in dialog) == missing
    assert ("What was tried (1)" in dialog) == (not missing)
    assert "&lt;/script&gt;&lt;script&gt;" in dialog
    assert "<img" not in dom
    assert "<title>humaneval" in dom  # the hostile answers set another title if they run


def test_without_a_trace_or_code_a_sample_is_packed() -> None:
    blob = pack([sample("direct", 0, solution="", raw="lone \ud800")], {})["direct", "HumanEval/0", 0]
    assert json.loads(gzip.decompress(base64.b64decode(blob)))["trace"] is None


def test_labels_of_the_scatter_plot_do_not_cover_each_other() -> None:
    names = ("direct", *(name for name in STRATEGIES if name.startswith("guided")))
    arms = [arm(name) for name in names]
    answers = [sample(a.name, i, completion_tokens=50 + place) for place, a in enumerate(arms) for i in range(4)]
    summary = summarize(manifest(arms), answers, [judged(a, a.task_id.endswith("0")) for a in answers])
    points = scatter(summary)["points"]
    assert [point["name"] for point in points[:3]] == ["direct", "guided", "no-gate"]
    assert len({point["y"] for point in points}) == 1, "all are as good"
    heights = [point["label_y"] for point in points]
    assert len(set(heights)) == len(heights), "side by side they would cover each other: each has a line of its own"
    assert all(0 < height < 100 for height in heights)


def test_the_table_of_the_terminal_has_costs_beside_direct() -> None:
    tokens = {"direct": 10, "resample": 70, "guided": 75}
    answers = [sample(a.name, i, completion_tokens=tokens[a.name]) for a in ARMS for i in range(4)]
    summary = summarize(manifest(), answers, [judged(a, True) for a in answers])
    out = io.StringIO()
    Console(file=out, width=120).print(score_table(summary))
    assert [line.split()[-1] for line in out.getvalue().splitlines()] == ["direct", "1.0x", "1.0x", "1.0x"]
    assert ["7.0x" in line for line in out.getvalue().splitlines()] == [False, False, True, False]
