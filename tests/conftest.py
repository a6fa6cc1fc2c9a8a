"""What several test modules share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import jack_server
import machines
import onnx_file
from inversynth import synths


@pytest.fixture(scope="session")
def tiny_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of the synth `sine`, written by hand: it needs onnxruntime alone."""
    pytest.importorskip("onnxruntime", reason="models need onnxruntime (the extra `cpu` or `gpu`)")
    path = tmp_path_factory.mktemp("tiny") / "tiny.onnx"
    path.write_bytes(onnx_file.model(synths.load("sine")))
    return path


@pytest.fixture(scope="session")
def sine_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a short training run of the network C1 on the synth `sine`."""
    pytest.importorskip("keras", reason="training needs Keras (the extra `train`)")
    from inversynth.training.loop import train
    from inversynth.training.settings import Settings

    run = tmp_path_factory.mktemp("runs") / "sine"
    settings = Settings("sine", "C1", epochs=1, steps=10, batch_size=16, validation=32, warmup_steps=2)
    assert train(settings, synths.load("sine"), run)
    return run


@pytest.fixture(scope="session")
def s3() -> Iterator[str]:
    """The URL of a bucket on an S3 server of this machine."""
    with machines.s3_server() as url:
        yield url


@pytest.fixture(scope="module")
def server() -> Iterator[jack_server.Server]:
    """A JACK server, whose processes end with the module's tests; the module calls `jack_server.require`."""
    made = jack_server.Server()
    yield made
    made.stop()
