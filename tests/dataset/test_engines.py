"""Every number comes out once with its result, whichever machine made it, and nothing goes on after the end."""

from __future__ import annotations

import dataclasses
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import CancelledError
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import machines
from inversynth import __version__, synths
from inversynth.cli import main
from inversynth.dataset import MANIFEST, PARTIAL, DatasetSettings, ShardTask, engines, render_dataset
from inversynth.dataset.engines import Engine, LocalEngine, RayEngine, checkpoint, engine
from inversynth.dataset.stores import LocalStore, Store, store
from inversynth.errors import InversynthError, UsageError
from inversynth.synths.native import NativeEngine
from inversynth.system.simd import simd_target


def squared(number: int) -> int:
    return number * number


@dataclass(frozen=True)
class Marked:
    """Leaves a file for each number it begins and another for each that it ends, well or not."""

    folder: Path
    seconds: float
    wrong: int | None = None

    def __call__(self, number: int) -> int:
        (self.folder / f"{number}.begun").touch()
        try:
            if number == self.wrong:
                raise UsageError(f"number {number} is wrong")
            end = time.monotonic() + self.seconds
            while time.monotonic() < end:
                checkpoint()
                time.sleep(0.002)
            return os.getpid()
        finally:
            (self.folder / f"{number}.ended").touch()

    def marks(self, kind: str) -> set[str]:
        return {file.stem for file in self.folder.glob(f"*.{kind}")}


def counted(upto: int, taken: list[int]) -> Iterator[int]:
    for number in range(upto):
        taken.append(number)
        yield number


def ended_early(runner: Engine, task: Marked, how: str) -> None:
    """Runs until an end that comes from outside, after the first result."""
    made: Generator[tuple[int, int], None, None]
    with closing(runner.run(task, range(1000))) as made:
        next(made)
        if how == "Ctrl-C":
            raise KeyboardInterrupt


# -- threads ------------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [1, 3])
def test_each_number_comes_out_once_with_what_the_task_makes_of_it(workers: int) -> None:
    with engine("local", workers) as runner:
        assert sorted(runner.run(squared, range(50))) == [(n, n * n) for n in range(50)]
        assert list(runner.run(squared, [])) == []


def test_what_is_done_first_comes_first() -> None:
    first_may_end = threading.Event()

    def task(number: int) -> bool:
        return first_may_end.wait(10) if number == 0 else True

    order = []
    for number, result in LocalEngine(2).run(task, range(3)):
        assert result
        order.append(number)
        first_may_end.set() if len(order) == 2 else None
    assert order == [1, 2, 0]


def test_as_many_tasks_run_at_a_time_as_there_are_workers() -> None:
    together = threading.Barrier(3)
    assert len(list(LocalEngine(3).run(lambda number: together.wait(10), range(6)))) == 6
    with pytest.raises(threading.BrokenBarrierError):
        list(LocalEngine(2).run(lambda number: together.wait(0.2), range(6)))


def test_numbers_are_taken_only_as_they_are_needed() -> None:
    taken: list[int] = []
    with closing(LocalEngine(2).run(squared, counted(10**9, taken))) as made:
        for _ in range(10):
            next(made)
    assert len(taken) <= 10 + 2 * 2


@pytest.mark.parametrize("how", ["closed", "Ctrl-C"])
def test_what_runs_is_ended_and_nothing_more_begun_when_the_caller_stops(tmp_path: Path, how: str) -> None:
    task = Marked(tmp_path, 0.05)
    try:
        ended_early(LocalEngine(2), task, how)
    except KeyboardInterrupt:
        assert how == "Ctrl-C"
    assert task.marks("begun") == task.marks("ended")
    assert len(task.marks("begun")) <= 5


