"""Every place keeps files whole, and says in one line why it can't."""

from __future__ import annotations

import hashlib
import itertools
import os
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inversynth import synths
from inversynth.cli import main
from inversynth.dataset import PARTIAL, DatasetSettings, open_dataset, render_dataset, splits, verify
from inversynth.dataset.stores import LocalStore, RemoteStore, Store, store
from inversynth.errors import DamageError, InversynthError, UsageError
from inversynth.synths import sampling
from inversynth.training.settings import Settings
from inversynth.training.sources import DatasetSounds

KINDS = ("folder", "file://", "memory://", "s3://", "plain://")
DATA = bytes(range(256)) * 1000
SMALL = DatasetSettings(synths.load("paper"), 50, seed=9, seconds=0.1, shard_size=8, dtype="int16")


@pytest.fixture(scope="module")
def plain() -> str:
    """A protocol of which this program knows nothing: a disk that moves nothing onto what is there."""
    fsspec = pytest.importorskip("fsspec", reason="needs the extra `remote`")
    from fsspec.implementations.local import LocalFileSystem

    class Plain(LocalFileSystem):  # type: ignore[misc]
        protocol = "plain"

        @classmethod
        def _strip_protocol(cls, path: str) -> str:
            return str(super()._strip_protocol(path.removeprefix("plain://")))

        def put_file(self, lpath: str, rpath: str, **more: Any) -> None:
            assert rpath.endswith(".tmp"), "an upload that can be seen half done"
            super().put_file(lpath, rpath, **more)

        def mv(self, old: str, new: str, **more: Any) -> None:
            if self.exists(new):
                raise RuntimeError(f"{new} is there")
            super().mv(old, new, **more)

    fsspec.register_implementation("plain", Plain, clobber=True)
    return "plain://"


@pytest.fixture(params=KINDS)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """An empty place of each kind; a folder is not made yet."""
    if request.param == "folder":
        return store(tmp_path / "ds")
    if request.param == "file://":
        return store(f"file://{tmp_path}/ds")
    if request.param == "s3://":
        return store(f"{request.getfixturevalue('s3')}/{tmp_path.name}")
    if request.param == "plain://":
        return store(f"{request.getfixturevalue('plain')}{tmp_path}/ds")
    pytest.importorskip("fsspec", reason="needs the extra `remote`")
    return store(f"memory://{uuid.uuid4()}")


def made(place: Store) -> Store:
    with place.exclusive():
        pass
    return place


def blocks(*sizes: int) -> list[memoryview]:
    return [memoryview(DATA)[a:b] for a, b in itertools.pairwise(np.cumsum([0, *sizes]))]


# -- every kind of place ------------------------------------------------------------------------


def test_what_is_written_is_read_back(place: Store) -> None:
    with place.exclusive():
        entry = place.write("a.npy", blocks(1, 1000, 0, 199_000))
    data = DATA[:200_001]
    assert entry == {"bytes": 200_001, "sha256": hashlib.sha256(data).hexdigest()}
    assert (place.size("a.npy"), place.sha256("a.npy")) == (200_001, entry["sha256"])
    assert place.map("a.npy").tobytes() == data
    with place.reading("a.npy") as path:
        assert path.read_bytes() == data


def test_a_map_outlives_the_file_it_was_fetched_to(place: Store) -> None:
    made(place).write("a", [DATA])
    mapped = [place.map("a") for _ in range(3)]
    assert all(bytes(array) == DATA for array in mapped)


def test_json_is_read_as_it_was_written(place: Store) -> None:
    made(place).write_json("a.json", {"ä": [1, 2.5, None]})
    assert place.read_json("a.json", "a thing") == {"ä": [1, 2.5, None]}


def test_json_that_is_none_or_not_there_is_named(place: Store) -> None:
    made(place).write("b.json", [b"\xff{"])
    with pytest.raises(DamageError, match=r"b\.json is damaged: it should be a thing, as JSON") as error:
        place.read_json("b.json", "a thing")
    assert str(error.value).startswith(place.name("b.json"))
    with pytest.raises(UsageError, match=r"a\.json is not there; it should be a thing"):
        place.read_json("a.json", "a thing")


