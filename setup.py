"""The one compiled part: inversynth._native, Cython over the C in ext/."""

import sys

from Cython.Build import cythonize
from setuptools import Extension, setup

flags = (
    ["/O2"]
    if sys.platform == "win32"
    else ["-std=c11", "-O3", "-fno-math-errno", "-fno-trapping-math", "-Wall", "-Wextra"]
)

native = Extension(
    "inversynth._native",
    sources=["ext/_native.pyx", "ext/bank.c"],
    depends=["ext/bank.h"],
    include_dirs=["ext"],
    extra_compile_args=flags,
)

setup(ext_modules=cythonize([native]))
