"""Audio to the probabilities of each parameter's levels: an exported network in onnxruntime.

A model is one ONNX file that carries its parameter space (see `training.onnx_export`).
"""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import synths
from ..errors import DamageError, MismatchError, UsageError
from ..spec import Note
from ..synths.synth import Inference, Synth
from .onnx_file import Facts, read_facts, read_weights
from .shipped import find, shipped

DEVICES = ("auto", "cpu", "cuda")

MAX_BYTES = 1 << 30
BATCH = 64
WARM_UP_RUNS = 20
TOLERANCE = 5e-3
"""The largest difference of a probability between onnxruntime and native inference of the same network."""


def _onnxruntime() -> Any:
    # From 1.31 on it keeps a database of its use in the user's cache and sends it to its maker, unless turned off.
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    try:
        import onnxruntime
    except ModuleNotFoundError:
        raise UsageError(
            "models need onnxruntime; install one of the two (never both): "
            "pip install 'inversynth[cpu]', or 'inversynth[gpu]' for CUDA"
        ) from None
    return onnxruntime


def _session(data: bytes, device: str, one: str | None = None) -> Any:
    """An onnxruntime session with the options of least latency; its first provider is the device it got.

    one: the name of the dimension that is always 1, if there is one: what the graph makes of it is worked out before.
    """
    runtime = _onnxruntime()
    runtime.set_default_logger_severity(4)
    options = runtime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.execution_mode = runtime.ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.log_severity_level = 4
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if one is not None:
        options.add_free_dimension_override_by_name(one, 1)
    if device != "cpu" and "CUDAExecutionProvider" in runtime.get_available_providers():
        with contextlib.suppress(Exception):  # if CUDA fails, the check below or the CPU is next
            providers = ["CUDAExecutionProvider", "CPUExecutionProvider"]
            session = runtime.InferenceSession(data, options, providers=providers, enable_fallback=0)
            if session.get_providers()[0] == "CUDAExecutionProvider":
                return session
    if device == "cuda":
        raise UsageError(
            "CUDA is not available here; install it with: pip uninstall onnxruntime, "
            "pip install 'inversynth[gpu]' and NVIDIA's CUDA libraries, or use --device cpu"
        )
    return runtime.InferenceSession(data, options, providers=["CPUExecutionProvider"], enable_fallback=0)


class Model:
    """A network that infers the patch of a sound; made by `load_model`.

    `space`, `audio` (the format of its window), `synth` (a name), `note` (what plays where none is given, for a network
    that takes the note; else None), `name`, `device` ("cpu" or "cuda": the one it got), `facts`. Not for several
    threads at a time.
    """

    def __init__(
        self,
        name: str,
        facts: Facts,
        session: Any,
        alone: Callable[[], Any],
        natively: Callable[[], Inference | None] = lambda: None,
    ) -> None:
        self.name, self.facts = name, facts
        self.space, self.audio, self.synth, self.note = facts.space, facts.audio, facts.synth, facts.note
        self.device = "cuda" if session.get_providers()[0] == "CUDAExecutionProvider" else "cpu"
        self._session, self._alone, self._natively = session, alone, natively
        self._window = np.zeros((1, self.audio.samples), np.float32)
        self._note = np.zeros((1, 3), np.float32)
        self._one = [np.zeros((1, param.levels), np.float32) for param in self.space]

    def __repr__(self) -> str:
        return f"<Model {self.name} for {self.synth}, {len(self.space)} parameters, on {self.device}>"

    @functools.cached_property
    def _inference(self) -> Inference | None:
        """The same network natively, if its synth knows it."""
        return self._natively()

    @property
    def engine(self) -> str:
        """What infers one window: "native" or "onnxruntime"."""
        return "onnxruntime" if self._inference is None else "native"

    @functools.cached_property
    def _of_one(self) -> tuple[Any, Any]:
        """A session for one sound, and the binding of its outputs."""
        session = self._alone()
        binding = session.io_binding()
        from_numpy = _onnxruntime().OrtValue.ortvalue_from_numpy  # on the CPU it shares the array's memory
        for param, row in zip(self.space, self._one, strict=True):
            binding.bind_ortvalue_output(param.name, from_numpy(row))
        return session, binding

    def predict(self, audio: ArrayLike, notes: Note | ArrayLike | None = None) -> list[NDArray[np.float32]]:
        """Probabilities of each parameter's levels.

        audio: (n, samples) float32 at `self.audio.sample_rate`. notes: what was played, one for all or (n, 3) rows of
        key, velocity and hold in seconds, by default `note`; a network without a note input ignores
        them. Returns P arrays (n, levels) float32 in the order of `space`, rows summing to 1. Raises `UsageError` for
        another shape or what isn't finite, and `DamageError` for a network that then gives what isn't.
        """
        at = np.ascontiguousarray(audio, np.float32)
        if at.ndim != 2 or at.shape[1] != self.audio.samples:
            raise UsageError(
                f"{self.name} takes {self.audio.samples} samples at {self.audio.sample_rate} Hz: "
                f"the sounds must have the shape (n, {self.audio.samples}), not {at.shape}"
            )
        if not np.isfinite(at).all():
            raise UsageError("the sounds hold NaN or infinite samples")
        given = {"audio": at}
        if self.note is not None:
            given["note"] = Note.rows(self.note if notes is None else notes, len(at)).astype(np.float32)
        chunks = [
            self._session.run(self.space.names, {name: rows[i : i + BATCH] for name, rows in given.items()})
            for i in range(0, len(at), BATCH)
        ]
        if not chunks:
            return [np.empty((0, param.levels), np.float32) for param in self.space]
        found = [np.concatenate(parts) for parts in zip(*chunks, strict=True)]
        if not all(np.isfinite(rows).all() for rows in found):
            raise DamageError(
                f"the model {self.name} gives NaN for probabilities: it is damaged; export or copy it again"
            )
        return found

    def predict_one(self, window: NDArray[np.float32], note: Note | None = None) -> list[NDArray[np.float32]]:
        """P arrays (levels,) for one window (samples,), without allocation: the next call writes over them.

        note: as in `predict`. For the live path: nothing is checked but the shape.
        """
        self._window[0] = window
        if self._inference is not None:
            return list(self._inference.infer(self._window[0]))
        session, binding = self._of_one
        binding.bind_cpu_input("audio", self._window)  # each time: CUDA copies it here
        if self.note is not None:
            self._note[0] = (note or self.note).row
            binding.bind_cpu_input("note", self._note)
        session.run_with_iobinding(binding)
        return [row[0] for row in self._one]

    def warm_up(self, runs: int = WARM_UP_RUNS) -> None:
        """Predicts the latest window, or silence, again: by default until the time that it takes has settled."""
        for _ in range(runs):
            self.predict_one(self._window[0])

    def require(self, synth: Synth) -> None:
        """Raises `MismatchError`, naming what differs, unless this model predicts the parameters of `synth`."""
        synth.space.require(self.space, f"the model {self.name} (for the synth {self.synth!r})")
        if self.audio != synth.format:
            raise MismatchError(
                f"the model {self.name} takes {self.audio.samples} samples at {self.audio.sample_rate} Hz, "
                f"but {synth.name} is {synth.format.samples} at {synth.format.sample_rate} Hz"
            )


