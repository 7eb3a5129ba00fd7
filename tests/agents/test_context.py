"""Context files: which are taken, what prompts say of them, and that a run and its sandbox have them."""

from __future__ import annotations

import ast
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from team_script import scripted_team

from leafwise.agents import AnswerStatus, EventKind, Settings, TaskError, resume, start
from leafwise.agents.context import context_names, pack, relevant, with_context
from leafwise.agents.context_documents import Document, documents_of, import_lines, render
from leafwise.agents.context_files import load_context, parse_context, read_context
from leafwise.agents.context_ranking import scores, words_of
from leafwise.agents.errors import RunError
from leafwise.agents.given import with_given
from leafwise.agents.solve import read_inputs
from leafwise.agents.tidy import without_definitions
from leafwise.runtime.contracts import Request
from leafwise.runtime.errors import UsageError

UTILS = '''"""Helpers."""

def parse_line(line: str) -> tuple[str, int]:
    """Split a line such as "apples: 3" into its name and its count.

    The count is a whole number.
    """
    name, _, count = line.partition(":")
    return name.strip(), int(count)


def slugify(title: str) -> str:
    """Turn a title into a slug."""
    return "-".join(title.lower().split())


def _private(): ...


class Basket(dict):
    """Counts by name."""

    owner: str

    def __init__(self, owner: str, *, size: int = 3): ...

    @property
    def total(self) -> int:
        """All counts together."""
        return sum(self.values())

    def _hidden(self): ...
'''
TASK = 'Write a function count(lines) that sums what parse_line finds. count(["apples: 3", "pears: 4"]) == 7'
ANSWER = "\n    return sum(parse_line(line)[1] for line in lines)\n"


@pytest.fixture
def utils(tmp_path: Path) -> Path:
    path = tmp_path / "src" / "utils.py"
    path.parent.mkdir()
    path.write_text(UTILS)
    return path


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A package with a package in it, and with things beside the Python files."""
    files = {
        "__init__.py": "",
        "money.py": 'def cents(text: str) -> int:\n    """Cents of a price such as 2.50."""\n    return int(text)\n',
        "deep/__init__.py": "",
        "deep/tax.py": 'from shop.money import cents\n\ndef tax(text):\n    """In cents."""\n    return cents(text)\n',
        "secret.env": "KEY=1",
        ".hidden/x.py": "syntax error here",
    }
    for name, text in files.items():
        path = tmp_path / "shop" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path / "shop"


def count(text: str) -> int:
    return len(text.split())


# --- which files -----------------------------------------------------------------------------------------------------


def test_a_package_is_taken_whole_and_only_its_python_files(shop: Path) -> None:
    (root,) = read_context([shop])
    assert root.module == "shop"
    assert root.files == ("shop/__init__.py", "shop/money.py", "shop/deep/__init__.py", "shop/deep/tax.py")
    assert set(load_context([root])) == set(root.files)
    assert set(parse_context([root], load_context([root]))) == {"shop", "shop.money", "shop.deep", "shop.deep.tax"}


def test_a_file_of_a_package_brings_the_package_and_is_told_of_alone(shop: Path) -> None:
    (root,) = read_context([shop / "deep" / "tax.py"])
    assert (root.path, root.files) == (str(shop), ("shop/deep/tax.py",))
    assert "shop/money.py" in load_context([root])


def test_a_plain_folder_stands_for_the_modules_in_it(utils: Path, shop: Path) -> None:
    (utils.parent / "a-script.py").write_text("this is no module's name, and no Python")
    roots = read_context([utils.parent.parent, utils])
    assert [root.module for root in roots] == ["shop", "utils"]


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("missing.py", None, "there is no context"),
        ("notes.txt", b"", "is no Python file"),
        ("broken.py", b"x = 1\ndef f(:\n", "syntax error, line 2"),
        ("latin.py", "x = 'ä'".encode("latin-1"), "not text in UTF-8"),
        ("nul.py", b"x = '\0'", "syntax error"),
        ("large.py", b"#" * (513 << 10), "larger than 512 KiB"),
        ("empty", None, "holds no Python file"),
    ],
)
def test_unusable_files_are_refused_with_a_hint(tmp_path: Path, name: str, content: bytes | None, words: str) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    elif name == "empty":
        (tmp_path / name).mkdir()
    with pytest.raises(TaskError, match=words) as caught:
        read_context([tmp_path / name])
    assert caught.value.hint


@pytest.mark.parametrize("name", ["json.py", "solution.py", "two-words.py"])
def test_names_that_nobody_could_import_are_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("")
    with pytest.raises(UsageError, match="can't be imported"):
        read_context([tmp_path / name])


def test_files_of_one_module_name_are_refused(utils: Path, tmp_path: Path) -> None:
    (tmp_path / "utils.py").write_text("")
    with pytest.raises(UsageError, match="would both be the module utils"):
        read_context([utils, tmp_path / "utils.py"])


def test_a_changed_and_a_missing_file_are_noticed(utils: Path) -> None:
    roots = read_context([utils])
    utils.write_text(UTILS + "\n")
    with pytest.raises(RunError, match=r"utils\.py has changed since"):
        load_context(roots)
    utils.unlink()
    with pytest.raises(RunError, match=r"is gone.*utils\.py"):
        load_context(roots)


# --- what prompts say ------------------------------------------------------------------------------------------------


def documents() -> list[Document]:
    return documents_of({"utils": ast.parse(UTILS)})


def test_documents_are_what_is_public() -> None:
    assert [d.label for d in documents()] == ["parse_line", "slugify", "Basket", "Basket.total"]
    text = render(documents())
    assert text.startswith("from utils import parse_line, slugify, Basket\n\ndef parse_line(line: str)")
    assert "class Basket(dict):" in text
    assert text.count("class Basket") == 1
    assert "    owner: str\n    def __init__(self, owner: str, *, size: int=3): ..." in text
    assert "    @property\n    def total(self) -> int:" in text
    assert "partition" not in text, "bodies are never shown"
    ast.parse(text)


def test_a_method_alone_is_shown_in_its_class() -> None:
    assert render(documents()[3:]) == (
        "from utils import Basket\n\nclass Basket:\n    @property\n    def total(self) -> int:\n"
        '        """All counts together."""\n        ...'
    )


def test_a_docstring_cannot_end_the_prompt_s_code_block() -> None:
    (document,) = documents_of({"m": ast.parse("def f(x):\n    '''```python\n    \"\"\" x\n    ```'''")})
    assert "```" not in render([document])
    assert render([document]).count('"""') == 2