def test_a_task_that_calls_checkpoint_is_ended_in_its_middle(tmp_path: Path) -> None:
    def task(number: int) -> None:
        if number:
            Marked(tmp_path, 3600)(number)
        while not tmp_path.joinpath("1.begun").exists():
            time.sleep(0.001)

    with closing(LocalEngine(2).run(task, range(2))) as made:
        assert next(made) == (0, None)
    assert (tmp_path / "1.ended").exists()


STUCK = """
import signal, sys, threading
from inversynth.dataset.engines import LocalEngine

def task(number):
    print("begun", flush=True)
    threading.Event().wait()

try:
    list(LocalEngine(2).run(task, range(4)))
except KeyboardInterrupt:
    print("left")
"""


def test_a_second_ctrl_c_leaves_a_task_that_never_ends() -> None:
    with subprocess.Popen([sys.executable, "-c", STUCK], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert [process.stdout.readline() for _ in range(2)] == [b"begun\n"] * 2
        process.send_signal(signal.SIGINT)
        with pytest.raises(subprocess.TimeoutExpired):  # the first waits for what runs
            process.wait(0.5)
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=30) == (b"left\n", b"")
        assert process.returncode == 0


def test_outside_an_engine_a_checkpoint_lets_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint()
    stop = threading.Event()
    token = engines._stop.set(stop)
    try:
        checkpoint()
        stop.set()
        with pytest.raises(CancelledError):
            checkpoint()
    finally:
        engines._stop.reset(token)


def test_the_error_of_a_task_comes_out_as_it_is_and_ends_the_rest(tmp_path: Path) -> None:
    task = Marked(tmp_path, 0.05, wrong=3)
    with pytest.raises(UsageError, match=r"^number 3 is wrong$"):
        list(LocalEngine(2).run(task, range(1000)))
    assert task.marks("begun") == task.marks("ended")
    assert len(task.marks("begun")) < 10


# -- what is asked for --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "workers", "address", "words"),
    [
        ("dask", None, None, "no engine 'dask'; there are local, ray"),
        ("local", 0, None, "0 workers are outside 1..1024"),
        ("ray", 1025, None, "1025 workers are outside 1..1024"),
        ("local", None, "10.0.0.1:6379", "address 10.0.0.1:6379 .* --engine ray"),
        ("ray", None, "here", "'here' is not the address of a Ray cluster; give HOST:PORT"),
        ("ray", None, "ray://10.0.0.1:10001", "is not the address of a Ray cluster"),
        ("ray", None, "10.0.0.1:99999", "no Ray cluster answers at 10.0.0.1:99999"),
    ],
)
def test_wrong_options_are_refused_by_name(name: str, workers: int | None, address: str | None, words: str) -> None:
    if name == "ray":
        pytest.importorskip("ray", reason="needs the extra `ray`")
    with pytest.raises(UsageError, match=words) as error, engine(name, workers, address):
        pass
    assert "\n" not in str(error.value)


def test_without_ray_the_command_that_installs_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UsageError, match=r"pip install 'inversynth\[ray\]'"), engine("ray"):
        pass


def test_an_address_where_nothing_listens_is_refused_at_once() -> None:
    pytest.importorskip("ray", reason="needs the extra `ray`")
    with socket.socket() as taken:  # bound, so that nobody else listens there
        taken.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(UsageError, match=f"no Ray cluster answers at {address}"), engine("ray", address=address):
            pass


def test_a_node_without_the_package_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ray", reason="needs the extra `ray`")
    guarded = engines._guarded()
    monkeypatch.setattr("ray.util.get_node_ip_address", lambda: "10.0.0.7")
    monkeypatch.setitem(sys.modules, "inversynth.dataset.engines", None)
    wrong, result = guarded(b"", 0, engines.identity(squared))
    assert result is None
    assert wrong is not None
    assert f"{socket.gethostname()} (10.0.0.7) has no such package" in wrong


@dataclass(frozen=True)
class Nudged(NativeEngine):
    """An engine of which the last sample is always another."""

    moves: bool = False

    def __call__(self, values: Any, notes: Any, sample_rate: int, out: Any, workers: int | None = None) -> Any:
        super().__call__(values, notes, sample_rate, out, workers)
        out[-1, -1] = np.random.default_rng().normal() if self.moves else np.nextafter(out[-1, -1], np.float32(1))
        return {}


