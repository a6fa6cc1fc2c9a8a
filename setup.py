"""The one compiled part: inversynth._native, Cython over the C in ext/."""

import glob
import sys

from Cython.Build import cythonize
from setuptools import Extension, find_packages, setup

# No fused operations but those the code asks for: all SIMD targets then compute the same. None needs -march or the
# like: each target says in its source what it may use, and the processor decides at run time.
flags = (
    ["/O2", "/std:c11", "/experimental:c11atomics"]
    if sys.platform == "win32"
    else ["-std=c11", "-O3", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math", "-Wall", "-Wextra"]
)

native = Extension(
    "inversynth._native",
    sources=["ext/_native.pyx", *sorted(glob.glob("ext/*/*.c"))],
    depends=sorted(glob.glob("ext/*/*.h")),
    include_dirs=["ext"],
    extra_compile_args=flags,
)

# Every folder of src/inversynth, and the shipped models, which stand beside it (see package-dir in pyproject.toml).
setup(packages=[*find_packages("src"), "inversynth.models"], ext_modules=cythonize([native]))