def test_a_place_that_is_not_there_holds_nothing(place: Store) -> None:
    assert not place.exists()
    assert place.sizes() == {}
    assert not place.has("a")


def test_a_place_knows_its_files(place: Store) -> None:
    with place.exclusive():
        for name in ("b", "a", "c"):
            place.write(name, [DATA])
        place.remove("c")
        place.remove("never-there")
    assert place.exists()
    assert sorted(place.sizes()) == ["a", "b"]
    assert (place.has("a"), place.has("c")) == (True, False)


def test_what_another_writes_is_seen_at_once(place: Store) -> None:
    other = store(str(place))
    with place.exclusive():
        place.write("a", [DATA])
        assert (list(other.sizes()), other.has("b")) == (["a"], False)
        place.write("b", [DATA])
        place.write("a", [b"short"])
    assert (sorted(other.sizes()), other.has("b"), other.size("a")) == (["a", "b"], True, 5)


def test_a_new_name_replaces_what_had_it(place: Store) -> None:
    made(place).write("old", [b"1"])
    place.write("new", [b"22"])
    place.rename("old", "new")
    assert (list(place.sizes()), bytes(place.map("new"))) == (["new"], b"1")


@pytest.mark.parametrize("error", [OSError(28, "full"), KeyboardInterrupt(), ValueError()])
def test_a_failure_in_the_middle_leaves_what_was_there(place: Store, error: BaseException) -> None:
    def fail() -> Iterator[bytes]:
        yield DATA
        raise error

    made(place).write("a", [b"before"])
    with pytest.raises(InversynthError if isinstance(error, OSError) else type(error)):
        place.write("a", fail())
    assert bytes(place.map("a")) == b"before"
    assert place.sizes() == {"a": 6}


@pytest.mark.parametrize("how", ["size", "sha256", "map"])
def test_reading_what_is_missing_is_a_plain_error(place: Store, how: str) -> None:
    made(place).write("a", [DATA])
    with pytest.raises(FileNotFoundError) as error:
        getattr(place, how)("b")
    assert "\n" not in str(error.value.strerror)


def test_an_empty_file_has_nothing_to_map(place: Store) -> None:
    made(place).write("a", [])
    assert place.size("a") == 0
    with pytest.raises(OSError, match="empty"):
        place.map("a")


# -- folders ------------------------------------------------------------------------------------


def test_paths_and_file_urls_are_folders_and_names_with_colons_too(tmp_path: Path) -> None:
    for out in (tmp_path, str(tmp_path), f"file://{tmp_path}", f"local://{tmp_path}"):
        assert store(out) == LocalStore(tmp_path)
    assert store("a:b/c::d") == LocalStore(Path("a:b/c::d"))


def test_a_folder_is_mapped_in_place(tmp_path: Path) -> None:
    place = made(store(tmp_path))
    place.write("a", [DATA])
    array = place.map("a")
    with open(tmp_path / "a", "rb+") as file:
        file.write(b"\x09")
    assert array[0] == 9


def test_a_folder_knows_the_room_left_before_it_is_made(tmp_path: Path) -> None:
    free = store(tmp_path / "not" / "yet").free_bytes()
    assert free is not None
    assert free == pytest.approx(os.statvfs(tmp_path).f_bavail * os.statvfs(tmp_path).f_frsize, rel=0.1)


def test_what_killed_processes_left_is_swept_away_first_and_last(tmp_path: Path) -> None:
    left = tmp_path / ".audio-000001.4711.tmp.npy"
    left.touch()
    with store(tmp_path).exclusive():
        assert not left.exists()
        left.touch()
    assert not left.exists()


def test_two_cannot_begin_in_one_folder(tmp_path: Path) -> None:
    pytest.importorskip("fcntl", reason="needs the locks of POSIX")
    place = store(tmp_path)
    with (
        place.exclusive(),
        pytest.raises(InversynthError, match="another process is at work"),
        store(tmp_path).exclusive(),
    ):
        pass
    made(place)


