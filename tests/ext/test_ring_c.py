"""The shared ring of ext/: what one thread writes another takes whole, in order and in time, or it is counted."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from test_engines_c import PLAIN, ROOT, SANITIZED, STRICT, compilers, require

BLOCKS, ROUNDS = 100_000, 20_000


@pytest.mark.skipif(sys.platform != "linux", reason="the driver's semaphore is Linux's")
@compilers
@pytest.mark.parametrize(
    "options", [PLAIN, SANITIZED, (*PLAIN, "-g", "-fsanitize=thread")], ids=["plain", "address", "thread"]
)
def test_one_thread_may_write_while_another_takes(compiler: str, options: tuple[str, ...], tmp_path: Path) -> None:
    require(compiler, tmp_path, *options)
    driver, sources = tmp_path / "driver", (ROOT / "ext/io/shared_ring.c", ROOT / "tests/ext/ring_driver.c")
    subprocess.run([compiler, *STRICT, *options, "-pthread", *map(str, sources), "-o", str(driver)], check=True)
    done = subprocess.run([str(driver), str(BLOCKS), str(ROUNDS)], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    taken, lost = map(int, done.stdout.split())
    assert taken + lost == BLOCKS + ROUNDS
