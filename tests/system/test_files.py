"""Artefacts are written whole or not at all, and what is read back is of the types that were written."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from inversynth.errors import InversynthError, UsageError
from inversynth.system.files import check_types, read_json, remove_stale, wav, writing


def test_a_file_appears_whole_with_the_folders_it_needs(tmp_path: Path) -> None:
    target = tmp_path / "new" / "deep" / "a.txt"
    with writing(target) as temporary:
        temporary.write_text("whole")
        assert not target.exists()
    assert target.read_text() == "whole"
    assert list(target.parent.iterdir()) == [target]


@pytest.mark.parametrize("error", [OSError(28, "full"), KeyboardInterrupt(), ValueError()])
def test_a_failure_leaves_neither_a_file_nor_the_folders_made_for_it(tmp_path: Path, error: BaseException) -> None:
    def fail(path: Path) -> None:
        with writing(path) as temporary:
            temporary.write_text("half")
            raise error

    with pytest.raises((InversynthError, KeyboardInterrupt, ValueError)):
        fail(tmp_path / "new" / "a")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["folder", "pipe", "nothing"])
def test_only_a_plain_file_is_ever_replaced(tmp_path: Path, kind: str) -> None:
    target = tmp_path / "taken" if kind != "nothing" else tmp_path / "." / ".."
    if kind == "folder":
        target.mkdir()
    elif kind == "pipe":
        if not hasattr(os, "mkfifo"):
            pytest.skip("needs named pipes")
        os.mkfifo(target)
    before = sorted(tmp_path.iterdir())
    with pytest.raises(InversynthError, match="cannot write"), writing(target) as temporary:
        temporary.write_text("new")
    assert sorted(tmp_path.iterdir()) == before
    assert not target.is_file()


def test_only_the_temporary_files_of_killed_processes_are_removed(tmp_path: Path) -> None:
    for name in (".audio-000001.4711.tmp.npy", ".last.12.tmp.npz", ".mine.tmp.txt", "a.1.tmp.npy", ".hidden"):
        (tmp_path / name).touch()
    remove_stale(tmp_path)
    assert sorted(file.name for file in tmp_path.iterdir()) == [".hidden", ".mine.tmp.txt", "a.1.tmp.npy"]


def test_a_wav_file_is_32_bit_float_and_not_clipped(tmp_path: Path) -> None:
    import soundfile

    sound = np.array([0, 7, -1e-9], np.float32)
    (tmp_path / "a.wav").write_bytes(wav(sound, 16384))
    read, rate = soundfile.read(tmp_path / "a.wav", dtype="float32")
    assert rate == 16384
    assert np.array_equal(read, sound)


@dataclass
class Record:
    name: str
    count: int
    share: float
    on: bool
    place: str | None
    rows: dict[str, int]


def test_types_are_those_that_were_declared() -> None:
    check_types(Record("a", 1, 0.5, True, None, {}))
    check_types(Record("a", 1, 1, True, "b", {"x": 1}))
    for wrong in (
        Record(1, 1, 0.5, True, None, {}),  # type: ignore[arg-type]
        Record("a", 1.0, 0.5, True, None, {}),  # type: ignore[arg-type]
        Record("a", True, 0.5, True, None, {}),
        Record("a", 1, "0.5", True, None, {}),  # type: ignore[arg-type]
        Record("a", 1, True, True, None, {}),
        Record("a", 1, 0.5, 1, None, {}),  # type: ignore[arg-type]
        Record("a", 1, 0.5, True, 3, {}),  # type: ignore[arg-type]
    ):
        with pytest.raises(TypeError, match="is "):
            check_types(wrong)


@pytest.mark.parametrize("text", [b"", b"{", b"<html>", b"\xff\xfe", b"[" * 100_000])
def test_what_is_no_json_is_named(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "a.json").write_bytes(text)
    with pytest.raises(UsageError, match=r"a\.json is damaged: it should be a list"):
        read_json(tmp_path / "a.json", "a list")