# -- elsewhere ----------------------------------------------------------------------------------


def test_the_free_space_of_a_remote_store_is_not_known(s3: str) -> None:
    assert store(s3).free_bytes() is None


def test_a_large_file_goes_up_in_parts_and_is_whole(s3: str) -> None:
    place = made(store(f"{s3}/large"))
    entry = place.write("a", [DATA] * 450)  # s3fs puts up to 100 MB at once
    assert entry["bytes"] == 115_200_000
    assert place.sha256("a") == entry["sha256"]


def test_an_upload_that_fails_is_one_line_and_leaves_what_was_there(s3: str, monkeypatch: pytest.MonkeyPatch) -> None:
    place = made(store(f"{s3}/fails"))
    place.write("a", [b"before"])
    assert isinstance(place, RemoteStore)

    def fail(*given: Any, **more: Any) -> None:
        raise RuntimeError("the wire\nis cut")

    monkeypatch.setattr(place.files, "put_file", fail)
    with pytest.raises(
        InversynthError, match="cannot write s3://bucket/fails/a: the wire is cut; choose another place"
    ):
        place.write("a", [DATA])
    assert bytes(place.map("a")) == b"before"


def test_a_bucket_that_is_not_there_is_named(s3: str) -> None:
    place = store("s3://no-such-bucket/ds")
    with pytest.raises(InversynthError, match=r"cannot write s3://no-such-bucket/ds/a: .*bucket") as error:
        made(place).write("a", [DATA])
    assert "\n" not in str(error.value)
    assert not place.exists()


def test_half_done_uploads_are_swept_away_first_and_last(plain: str, tmp_path: Path) -> None:
    left = tmp_path / f".audio-000001.npy.{uuid.uuid4().hex}.tmp"
    left.touch()
    with store(f"{plain}{tmp_path}").exclusive():
        assert not left.exists()
        left.touch()
    assert not left.exists()