def load_model(path_or_name: str | Path, device: str = "auto", native: bool = True) -> Model:
    """Opens a shipped model by its name, or an exported one by its path (file, or folder of `model.onnx`).

    device: "cpu", "cuda", or "auto" (CUDA where it works); `Model.device` says which it got. native: infer one window
    at a time natively, where the synth knows the network (`Synth.accelerate`), unless the device is "cuda".
    Raises `UsageError` for what isn't there, isn't a model of this program, or needs a device that isn't there.
    """
    if device not in DEVICES:
        raise UsageError(f"device {device!r} is not one of {', '.join(DEVICES)}")
    file = find(path_or_name)
    try:
        if file.stat().st_size > MAX_BYTES:
            raise UsageError(f"it is larger than {MAX_BYTES >> 20} MiB")
        data = file.read_bytes()
        facts = read_facts(data)
    except OSError as error:
        raise UsageError(f"{file} can't be read: {error.strerror}") from None
    except UsageError as error:
        raise UsageError(f"{file} can't be used as a model: {error}") from None
    try:
        session = _session(data, device)
        inputs = {port.name: port.shape[1:] for port in session.get_inputs()}
        outputs = {port.name: port.shape[1:] for port in session.get_outputs()}
    except UsageError:
        raise
    except Exception as error:
        reason = str(error).split("\n")[0][:200]
        raise UsageError(f"{file} can't be used as a model: onnxruntime refuses it ({reason})") from None
    if inputs != facts.inputs or outputs != {p.name: [p.levels] for p in facts.space}:
        raise UsageError(f"{file} can't be used as a model: its inputs and outputs are not those of its own space")
    name = file.parent.name if file.parent in shipped().values() else f"{facts.synth}-{facts.model}".lower()
    count = session.get_inputs()[0].shape[0]

    def alone() -> Any:
        return _session(data, device, count) if isinstance(count, str) else session

    def natively() -> Inference | None:
        network = _known(data, facts) if native and device != "cuda" else None
        on_cpu = session.get_providers() == ["CPUExecutionProvider"]
        return network if network and _agree(network, session if on_cpu else _session(data, "cpu"), facts) else None

    return Model(name, facts, session, alone, natively)


def _known(data: bytes, facts: Facts) -> Inference | None:
    """The network of a model natively, if it is one that its synth knows."""
    synth = synths.find(facts.synth)
    if synth is None or synth.accelerate is None or facts.note is not None:
        return None
    if (synth.space, synth.format) != (facts.space, facts.audio):
        return None
    return synth.accelerate(read_weights(data), facts.training)


def _agree(network: Inference, session: Any, facts: Facts) -> bool:
    """Whether both infer the same from a sound that ends early: names may be wrong."""
    sound = np.random.default_rng(0).normal(0, 0.1, facts.audio.samples).astype(np.float32)
    sound[len(sound) // 3 :] = 0
    wanted = session.run(facts.space.names, {"audio": sound[None]})
    found = network.infer(sound)
    return all(np.abs(row - each[0]).max() <= TOLERANCE for row, each in zip(found, wanted, strict=True))