@pytest.mark.parametrize("name", ["paper", "sine"])
def test_machines_that_render_other_samples_are_not_the_same(name: str) -> None:
    def identity(synth: synths.Synth) -> str:
        return engines.identity(ShardTask(DatasetSettings(synth), "anywhere"))

    synth = synths.load(name)
    ours, theirs = identity(synth), identity(dataclasses.replace(synth, renderer=Nudged(name, "1")))
    arithmetic = simd_target().arithmetic
    assert f"inversynth {__version__}, synth {name}, renderer 1, arithmetic {arithmetic}, samples " in ours
    assert theirs != ours
    assert theirs.rpartition(" ")[0] == ours.rpartition(" ")[0]
    assert engines.identity(squared) == f"inversynth {__version__}"


def test_machines_can_render_what_is_never_the_same_twice() -> None:
    synth = dataclasses.replace(synths.load("sine"), renderer=Nudged("sine", "1", moves=True))
    assert engines.identity(ShardTask(DatasetSettings(synth), "anywhere")).endswith(", samples that vary")


# -- a cluster of two nodes ---------------------------------------------------------------------


@pytest.fixture(scope="module")
def cluster(s3: str) -> Iterator[Any]:
    with machines.ray_cluster(2) as made:
        yield made


@pytest.fixture
def runner(cluster: Any) -> Iterator[Engine]:
    with engine("ray", address=cluster.address) as made:
        yield made


def test_a_cluster_gives_what_threads_give_and_takes_numbers_as_they_are_needed(runner: Engine) -> None:
    assert sorted(runner.run(squared, range(50))) == sorted(LocalEngine(2).run(squared, range(50)))
    assert list(runner.run(squared, [])) == []
    taken: list[int] = []
    with closing(runner.run(squared, counted(10**9, taken))) as made:
        for _ in range(10):
            next(made)
    assert len(taken) <= 10 + 2 * 2 + 4  # those of two CPUs, and what came out together with the tenth


def test_an_error_on_a_node_comes_out_as_it_is(runner: Engine, tmp_path: Path) -> None:
    task = Marked(tmp_path, 0.02, wrong=3)
    with pytest.raises(UsageError, match=r"^number 3 is wrong$"):
        list(runner.run(task, range(1000)))
    assert task.marks("begun") == task.marks("ended")
    assert len(task.marks("begun")) < 20


def test_no_task_of_a_cluster_outlives_the_caller(runner: Engine, tmp_path: Path) -> None:
    task = Marked(tmp_path, 0.2)
    with pytest.raises(KeyboardInterrupt):
        ended_early(runner, task, "Ctrl-C")
    begun = task.marks("begun")
    assert begun == task.marks("ended")
    assert len(begun) <= 5
    time.sleep(0.5)
    assert task.marks("begun") == begun