def test_nothing_stays_in_the_folder_of_temporary_files(
    s3: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    place = made(store(f"{s3}/temporary"))
    place.write("a", [DATA])
    place.sha256("a")
    mapped = place.map("a")
    assert list(tmp_path.iterdir()) == []
    assert bytes(mapped) == DATA


# -- datasets -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The files of a dataset of `SMALL`."""
    return contents(render_dataset(SMALL, tmp_path_factory.mktemp("whole") / "ds").store)


def contents(place: Store) -> dict[str, bytes]:
    return {name: place.map(name).tobytes() for name in sorted(place.sizes())}


def test_a_dataset_is_the_same_bytes_in_every_place(place: Store, whole: dict[str, bytes]) -> None:
    dataset = render_dataset(SMALL, str(place))
    assert contents(place) == whole
    assert str(dataset.store) == str(place)
    levels = sampling.draw(synths.load("paper").space, SMALL.seed, 0, SMALL.count)
    audio, read = dataset.read([13, 0, 49])
    assert np.array_equal(read, levels[[13, 0, 49]])
    peaks = np.frombuffer(whole["peaks-000000.npy"], np.float32, offset=128)
    assert np.abs(audio[1]).max() == pytest.approx(peaks[0])


def test_a_dataset_goes_on_in_every_place(place: Store, whole: dict[str, bytes]) -> None:
    def interrupt(done: int, total: int, rendered: int) -> None:
        if done > 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        render_dataset(SMALL, str(place), workers=1, report=interrupt)
    assert PARTIAL in place.sizes()
    with pytest.raises(UsageError, match="is not finished"):
        open_dataset(str(place))
    before = {name: place.sizes()[name] for name in place.sizes() if name.endswith(".npy")}
    assert before
    reports: list[int] = []
    render_dataset(SMALL, str(place), report=lambda done, total, rendered: reports.append(rendered))
    assert reports[-1] < SMALL.count
    assert contents(place) == whole


def test_damage_is_named_and_repaired_in_every_place(place: Store, whole: dict[str, bytes]) -> None:
    render_dataset(SMALL, str(place))
    place.write("levels-000001.npy", [whole["levels-000001.npy"][:-1] + b"\x00"])
    place.remove("peaks-000004.npy")
    assert verify(str(place)) == [
        f"{place.name('levels-000001.npy')} is damaged: its SHA-256 is not the manifest's",
        f"{place.name('peaks-000004.npy')} is missing",
    ]
    with pytest.raises(UsageError, match=r"peaks-000004.npy is missing; .* data verify"):
        open_dataset(str(place))
    place.write("peaks-000004.npy", [whole["peaks-000004.npy"]])
    with pytest.raises(UsageError, match=r"levels-000001.npy is damaged"):
        open_dataset(str(place)).read([8])
    render_dataset(SMALL, str(place))
    assert contents(place) == whole


def test_a_dataset_elsewhere_is_split_and_trained_on(s3: str) -> None:
    url = f"{s3}/split"
    made = splits.split(
        render_dataset(DatasetSettings(synths.load("sine"), 300, seconds=0.05), url), {"train": 0.7, "test": 0.3}
    )
    dataset = open_dataset(url)
    assert splits.read(dataset).counts == made.counts
    assert {splits.SPLITS, splits.INDEX} <= dataset.store.sizes().keys()
    with pytest.raises(UsageError, match="s3://bucket/split is not a folder of this machine"):
        _ = dataset.path
    sounds = DatasetSounds(
        dataset, synths.load("sine"), Settings("sine", data=url, split="train", batch_size=16, validation=32)
    )
    assert sounds.space == dataset.space


def test_the_command_line_takes_urls(s3: str, capsys: pytest.CaptureFixture[str]) -> None:
    url = f"{s3}/command"
    words = ["--synth", "sine", "--num-examples", "20", "--length", "0.05", "--out", url]
    assert main(["render", *words]) == 0
    assert capsys.readouterr().out.startswith(f"{url}: 20 sounds of sine")
    assert main(["data", "verify", url]) == 0
    assert main(["data", "info", url]) == 0
    store(url).write("audio-000000.npy", [b"damage"])
    assert main(["data", "verify", url]) == 1
    assert f"{url}/audio-000000.npy has 6 bytes" in capsys.readouterr().err
    assert main(["render", *words, "--wav"]) == 2
    assert f"{url}/wav is not on this machine" in capsys.readouterr().err


def test_a_place_that_can_not_be_read_is_one_line(
    s3: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    place = store(f"{s3}/silent")
    assert isinstance(place, RemoteStore)

    def fail(*given: Any, **more: Any) -> None:
        raise RuntimeError("no\nanswer")

    monkeypatch.setattr(place.files, "ls", fail)
    assert main(["data", "verify", f"{s3}/silent"]) == 1
    assert (
        capsys.readouterr()
        .err.splitlines()[-1]
        .endswith(f"{s3}/silent can't be read: no answer; check the URL and your permissions")
    )


# -- what is missing ----------------------------------------------------------------------------


def test_without_fsspec_the_command_that_installs_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fsspec", None)
    with pytest.raises(UsageError, match=r"s3://b/ds needs fsspec; .*pip install 'inversynth\[remote\]'"):
        store("s3://b/ds")


def test_the_package_of_a_protocol_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    fsspec = pytest.importorskip("fsspec", reason="needs the extra `remote`")
    fsspec.register_implementation("odd", "odd_files.OddFiles", errtxt="install odd_files", clobber=True)
    with pytest.raises(UsageError, match="odd://b/ds needs a package that isn't installed: install odd_files"):
        store("odd://b/ds")


def test_an_unknown_protocol_is_named() -> None:
    pytest.importorskip("fsspec", reason="needs the extra `remote`")
    with pytest.raises(UsageError, match=r"nonsense://b/ds can't be used: .*nonsense"):
        store("nonsense://b/ds")
