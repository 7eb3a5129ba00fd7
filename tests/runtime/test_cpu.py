"""Reading the processor from what the system says, and trying AMX."""

from __future__ import annotations

import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from leafwise.runtime.cpu import Cpu, amx_trial, parse_cpuinfo, parse_sysctl, read_cpu

INTEL = """processor\t: 0
vendor_id\t: GenuineIntel
model name\t: Intel(R) Xeon(R) Processor
flags\t\t: fpu vme sse2 ssse3 fma avx avx2 f16c bmi2 avx512f avx512_vnni amx_bf16 amx_tile amx_int8 ibrs md_clear
"""
ARM = """processor\t: 0
BogoMIPS\t: 50.00
Features\t: fp asimd evtstrm aes asimdhp cpuid asimdrdm asimddp sve i8mm bf16
CPU implementer\t: 0x41
CPU part\t: 0xd40
"""
APPLE = """machdep.cpu.brand_string: Apple M2
machdep.cpu.core_count: 8
hw.optional.neon: 1
hw.optional.arm.FEAT_I8MM: 1
hw.optional.arm.FEAT_SME: 0
hw.optional.arm.FEAT_DotProd: 1
"""
INTEL_MAC = """machdep.cpu.brand_string: Intel(R) Core(TM) i7
machdep.cpu.features: FPU SSE3 SSSE3 FMA SSE4.1 AVX1.0
machdep.cpu.leaf7_features: BMI1 AVX2 BMI2
"""


def test_reads_intel() -> None:
    cpu = parse_cpuinfo("x86_64", INTEL)
    assert cpu.model == "Intel(R) Xeon(R) Processor"
    assert {"avx2", "avx512f", "amx_tile"} <= cpu.features
    assert "ibrs" not in cpu.features
    assert cpu.highlights == ("amx_int8", "avx512f", "avx512_vnni", "avx2", "fma", "f16c", "avx")


def test_reads_arm() -> None:
    cpu = parse_cpuinfo("aarch64", ARM)
    assert cpu.model == "0x41 0xd40"
    assert cpu.highlights == ("sve", "i8mm", "bf16", "asimddp", "asimd")


def test_reads_apple_silicon() -> None:
    cpu = parse_sysctl("arm64", APPLE)
    assert cpu.model == "Apple M2"
    assert cpu.highlights == ("i8mm", "dotprod", "neon")


def test_reads_intel_mac() -> None:
    assert {"avx2", "fma", "bmi2", "sse4_1"} <= parse_sysctl("x86_64", INTEL_MAC).features


def test_fingerprint_ignores_what_the_kernel_adds() -> None:
    """A kernel update that lists one more mitigation must not cost a build."""
    later = INTEL.replace("md_clear", "md_clear new_mitigation")
    assert parse_cpuinfo("x86_64", INTEL).fingerprint == parse_cpuinfo("x86_64", later).fingerprint
    assert parse_cpuinfo("x86_64", INTEL.replace("avx512f ", "")) != parse_cpuinfo("x86_64", INTEL)


def test_this_machine_has_a_processor() -> None:
    cpu = read_cpu()
    assert cpu.architecture
    assert cpu == read_cpu()
    assert len(cpu.fingerprint) == 16


@pytest.mark.skipif(shutil.which("gcc") is None, reason="needs gcc")
def test_amx_trial_agrees_with_the_processor() -> None:
    has_amx = any(feature.startswith("amx") for feature in read_cpu().features)
    failure = amx_trial("gcc")
    compiler_knows = subprocess.run(
        ["gcc", "-mamx-tile", "-E", "-x", "c", "/dev/null"], capture_output=True, check=False
    ).returncode
    if not has_amx and compiler_knows == 0:
        assert failure
    # With AMX listed, either answer may be right: that is why it is tried.


def test_amx_trial_reports_a_deadly_signal(tmp_path: Path) -> None:
    compiler = stand_in(tmp_path, 'cat > "$6" <<END\n#!/bin/sh\nkill -SEGV \\$\\$\nEND\nchmod +x "$6"\n')
    assert amx_trial(compiler) == "a tile instruction ends with status -11"


def test_amx_trial_reports_a_refusal(tmp_path: Path) -> None:
    compiler = stand_in(tmp_path, 'printf "#!/bin/sh\\nexit 3\\n" > "$6"; chmod +x "$6"\n')
    assert amx_trial(compiler) == "the kernel refuses the tile state"


def test_a_compiler_without_amx_needs_no_flag(tmp_path: Path) -> None:
    assert amx_trial(stand_in(tmp_path, "exit 1\n")) is None


def stand_in(folder: Path, body: str) -> str:
    compiler = folder / "cc"
    compiler.write_text(f"#!/bin/sh\n{body}", encoding="utf-8")
    compiler.chmod(compiler.stat().st_mode | stat.S_IXUSR)
    return str(compiler)


def test_cpu_is_a_value() -> None:
    assert Cpu("x86_64", "", frozenset()) == Cpu("x86_64", "", frozenset())
