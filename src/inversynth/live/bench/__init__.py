"""The live bridge measured on this machine: how late it is, what it loses, what it costs.

The bridge runs as it does on stage, on a JACK server of its own without hardware or, where there is none, on a device
that is simulated in real time. Another process plays random patches of the model's synth. Three things are
played: patches without a pause (followed, for the time from a block to its message), notes with rests (captured, for
the time from an onset to its first message), and silence (for what the bridge costs while nothing is played).

It is in the package, and the loop player with it, for players who want to know what their own machine does; what only
measurements need, the soak and the stalls, is with the benchmarks.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Protocol

import numpy as np

from ... import synths
from ...errors import UsageError
from ...midi import Receiver
from ...midi.profiles import default_profile
from ...predict.model import Model as ShippedModel
from ...predict.model import load_model
from ...synths.synth import Synth
from .. import Bridge, Model, Settings, Summary, renders_quickly
from .budgets import first_after_s, growth_mib, onsets, path_s, percentiles
from .players import RATE_HZ, REST_S, jack, open_port, simulated
from .timed import Open, Timed, TimedModel, TimedSink
from .usage import watched

PERIODS = (128, 256, 512, 1024)
FOLLOW_RATE = 20.0
"""Predictions a second in the first part: more than by default, for as many figures."""
SETTLE_S = 1.0
"""The beginning of a part, of this length, is not counted."""
ALL = Settings(confidence=0.0, smooth=0.0)
"""Settings with which every prediction that differs is sent, at once."""


class OfSynth(Model, Protocol):
    """A model that says of which synth it is."""

    synth: str


Load = Callable[[str], OfSynth]
"""Loads a model by its name."""


def load_on_cpu(name: str) -> ShippedModel:
    """A shipped or exported model, as the bridge loads it, on the CPU."""
    return load_model(name, "cpu")


def synth_of(model: OfSynth, synth: Synth | None) -> Synth:
    """The synth of a model, which may be given; raises `UsageError` if it isn't here."""
    found = synth or synths.find(model.synth)
    if found is None:
        raise UsageError(
            f"the model {model.name} is of the synth {model.synth!r}, which isn't here; give it with --synth FILE.py"
        )
    return found


def measure(
    load: Load, name: str, period: int, seconds: float, simulate: bool, synth: Synth | None = None
) -> dict[str, Any]:
    """The figures at one period: milliseconds, percent, counts. Each of three parts takes `seconds`.

    synth: the model's, unless it can be found by its name.
    """
    model = load(name)
    played = synth_of(model, synth)
    profile, renders = default_profile(played), renders_quickly(played, model.audio)
    found: dict[str, Any] = {"period_samples": period}
    with (simulated if simulate else jack)(played, period) as open_source, open_port() as port:

        def part(what: str, settings: Settings) -> tuple[Timed, TimedSink, TimedModel, Summary]:
            source, sink = open_source(what), TimedSink(port, keep=True)
            stop = threading.Event()
            source.until(stop, seconds, sound=what == "notes")
            timed = TimedModel(model, source)
            try:
                receiver = Receiver(profile, sink)
                gate = Open(played, model.audio, renders)
                summary = Bridge(source, timed, [receiver], settings, gate, space=played.space).run(stop)
                found["device"], found["midi"] = source.description, sink.description
                if what != "notes":
                    found["idle_percent" if what == "silence" else "busy_percent"] = source.share()
            finally:
                source.close()
            found["overflows"] = found.get("overflows", 0) + summary.overflows
            found["messages"] = found.get("messages", 0) + len(sink.times_s)
            return source, sink, timed, summary

        with watched(min(1.0, seconds / 10)) as seen:
            source, sink, timed, _ = part("patches", replace(ALL, mode="follow", rate=FOLLOW_RATE))
        settled = np.asarray(timed.came_s) > source.times_s[0] + min(SETTLE_S, seconds / 4)
        found["path_ms"] = percentiles(
            path_s(np.asarray(timed.came_s)[settled], np.asarray(timed.done_s)[settled], sink.times_s)
        )
        found["inference_ms"] = percentiles(np.asarray(timed.took_s)[settled])
        found["growth_mib"] = growth_mib(seen)
        settings = ALL
        source, sink, _, _ = part("notes", settings)
        sound = np.concatenate(source.blocks_read) if source.blocks_read else np.zeros(0, np.float32)
        begins = onsets(sound, 10 ** (settings.threshold_db / 20), round(REST_S / 2 * RATE_HZ))
        found["notes"] = len(begins)
        found["first_message_ms"] = percentiles(
            first_after_s([source.came_s(int(sample)) for sample in begins], sink.times_s)
        )
        part("silence", settings)
    return found