def test_words_of_identifiers_and_endings() -> None:
    assert words_of("parse_lines parsedLine HTTPLine größe2") == [
        "pars",
        "lin",
        "pars",
        "lin",
        "http",
        "lin",
        "größ",
        "2",
    ]
    assert scores("parsing dates", ["parse_date", "other", "date"])[1] == 0
    assert scores("nothing", ["", ""]) == [0, 0]


def test_what_the_task_names_or_talks_about_is_relevant() -> None:
    assert [d.label for d in relevant(documents(), TASK)] == ["parse_line", "Basket", "Basket.total"]
    assert [d.label for d in relevant(documents(), "the slugs of titles")] == ["slugify"]
    assert relevant(documents(), "zebra") == documents(), "without any word in common all are told of"


def test_packing_keeps_to_the_budget_and_cuts_nothing() -> None:
    whole = count(render(documents()))
    for budget in range(whole + 2):
        packed = pack(documents(), budget, count)
        assert packed.tokens <= budget
        assert packed.tokens == count(packed.text)
        assert len(packed.documents) + len(packed.left_out) == 4
        for document in packed.documents:
            original = next(d for d in documents() if d.label == document.label)
            assert document in (original, original.shortened())
    assert pack(documents(), whole, count).left_out == ()
    assert pack(documents(), 0, count).text == ""
    first = pack(documents(), count(render(documents()[:1])) - 1, count)
    assert first.documents[0].docstring == 'Split a line such as "apples: 3" into its name and its count.'
    assert "left out" in first.note


def test_an_answer_gets_the_imports_that_it_lacks_and_only_those() -> None:
    given = import_lines(documents())
    code = "def f(line):\n    slugify = line\n    return parse_line(line), utils.slugify(line)\n"
    assert with_given(code, given).startswith("from utils import parse_line\nimport utils\n\n\ndef f")
    assert with_given("def f(total):\n    return total\n", given) == "def f(total):\n    return total\n"


def test_built_in_names_are_not_imported_for_an_answer() -> None:
    (document,) = documents_of({"m": ast.parse("def filter(x): ...")})
    assert import_lines([document]) == "import m"


def test_an_answer_s_own_version_of_the_context_goes() -> None:
    context = render(documents()[:2])
    code = "def f(x):\n    return slugify(x)\n\n@cache\ndef slugify(t):\n    return t\n\nclass Basket: ...\n"
    assert (
        without_definitions(code, context_names(context)) == "def f(x):\n    return slugify(x)\n\n\nclass Basket: ...\n"
    )
    assert without_definitions(code, context_names("")) == code


