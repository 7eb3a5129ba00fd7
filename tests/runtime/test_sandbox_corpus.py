from __future__ import annotations

import pytest

from leafwise.runtime.sandbox import corpus_judge, open_sandbox
from leafwise.runtime.sandbox_contracts import Status
from leafwise.runtime.sandbox_corpus import humaneval_program

HELPED = {
    "prompt": "import math\n\ndef rate(x):\n    return abs(x)\n\ndef f(x):\n    '''best by rate'''\n",
    "test": "def check(c):\n    assert rate(c(4)) == 2\n",
    "entry_point": "f",
}
PLAIN = {"prompt": "def f(x):\n", "test": "def check(c):\n    assert c(1) == 2\n", "entry_point": "f"}


def test_the_tests_have_the_prompts_helpers_without_the_function() -> None:
    setup = humaneval_program(HELPED, "    return 2\n").setup
    assert "def rate" in setup
    assert "import math" in setup
    assert "best by rate" not in setup
    assert humaneval_program(PLAIN, "").setup.strip() == PLAIN["test"].strip()
    assert humaneval_program(PLAIN | {"prompt": "not python ("}, "").setup.strip() == PLAIN["test"].strip()


@pytest.mark.sandbox
def test_a_completion_cannot_change_a_helper() -> None:
    lie = "    return 9\n\ndef rate(x):\n    return 2\n"
    with open_sandbox(workers=1) as sandbox:
        assert sandbox.run(humaneval_program(HELPED, "    return -2\n")).status is Status.PASSED
        assert sandbox.run(humaneval_program(HELPED, lie)).status is Status.FAILED


@pytest.mark.sandbox
def test_corpus_judge() -> None:
    judge = corpus_judge()
    try:
        assert judge(PLAIN, "    return x + 1\n", 5.0)[0] == "pass"
        assert judge(PLAIN, "    return x\n", 5.0)[0] == "fail"
        assert judge(PLAIN, "    return (\n", 5.0)[0] == "fail"
        assert judge(PLAIN, "    while True: pass\n", 0.3)[0] == "timeout"
        assert judge(PLAIN, "    import os; os._exit(0)\n", 5.0)[0] == "crash"
    finally:
        judge.close()
