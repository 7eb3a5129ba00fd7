"""What this machine's processor can do, read from the system and, where the system's word is not enough, tried.

Standard library only: it runs before anything else is installed.
"""

from __future__ import annotations

import hashlib
import platform
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

# The instruction sets that a compiler may use under -march=native, by the beginning of their names. The rest of what
# the kernel lists (mitigations, virtualization, timers) changes with its version and says nothing about machine code.
_INSTRUCTION_SETS = (
    "mmx", "sse", "ssse", "pni", "avx", "fma", "f16c", "xop", "bmi", "adx", "abm", "movbe", "popcnt", "amx", "gfni",
    "aes", "vaes", "pclmul", "vpclmul", "sha", "tbm", "rdrand", "rdseed", "fsgsbase", "clwb", "clflushopt", "movdir",
    "neon", "asimd", "fphp", "sve", "sme", "i8mm", "bf16", "crc32", "atomics", "fcma", "jscvt", "lrcpc", "dotprod",
)  # fmt: skip

# Asks Linux for the tile state (ARCH_REQ_XCOMP_PERM, feature 18), configures three tiles and multiplies. Where a
# hypervisor lists AMX without allowing it, the kernel refuses (exit 3) or a tile instruction kills the process.
_AMX_TRIAL = r"""
#include <immintrin.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(void) {
    unsigned char config[64];
    unsigned char rows[64] = {0};
    if (syscall(SYS_arch_prctl, 0x1023, 18) != 0) return 3;
    memset(config, 0, sizeof config);
    config[0] = 1;
    for (int tile = 0; tile < 3; tile++) { config[16 + 2 * tile] = 4; config[48 + tile] = 1; }
    _tile_loadconfig(config);
    _tile_loadd(1, rows, 4);
    _tile_loadd(2, rows, 4);
    _tile_zero(0);
    _tile_dpbssd(0, 1, 2);
    _tile_release();
    return 0;
}
"""


@dataclass(frozen=True)
class Cpu:
    """A processor as the operating system describes it."""

    architecture: str
    """`x86_64`, `aarch64`, `arm64` ..."""
    model: str
    """The name it gives itself; empty where there is none."""
    features: frozenset[str]
    """Instruction sets, in the kernel's spelling, lower case."""

    @property
    def fingerprint(self) -> str:
        """16 hexadecimal digits; equal for processors that run the same code."""
        text = "\n".join([self.architecture, self.model, *sorted(self.features)])
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def highlights(self) -> tuple[str, ...]:
        """The instruction sets that decide llama.cpp's speed, best first."""
        intel = ("amx_int8", "avx512f", "avx512_vnni", "avx512_bf16", "avx_vnni", "avx2", "fma", "f16c", "avx")
        arm = ("sve2", "sve", "sme", "i8mm", "bf16", "asimddp", "dotprod", "asimd", "neon")
        names = arm if self.architecture in ("aarch64", "arm64") else intel
        return tuple(name for name in names if name in self.features)


def read_cpu() -> Cpu:
    """The processor this runs on; with no features where the system does not tell."""
    architecture = platform.machine().lower()
    if platform.system() == "Darwin":
        return parse_sysctl(architecture, _sysctl())
    try:
        return parse_cpuinfo(architecture, _first_processor(Path("/proc/cpuinfo")))
    except OSError:
        return Cpu(architecture, platform.processor(), frozenset())


def parse_cpuinfo(architecture: str, text: str) -> Cpu:
    """Reads one processor's block of /proc/cpuinfo (x86 says `flags`, ARM says `Features`)."""
    fields: dict[str, str] = {}
    for line in text.splitlines():
        name, colon, value = line.partition(":")
        if colon:
            fields.setdefault(name.strip().lower(), value.strip())
    words = fields.get("flags", fields.get("features", "")).lower().split()
    arm_model = " ".join(fields[name] for name in ("cpu implementer", "cpu part") if name in fields)
    return Cpu(architecture, fields.get("model name", arm_model), _instruction_sets(words))


def parse_sysctl(architecture: str, text: str) -> Cpu:
    """Reads `sysctl machdep.cpu hw.optional`: Intel lists words, Apple silicon one 0/1 entry per feature."""
    model, words = "", []
    for line in text.splitlines():
        name, _, value = line.partition(": ")
        if name == "machdep.cpu.brand_string":
            model = value
        elif name in ("machdep.cpu.features", "machdep.cpu.leaf7_features"):
            words += [word.replace(".", "_") for word in value.lower().split()]
        elif name.startswith("hw.optional.") and value.strip() == "1":
            words.append(name.rpartition(".")[2].lower().removeprefix("feat_"))
    return Cpu(architecture, model, _instruction_sets(words))


def _instruction_sets(words: list[str]) -> frozenset[str]:
    return frozenset(word for word in words if word.startswith(_INSTRUCTION_SETS))


def _first_processor(path: Path) -> str:
    # Only the first block: with hundreds of processors the kernel takes long to write the others.
    lines: list[str] = []
    with path.open(encoding="utf-8", errors="replace") as file:
        for line in file:
            if not line.strip() and lines:
                break
            lines.append(line)
    return "".join(lines)


def _sysctl() -> str:
    command = ["/usr/sbin/sysctl", "machdep.cpu", "hw.optional"]
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=10, check=False).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ""


def amx_trial(compiler: str) -> str | None:
    """Compiles and runs tile instructions in a child process.

    Args:
        compiler: a C compiler's command.

    Returns:
        None if AMX works, or if this compiler does not know AMX (then it never emits it, and has no flag to switch it
        off); otherwise one line that says how it failed.
    """
    with tempfile.TemporaryDirectory(prefix="leafwise-amx-") as folder:
        source, program = Path(folder, "amx.c"), Path(folder, "amx")
        source.write_text(_AMX_TRIAL, encoding="utf-8")
        command = [compiler, "-O1", "-mamx-tile", "-mamx-int8", str(source), "-o", str(program)]
        if subprocess.run(command, capture_output=True, check=False).returncode != 0:
            return None
        try:
            status = subprocess.run([str(program)], capture_output=True, timeout=20, check=False).returncode
        except (OSError, subprocess.TimeoutExpired) as error:  # a folder without the right to execute, or a hang
            return f"the trial could not run: {error}"
    if status == 0:
        return None
    return "the kernel refuses the tile state" if status == 3 else f"a tile instruction ends with status {status}"
