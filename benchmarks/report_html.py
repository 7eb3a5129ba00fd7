"""report.html: one file that works offline, with every task's tree and attempts packed inside.

What models wrote is untrusted: the template escapes everything, the data is JSON that cannot end its element, the page
builds text nodes from it, and its policy runs no script but its own.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any

import jinja2
from markupsafe import Markup

from leafwise.benchmarks import report_view as view
from leafwise.benchmarks.contracts import Manifest, Sample
from leafwise.benchmarks.summary_contracts import Summary
from leafwise.benchmarks.traces import Trace

LIMIT = 9 * 2**20
"""Bytes of packed tasks beyond which the largest lose their calls, and then their candidates."""

Key = tuple[str, str, int]


def render_html(
    manifest: Manifest, summary: Summary, samples: Sequence[Sample], traces: Mapping[Key, Trace], limit: int = LIMIT
) -> str:
    """The page.

    Args:
        manifest: of the run.
        summary: its results.
        samples: the answers.
        traces: of the samples that have one.
        limit: bytes that the packed tasks may take.
    """
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    style, script = _asset("report.css"), _asset("report.js")
    return environment.from_string(_asset("report.html.j2")).render(
        manifest=manifest,
        summary=summary,
        dots=[view.dots(summary, suite) for suite in summary.suites],
        differences=[view.differences(summary, suite) for suite in summary.suites],
        scatter=view.scatter(summary),
        blocks=view.blocks(summary),
        arms=view.arm_rows(summary),
        scores=view.score_rows(summary),
        team=view.team_rows(manifest),
        settings=view.settings_rows(manifest),
        style=Markup(style),
        script=Markup(script),
        style_hash=_csp_hash(style),
        script_hash=_csp_hash(script),
        data=Markup(_safe_json(_data(summary, samples, traces, limit))),
    )


def _data(summary: Summary, samples: Sequence[Sample], traces: Mapping[Key, Trace], limit: int) -> dict[str, Any]:
    outcomes = {
        f"{cell.arm}\n{cell.task}": [outcome.model_dump(mode="json") for outcome in cell.outcomes]
        for cell in summary.cells
    }
    packed = pack(samples, traces, limit)
    return {
        "tasks": summary.tasks,
        "arms": [arm.name for arm in summary.arms],
        "outcomes": outcomes,
        "packed": {"\n".join(map(str, key)): blob for key, blob in packed.items()},
    }


def pack(samples: Sequence[Sample], traces: Mapping[Key, Trace], limit: int = LIMIT) -> dict[Key, str]:
    """Each sample with its trace, as base64 of gzipped JSON; the largest are cut down until all fit the limit."""
    blobs = {sample.key: _blob(sample, traces.get(sample.key), 0) for sample in samples}
    total = sum(map(len, blobs.values()))
    for level in (1, 2):
        for sample in sorted(samples, key=lambda one: -len(blobs[one.key])):
            if total <= limit:
                return blobs
            total -= len(blobs[sample.key])
            blobs[sample.key] = _blob(sample, traces.get(sample.key), level)
            total += len(blobs[sample.key])
    return blobs


def _blob(sample: Sample, trace: Trace | None, level: int) -> str:
    left_out = ["", "what the model was asked and said", "what the model was asked and said, and what was tried"][level]
    drop = {0: set(), 1: {"calls"}, 2: {"calls", "candidates"}}[level]
    kept = None if trace is None else trace.model_dump(mode="json", exclude=drop)
    whole = {"solution": sample.solution, "raw": sample.raw, "trace": kept, "left_out": left_out if trace else ""}
    # lone surrogates, which a model's bytes may give, travel as JSON's escapes
    return base64.b64encode(gzip.compress(json.dumps(whole).encode("ascii"), mtime=0)).decode("ascii")


def _safe_json(value: Any) -> str:
    """JSON that no HTML parser can take for anything else: `</script>` and `<!--` are spelled with escapes."""
    text = json.dumps(value, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _asset(name: str) -> str:
    return (resources.files("leafwise.benchmarks") / name).read_text(encoding="utf-8")


def _csp_hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii")