def test_what_is_to_be_written_is_not_told_of(utils: Path) -> None:
    task, packed = with_context(read_inputs("Write a function slugify(title).", context=[utils]), 400, count)
    assert "slugify" not in [d.label for d in packed.documents]
    assert "import slugify" not in task.given


# --- a run -----------------------------------------------------------------------------------------------------------


def run(context: list[Path], draft: str = ANSWER, **options: Any) -> tuple[Any, list[Any], list[Any]]:
    engine = scripted_team({"draft": draft, "tester": "[]) == 0"})
    started = start(TASK, model=engine, context=context, settings=Settings(drafts=2), **options)
    return started.result(), [*started.items], engine.requests


@pytest.mark.sandbox
def test_an_answer_imports_from_the_context_and_says_so(utils: Path) -> None:
    answer, events, requests = run([utils])
    assert answer.status is AnswerStatus.PASSED
    assert answer.code.startswith("from utils import parse_line\n")
    assert answer.needs == (str(utils),)
    assert f"imports {utils}" in answer.statement
    assert all("from utils import parse_line" in r.messages[0].content for r in requests)
    notes = [event.text for event in events if event.kind is EventKind.NOTE]
    assert notes[0].startswith("context: parse_line, Basket, Basket.total (")
    assert notes[0].endswith("left out: slugify")


@pytest.mark.sandbox
def test_a_plan_s_helpers_may_take_and_give_classes_of_the_context(utils: Path) -> None:
    replies: dict[str, str | Callable[[Request, int], str]] = {
        "draft": "\n    return 0\n",
        "generalist": " filled(basket: Basket) -> Basket:\n    '''Put one apple into the basket.'''\n    ...\n",
        "compose": "\n    return [filled(Basket(name)).total for name in names]\n",
        "leaf": "\n    basket['apples'] = 1\n    return basket\n",
        "tester": "?",
    }
    task = 'Write a function totals(names) that makes a Basket for each and gives their totals. totals(["a"]) == [1]'
    settings = Settings(drafts=2, most_drafts=2)
    answer = start(task, model=scripted_team(replies), context=[utils], settings=settings).result()
    assert [node.spec.signature for node in answer.nodes][1:] == ["def filled(basket: Basket) -> Basket:"]
    assert (answer.status, answer.origin) == (AnswerStatus.PASSED, "compose")
    assert answer.code.startswith("from utils import Basket\n")


@pytest.mark.sandbox
def test_an_answer_that_needs_no_context_does_not_claim_to(utils: Path) -> None:
    answer, _, _ = run([utils], "\n    return sum(int(line.split(': ')[1]) for line in lines)\n")
    assert answer.status is AnswerStatus.PASSED
    assert answer.needs == ()
    assert "imports" not in answer.statement


@pytest.mark.sandbox
def test_a_tests_file_may_use_the_context_too(utils: Path, tmp_path: Path) -> None:
    tests = tmp_path / "test_count.py"
    tests.write_text(
        "from utils import parse_line\nfrom count import count\nassert count(['a: 2']) == parse_line('a: 2')[1]\n"
    )
    answer, _, _ = run([utils], tests=tests)
    assert answer.status is AnswerStatus.PASSED
    assert answer.evidence.examples_total == 2


@pytest.mark.sandbox
def test_a_context_that_does_not_load_in_the_sandbox_is_an_error_at_once(tmp_path: Path) -> None:
    (tmp_path / "needy.py").write_text("import requests_of_old\n\ndef parse_line(x):\n    return x\n")
    with pytest.raises(TaskError, match=r"needy does not load.*requests_of_old") as caught:
        run([tmp_path / "needy.py"])
    assert "--allow-import requests_of_old" in caught.value.hint


@pytest.mark.sandbox
def test_a_stored_run_goes_on_only_with_the_same_files(utils: Path) -> None:
    answer, _, _ = run([utils], store=True)
    assert resume(answer.run, model=scripted_team({})).result() == answer
    utils.write_text(UTILS.replace("int(count)", "0"))
    with pytest.raises(RunError, match=r"has changed since the run was started"):
        resume(answer.run, model=scripted_team({})).result()


def test_one_path_instead_of_several_is_a_mistake(utils: Path) -> None:
    with pytest.raises(TypeError, match="sequence of paths"):
        start(TASK, context=str(utils))
