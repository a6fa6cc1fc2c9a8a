"""How fast the bank could be at most: what the kernel's instructions and its output take of a core.

    python benchmarks/limit.py

Compiles limit.c with the machine's C compiler and runs it.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from pathlib import Path

from inversynth.system.simd import simd_target

BITS = {"avx2": 256, "avx512": 512}


def limit() -> dict[str, float | str] | None:
    """The limits of this process's path, on one core; None where they can't be measured.

    instructions: vector instructions that the kernel takes for a vector of samples (a sample of each lane);
    instructions_per_s: most that a core does, in the kernel's proportions; bytes_per_s: most that it stores;
    samples_per_s: what the lower of the two allows.
    """
    path, compiler = simd_target(), shutil.which("cc")
    if path.name not in BITS or not compiler:
        return None
    with tempfile.TemporaryDirectory() as folder:
        program = str(Path(folder) / "limit")
        source = str(Path(__file__).with_name("limit.c"))
        subprocess.run([compiler, "-O2", f"-DVECTOR={BITS[path.name]}", source, "-o", program], check=True)
        words = subprocess.run([program], check=True, capture_output=True, text=True).stdout.split()
    instructions, rate, stored = map(float, words)
    return {
        "path": path.name,
        "instructions": instructions,
        "instructions_per_s": rate,
        "bytes_per_s": stored,
        "samples_per_s": min(rate / instructions * path.lanes, stored / 4),
    }


if __name__ == "__main__":
    found = limit()
    if found is None:
        print(f"Not measured: needs cc, a C compiler, and one of the paths {' and '.join(BITS)}")
    else:
        print(json.dumps(found, indent=2))
