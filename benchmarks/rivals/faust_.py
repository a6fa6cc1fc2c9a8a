"""Faust (GRAME), compiled by LLVM inside DawDreamer; a patch at a time."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from inversynth.synths.paper.table import SPACE

from . import SINE, Render, Task

ABOUT = "Faust, -vec -vs 64, by LLVM in DawDreamer, single precision"
BATCHES = (64,)

_SERIES = f"{SINE[0]} + z * ({SINE[1]} + z * ({SINE[2]} + z * ({SINE[3]} + z * {SINE[4]})))"
PROGRAM = f"""
import("stdfaust.lib");
t = float(+(1) ~ _ : -(1)) / ma.SR;
tau = 2 * ma.PI;
wrap(x) = x - rint(x);
quarter(x) = y * ({_SERIES}) with {{ y = 0.25 - abs(wrap(x)); z = y * y; }};
phase(f, v, b) = f * t + b / (tau * v) * (1 - quarter(v * t));
saw = phase(saw_frequency, saw_mod_frequency, saw_mod_amplitude) : wrap;
tri = phase(tri_frequency, tri_mod_frequency, tri_mod_amplitude) - 0.25 : wrap;
sqr = phase(sqr_frequency, sqr_mod_frequency, sqr_mod_amplitude) : wrap;
mix = sin_amplitude * quarter(phase(sin_frequency, sin_mod_frequency, sin_mod_amplitude) - 0.25)
    + 2 * saw_amplitude * saw + tri_amplitude * (1 - 4 * abs(tri)) + select2(sqr < 0, sqr_amplitude, 0 - sqr_amplitude);
held(t) = min(t / attack, max(1 - (1 - sustain) / decay * (t - attack), sustain));
level = select2(t < NOTE_OFF, held(NOTE_OFF) * max(0, 1 - (t - NOTE_OFF) / release), held(t));
w = tau * cutoff / ma.SR;
alpha = sin(w) / (2 * resonance);
b1 = (1 - cos(w)) / (1 + alpha);
lowpass = fi.tf22t(b1 / 2, b1, b1 / 2, -2 * cos(w) / (1 + alpha), (1 - alpha) / (1 + alpha));
process = mix * level : lowpass : *(0.5 + 0.5 * quarter(gate_frequency * t - 0.25));
"""


def make(task: Task) -> Render:
    """Compiled here; on one thread, since DawDreamer renders on the thread that loaded it."""
    import dawdreamer

    sliders = [f'{q.name} = hslider("{q.name}", {q.low:g}, {q.low:g}, {q.high:g}, 0.0000001);' for q in SPACE]
    engine = dawdreamer.RenderEngine(task.sample_rate, 2048)
    synth = engine.make_faust_processor("synth")
    synth.set_dsp_string("\n".join([*sliders, PROGRAM.replace("NOTE_OFF", f"{task.note_off_s:g}")]))
    synth.compile_flags = ["-vec", "-vs", "64", "-lv", "1"]
    if not synth.compile():
        raise RuntimeError("the Faust program doesn't compile")
    index = {about["name"].split("/")[-1]: about["index"] for about in synth.get_parameters_description()}
    numbers = [index[name] for name in SPACE.names]
    engine.load_graph([(synth, [])])

    def render(values: NDArray[np.float64], out: NDArray[np.float32]) -> None:
        for row, sound in zip(values.tolist(), out, strict=True):
            for number, value in zip(numbers, row, strict=True):
                synth.set_parameter(number, value)
            engine.render(task.samples / task.sample_rate)
            sound[:] = engine.get_audio()[0, : task.samples]

    return render
