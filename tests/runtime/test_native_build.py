"""Choosing flags, the wheel cache, and the build with a stand-in for pip."""

from __future__ import annotations

import io
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

from leafwise.runtime import native_build
from leafwise.runtime.build_progress import Progress, clock, percent, run_logged
from leafwise.runtime.cpu import Cpu
from leafwise.runtime.errors import LeafwiseError, UsageError
from leafwise.runtime.native_build import (
    Plan,
    build_wheel,
    cached_wheel,
    keep_wheel,
    make_plan,
    reinstall_command,
    wheel_cache,
)
from leafwise.runtime.toolchain import find_compilers

ROOT = Path(__file__).resolve().parent.parent.parent
PLAN = Plan("0.3.36", "-DLLAVA_BUILD=OFF", ("avx2",), "cc 12")
WHEEL = "llama_cpp_python-0.3.36-py3-none-any.whl"


def write_wheel(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("llama_cpp/__init__.py", "x = 1\n" * 100)
    return path


def script(folder: Path, text: str) -> list[str]:
    """A stand-in for pip: a Python program that gets pip's arguments."""
    program = folder / "fake_pip.py"
    program.write_text(text, encoding="utf-8")
    return [sys.executable, str(program)]


def test_version_is_the_tested_one() -> None:
    constraints = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    found = re.search(r"^llama[-_]cpp[-_]python==(.+)$", constraints, re.MULTILINE)
    assert found is not None
    assert found[1] == native_build.VERSION


class TestPlan:
    COMPILERS = ("cc", "c++")

    def cpu(self, *features: str) -> Cpu:
        return Cpu("x86_64", "some", frozenset(features))

    def test_native_build_keeps_what_the_processor_has(self) -> None:
        plan = make_plan(self.cpu("avx2", "avx512f"), self.COMPILERS, "")
        assert "GGML_NATIVE" not in plan.cmake_args
        assert "mno" not in plan.cmake_args
        assert plan.note == ""

    def test_forbidden_amx_is_switched_off_and_said(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(native_build, "amx_trial", lambda compiler: "the kernel refuses the tile state")
        plan = make_plan(self.cpu("avx512f", "amx_tile"), self.COMPILERS, "")
        assert "-DCMAKE_C_FLAGS='-mno-amx-tile -mno-amx-int8 -mno-amx-bf16'" in plan.cmake_args
        assert "-DCMAKE_CXX_FLAGS='-mno-amx-tile" in plan.cmake_args
        assert "AVX" not in plan.cmake_args
        assert plan.note == "AMX is switched off: the kernel refuses the tile state"

    def test_working_amx_is_used(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(native_build, "amx_trial", lambda compiler: None)
        plan = make_plan(self.cpu("avx512f", "amx_tile"), self.COMPILERS, "")
        assert "mno" not in plan.cmake_args
        assert plan.note == "AMX works here and is used"

    def test_the_users_flags_come_last(self) -> None:
        plan = make_plan(self.cpu(), self.COMPILERS, " -DLLAVA_BUILD=ON ")
        assert plan.cmake_args == "-DLLAVA_BUILD=OFF -DLLAVA_BUILD=ON"

    def test_the_key_depends_on_everything(self) -> None:
        others = [
            Plan("0.3.37", PLAN.cmake_args, PLAN.features, PLAN.compiler),
            Plan(PLAN.version, "-DGGML_CUDA=ON", PLAN.features, PLAN.compiler),
            Plan(PLAN.version, PLAN.cmake_args, ("avx512f",), PLAN.compiler),
            Plan(PLAN.version, PLAN.cmake_args, PLAN.features, "cc 13"),
        ]
        assert len({PLAN.key, *(plan.key for plan in others)}) == 5
        assert Plan(**{**vars(PLAN), "note": "said"}).key == PLAN.key


class TestCache:
    def test_a_kept_wheel_is_found(self, tmp_path: Path) -> None:
        assert cached_wheel(PLAN, tmp_path) is None
        assert keep_wheel(PLAN, write_wheel(tmp_path / "built" / WHEEL), tmp_path) is None
        found = cached_wheel(PLAN, tmp_path)
        assert found is not None
        assert found.name == WHEEL
        assert [path.name for path in found.parent.iterdir()] == [WHEEL]

    def test_a_damaged_wheel_is_not_used(self, tmp_path: Path) -> None:
        keep_wheel(PLAN, write_wheel(tmp_path / "built" / WHEEL), tmp_path)
        wheel = tmp_path / PLAN.key / WHEEL
        content = bytearray(wheel.read_bytes())
        content[60] ^= 0xFF
        wheel.write_bytes(content)
        assert cached_wheel(PLAN, tmp_path) is None
        wheel.write_bytes(content[:50])
        assert cached_wheel(PLAN, tmp_path) is None

    def test_an_unwritable_cache_only_loses_caching(self, tmp_path: Path) -> None:
        (tmp_path / "cache").write_text("a file is in the way", encoding="utf-8")
        reason = keep_wheel(PLAN, write_wheel(tmp_path / WHEEL), tmp_path / "cache")
        assert reason is not None

    def test_where_it_lies(self) -> None:
        assert wheel_cache({"XDG_CACHE_HOME": "/x"}) == Path("/x/leafwise/wheels")
        assert wheel_cache({}).parts[-3:] == (".cache", "leafwise", "wheels")


class TestBuild:
    GOOD = (
        "import os, sys, pathlib, shutil\n"
        "folder = pathlib.Path(sys.argv[sys.argv.index('--wheel-dir') + 1])\n"
        "print('Building wheel for llama-cpp-python', flush=True)\n"
        "print('  [1/4] cc -c a.c\\n  [4/4] link', flush=True)\n"
        "(folder / '{wheel}').write_text(os.environ['CMAKE_ARGS'] + ' ' + ' '.join(sys.argv[1:]))\n"
    )

    def test_flags_reach_pip_and_no_other_wheel_is_taken(self, tmp_path: Path) -> None:
        pip = script(tmp_path, self.GOOD.replace("{wheel}", WHEEL))
        wheel = build_wheel(PLAN, tmp_path, os.environ, pip)
        text = wheel.read_text(encoding="utf-8")
        assert text.startswith("-DLLAVA_BUILD=OFF wheel ")
        assert "--no-cache-dir" in text
        assert "--no-binary llama-cpp-python" in text
        assert text.endswith("llama-cpp-python==0.3.36")

    def test_progress_is_shown(self, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
        build_wheel(PLAN, tmp_path, os.environ, script(tmp_path, self.GOOD.replace("{wheel}", WHEEL)))
        assert re.search(r"compiling llama-cpp-python 0.3.36: done, \d+ s\n$", capfd.readouterr().err)

    def test_a_failure_shows_the_end_of_the_log_and_keeps_it(
        self, tmp_path: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        pip = script(tmp_path, "for i in range(100): print('line', i)\nraise SystemExit(7)\n")
        with pytest.raises(LeafwiseError, match=r"did not build .*status 7") as caught:
            build_wheel(PLAN, tmp_path, os.environ, pip)
        shown = capfd.readouterr().err.split("\n\n")[-2].split("\n")
        assert [line for line in shown if line.startswith("line")] == [f"line {i}" for i in range(70, 100)]
        log = Path(caught.value.hint.removeprefix("the whole log is "))
        assert log.read_text(encoding="utf-8").count("\n") == 100
        log.unlink()

    def test_an_interrupted_build_leaves_no_compiler_behind(self, tmp_path: Path) -> None:
        class Impatient(Progress):
            def show(self, *, last: bool = False) -> None:
                if not last and (tmp_path / "pid").exists():
                    raise KeyboardInterrupt

        command = ["sh", "-c", f"sh -c 'echo $$ > {tmp_path}/pid; sleep 60' & wait"]
        with pytest.raises(KeyboardInterrupt):
            run_logged(command, os.environ, tmp_path / "log", Impatient(io.StringIO(), "t"))
        pid = int((tmp_path / "pid").read_text(encoding="utf-8"))
        assert gone(pid)


def gone(pid: int) -> bool:
    for _ in range(50):
        try:
            os.kill(pid, 0)
            if Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] == "Z":
                return True
        except OSError:
            return True
        time.sleep(0.1)
    return False


@pytest.mark.parametrize(
    ("line", "expected"),
    [("  [12/48] /usr/bin/g++ -c", 25), ("[193/193] link", 100), ("[ 37%] Building C object", 37), ("[x/y]", None)],
)
def test_percent(line: str, expected: int | None) -> None:
    assert percent(line) == expected


def test_a_terminal_gets_one_rewritten_line() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    stream = Terminal()
    progress = Progress(stream, "building")
    progress.feed("  Downloading llama_cpp_python-0.3.36.tar.gz (76.6 MB)")
    progress.show()
    progress.feed("[1/2] a")
    progress.show(last=True)
    assert stream.getvalue().count("\n") == 1
    assert stream.getvalue().startswith("\r\x1b[Kbuilding: downloading the source")


def test_clock() -> None:
    assert [clock(0), clock(59.4), clock(59.6), clock(245)] == ["0 s", "59 s", "1 min 00 s", "4 min 05 s"]


class TestCompilers:
    def test_finds_them_here(self) -> None:
        if shutil.which("cc") and shutil.which("c++"):
            assert find_compilers({}) == ("cc", "c++")

    def test_a_missing_compiler_is_said_with_the_remedy(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setenv("PATH", str(tmp_path))
        with pytest.raises(UsageError, match="no C compiler") as caught:
            find_compilers({})
        assert re.search(r"apt|dnf|pacman|zypper|apk|xcode-select", caught.value.hint)

    @pytest.mark.parametrize(
        ("release", "hint"),
        [
            ({"ID": "debian"}, "apt-get install build-essential"),
            ({"ID": "linuxmint", "ID_LIKE": "ubuntu debian"}, "apt-get install build-essential"),
            ({"ID": "rocky", "ID_LIKE": "rhel centos fedora"}, "dnf install gcc gcc-c++"),
            ({"ID": "manjaro", "ID_LIKE": "arch"}, "pacman -S base-devel"),
            ({"ID": "opensuse-leap", "ID_LIKE": "suse opensuse"}, "zypper install gcc gcc-c++"),
        ],
    )
    def test_the_remedy_is_the_distributions_own(
        self, monkeypatch: pytest.MonkeyPatch, release: dict[str, str], hint: str
    ) -> None:
        monkeypatch.setattr("platform.system", lambda: "Linux")
        monkeypatch.setattr("platform.freedesktop_os_release", lambda: release)
        with pytest.raises(UsageError) as caught:
            find_compilers({"CC": "no-such-compiler"})
        assert caught.value.hint == hint

    def test_a_compiler_that_does_not_work_is_said(self) -> None:
        with pytest.raises(UsageError, match="false can not build a program"):
            find_compilers({"CC": "false"})


class TestCommand:
    def run(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-P", "-m", "leafwise.runtime.native_build", *arguments]
        return subprocess.run(
            command, capture_output=True, text=True, env={**os.environ, **environment}, timeout=60, check=False
        )

    def test_without_a_compiler(self, tmp_path: Path) -> None:
        done = self.run(PATH=str(tmp_path))
        assert done.returncode == 2
        assert done.stderr.startswith("error: no C compiler")
        assert "\nhint: " in done.stderr

    def test_a_dry_run_builds_nothing(self) -> None:
        done = self.run("--dry-run", CMAKE_ARGS="-DGGML_NATIVE=OFF")
        assert done.returncode == 0, done.stderr
        assert "CMAKE_ARGS=-DLLAVA_BUILD=OFF" in done.stderr
        assert "-DGGML_NATIVE=OFF" in done.stderr

    def test_an_unknown_argument(self) -> None:
        assert self.run("--froce").returncode == 2

    def test_needs_only_the_standard_library(self) -> None:
        """It runs before the dependencies are there."""
        program = (
            "import sys\nbefore = set(sys.modules)\nimport leafwise.runtime.native_build\n"
            "new = {name.partition('.')[0] for name in set(sys.modules) - before}\n"
            "print(sorted(new - set(sys.stdlib_module_names) - {'leafwise'}))"
        )
        done = subprocess.run([sys.executable, "-P", "-c", program], capture_output=True, text=True, check=False)
        assert done.stdout.strip() == "[]", done.stderr


def test_the_reinstall_command_names_this_python() -> None:
    assert shlex.split(reinstall_command()) == [sys.executable, "-m", "leafwise.runtime.native_build", "--force"]


def test_flags_survive_json() -> None:
    """The record beside the installed library is compared after a round trip."""
    assert json.loads(json.dumps(PLAN.flags)) == PLAN.flags