def test_a_node_of_another_version_is_named(runner: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = engines.identity(squared)
    monkeypatch.setattr(engines, "identity", lambda task: "inversynth 99.0, arithmetic fma")
    with pytest.raises(InversynthError, match=f"has {theirs}, but this machine inversynth 99.0") as error:
        list(runner.run(squared, range(5)))
    assert socket.gethostname() in str(error.value)
    assert "\n" not in str(error.value)


def died(number: int) -> None:
    os._exit(1)


def test_a_task_that_ends_its_worker_every_time_is_given_up(runner: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "RETRIES", 1)
    with pytest.raises(InversynthError, match=r"task 7 failed on the cluster: .*worker died") as error:
        list(runner.run(died, [7]))
    assert "\n" not in str(error.value)


def test_a_process_that_is_connected_already_stays_so(cluster: Any) -> None:
    import ray

    with engine("ray", address=cluster.address):
        with engine("ray") as runner:
            assert dict(runner.run(squared, range(3))) == {0: 0, 1: 1, 2: 4}
        assert ray.is_initialized()
        with pytest.raises(UsageError, match="leave the address"), engine("ray", address=cluster.address):
            pass
    assert not ray.is_initialized()


def test_the_tasks_of_a_node_that_is_killed_run_again_elsewhere(cluster: Any, runner: Engine, tmp_path: Path) -> None:
    node = cluster.add_node(**machines.NODE)
    task, dead = Marked(tmp_path, 0.05), set[int]()
    results: dict[int, int] = {}
    with closing(runner.run(task, range(100))) as made:
        for number, worker in made:
            assert number not in results
            results[number] = worker
            if not dead and len(results) >= 30:
                dead = machines.killed(node, lambda workers: bool(workers & set(results.values())))
    assert sorted(results) == list(range(100))
    assert dead & set(results.values()), "no task had run on the node that was killed"
    unfinished = task.marks("begun") - task.marks("ended")
    assert unfinished == set(), "what had begun there was not begun again"


def test_a_cluster_of_its_own_ends_with_the_block(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(map(str, Path(__file__).parents[:2])), prepend=os.pathsep)
    ray = pytest.importorskip("ray", reason="needs the extra `ray`")
    with engine("ray", 2) as runner:
        assert isinstance(runner, RayEngine)
        assert sorted(runner.run(squared, range(5))) == [(n, n * n) for n in range(5)]
    assert not ray.is_initialized()


# -- datasets -----------------------------------------------------------------------------------

SMALL = DatasetSettings(synths.load("paper"), 240, seed=9, seconds=0.1, shard_size=8, dtype="int16")


@dataclass(frozen=True)
class SlowShard(ShardTask):
    """Takes its time in the middle of each file, and leaves marks as `Marked` does, of each worker."""

    def __call__(self, number: int) -> dict[str, Any]:
        marks = Path(self.out).parent / "marks"
        (marks / f"{number}.{os.getpid()}.begun").touch()
        write = LocalStore.write

        def slowly(self: LocalStore, file: str, blocks: Iterable[Any]) -> Any:
            def slow() -> Iterator[Any]:
                for block in blocks:
                    yield block
                    time.sleep(0.03)

            return write(self, file, slow())

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(LocalStore, "write", slowly)
            made = super().__call__(number)
        (marks / f"{number}.{os.getpid()}.ended").touch()
        return made


def contents(place: Store) -> dict[str, bytes]:
    """The bytes of every file, hidden ones too."""
    return {name: place.map(name).tobytes() for name in sorted(place.sizes())}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The files of a dataset of `SMALL`, by threads."""
    return contents(render_dataset(SMALL, tmp_path_factory.mktemp("whole") / "ds").store)


def test_a_cluster_that_loses_a_node_renders_the_same_bytes(
    cluster: Any, whole: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("inversynth.dataset.rendering.ShardTask", SlowShard)
    marks = tmp_path / "marks"
    marks.mkdir()
    node, dead = cluster.add_node(**machines.NODE), set[int]()

    def unfinished() -> set[int]:
        begun, ended = ({mark.stem for mark in marks.glob(f"*.{kind}")} for kind in ("begun", "ended"))
        return {int(stem.split(".")[1]) for stem in begun - ended}

    def report(done: int, total: int, rendered: int) -> None:
        if not dead and done >= 80:
            dead.update(machines.killed(node, lambda workers: bool(workers & unfinished())))

    dataset = render_dataset(SMALL, tmp_path / "ds", report=report, engine="ray", address=cluster.address)
    assert contents(dataset.store) == whole
    assert unfinished()
    assert unfinished() <= dead


def test_each_engine_goes_on_and_repairs_what_the_other_left(
    cluster: Any, whole: dict[str, bytes], tmp_path: Path
) -> None:
    def interrupt(done: int, total: int, rendered: int) -> None:
        if rendered >= 80:
            raise KeyboardInterrupt

    addresses = {"ray": cluster.address, "local": None}
    for name, address in addresses.items():
        with pytest.raises(KeyboardInterrupt):
            render_dataset(SMALL, tmp_path / name, report=interrupt, engine=name, address=address)
        assert not (tmp_path / name / MANIFEST).exists()
    for folder, name in (("ray", "local"), ("local", "ray")):
        damaged = next((tmp_path / folder).glob("audio-*.npy"))
        damaged.write_bytes(damaged.read_bytes()[:-1] + b"\x7f")
        reports: list[int] = []
        place = render_dataset(
            SMALL,
            tmp_path / folder,
            report=lambda done, total, rendered, reports=reports: reports.append(rendered),  # type: ignore[misc]
            engine=name,
            address=addresses[name],
        ).store
        assert contents(place) == whole
        assert reports[-1] < SMALL.count


def test_a_node_that_does_not_see_the_place_is_named(cluster: Any) -> None:
    with pytest.raises(InversynthError, match=r"manifest.partial.json is not there on .*; every machine") as error:
        render_dataset(SMALL, "memory://not/shared", engine="ray", address=cluster.address)
    assert socket.gethostname() in str(error.value)


def test_the_command_line_renders_on_a_cluster_to_s3(
    cluster: Any, s3: str, whole: dict[str, bytes], capsys: pytest.CaptureFixture[str]
) -> None:
    url = f"{s3}/cluster"
    words = ["--num-examples", "240", "--seed", "9", "--length", "0.1", "--shard-size", "8", "--dtype", "int16"]
    words += ["--out", url, "--address", cluster.address]
    assert main(["render", *words, "--engine", "ray"]) == 0
    assert contents(store(url)) == whole
    assert main(["render", *words]) == 2
    assert "add --engine ray" in capsys.readouterr().err


MINE = """
import numpy as np
from inversynth import AudioFormat, Param, ParamSpace, from_function

SPACE = ParamSpace([Param("level", "a", 0, 7, levels=8, kind="ordinal"), Param("pitch", "f", 100, 400, "Hz")])

def render(values, notes, sample_rate, samples):
    if values[:, 0].max() > 6:
        raise ArithmeticError("too loud")
    return np.sin(2 * np.pi * values[:, 1:] * np.arange(samples) / sample_rate)

SYNTH = from_function("mine", SPACE, AudioFormat(8000, 0.05), render)
"""


def test_a_cluster_renders_the_synth_of_a_file_that_all_nodes_have(cluster: Any, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(MINE)
    settings = DatasetSettings(synths.load(tmp_path / "mine.py"), 40, shard_size=8)
    made = render_dataset(settings, tmp_path / "ray", engine="ray", address=cluster.address)
    assert made.failed.any()
    assert contents(made.store) == contents(render_dataset(settings, tmp_path / "local").store)

    def rendered(origin: str | None) -> None:
        synth = dataclasses.replace(settings.synth, origin=origin)
        other = dataclasses.replace(settings, synth=synth)
        render_dataset(other, tmp_path / "other", engine="ray", address=cluster.address)

    with pytest.raises(InversynthError, match=r"has no such task \(no synth .*: there is no such file\)") as error:
        rendered(str(tmp_path / "elsewhere.py"))
    assert socket.gethostname() in str(error.value)
    with pytest.raises(UsageError, match="put it into a Python file"):
        rendered(None)


def test_a_shard_ends_in_its_middle_when_its_engine_says_so(tmp_path: Path) -> None:
    stop = threading.Event()
    stop.set()
    (tmp_path / PARTIAL).touch()
    token = engines._stop.set(stop)
    try:
        with pytest.raises(CancelledError):
            ShardTask(SMALL, str(tmp_path))(0)
    finally:
        engines._stop.reset(token)
    assert [file.name for file in tmp_path.iterdir()] == [PARTIAL]
