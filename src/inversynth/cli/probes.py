"""Probes of this machine's native libraries, each in a process of its own: a crash or hang is a finding, too."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from typing import Any

from .. import synths
from ..errors import one_line

Facts = Mapping[str, Any]
"""What a probe saw, and the `error` that ended it."""
PROBE_S = 20.0
"""A probe that takes longer than this counts as hanging."""


def _probe_network(found: dict[str, Any]) -> None:
    import numpy as np

    from ..predict import model as predict
    from ..predict.shipped import default_model, shipped

    found["version"] = predict._onnxruntime().__version__
    found["models"] = list(shipped())
    if found["models"]:
        model = predict.load_model(default_model(synths.load()))
        model.predict(np.zeros((1, model.audio.samples), np.float32))
        found |= {"model": model.name, "device": model.device}


def _probe_audio(found: dict[str, Any]) -> None:
    from ..audio.internals import load_sounddevice
    from ..system.devices import quiet

    sounddevice = load_sounddevice()
    found["portaudio"] = sounddevice.get_portaudio_version()[1]
    with quiet():
        found["apis"] = [api["name"] for api in sounddevice.query_hostapis() if api["devices"]]
        found["inputs"] = [row["name"] for row in sounddevice.query_devices() if row["max_input_channels"]]


def _probe_midi(found: dict[str, Any]) -> None:
    from .. import midi

    output = midi.rtmidi_output()
    import rtmidi

    found["api"] = rtmidi.get_api_display_name(output.get_current_api())
    found["outputs"] = midi.output_ports()


PROBES: Mapping[str, Callable[[dict[str, Any]], None]] = {
    "network": _probe_network,
    "audio": _probe_audio,
    "midi": _probe_midi,
}


def probe(name: str) -> None:
    """Prints, as JSON, what a probe sees, and the `error` that ended it; the main function of its process."""
    found: dict[str, Any] = {}
    try:
        PROBES[name](found)
    except Exception as error:
        found["error"] = one_line(error)
    print(json.dumps(found), flush=True)
    os._exit(0)  # skips what the libraries do on exit


def probed(name: str) -> Facts:
    """What the probe sees in a process of its own; also `error` if that crashes or hangs."""
    words = [sys.executable, "-c", f"from inversynth.cli.probes import probe; probe({name!r})"]
    try:
        done = subprocess.run(
            words,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=PROBE_S,
            env=os.environ | {"JACK_NO_START_SERVER": "1"},
        )
        return dict(json.loads(done.stdout))
    except subprocess.TimeoutExpired:
        return {"error": f"it hangs when probed (given up after {PROBE_S:g} s)"}
    except ValueError:
        code = done.returncode
        return {"error": f"it crashes when probed ({f'signal {-code}' if code < 0 else f'exit code {code}'})"}
