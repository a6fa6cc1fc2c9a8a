"""`paper`: four FM oscillators, ADSR, resonant low-pass and gater (arXiv 1812.06349, section 3).

Ranges and units are the paper's; the order of the parameters is ours. Each has 16 levels.
"""

from __future__ import annotations

from ...spec import AudioFormat, Note, Param, ParamSpace

FORMAT = AudioFormat(16384, 1.0)
NOTE = Note(69, 100, 0.75)
"""The note that plays a patch as it is written: the A of 440 Hz, at which the range of the frequencies begins."""
INITIAL = {
    "sin_amplitude": 0.7,
    "saw_amplitude": 0.3,
    "attack": 0.005,
    "decay": 0.4,
    "sustain": 0.6,
    "release": 0.3,
    "cutoff": 2500.0,
    "resonance": 1.0,
}
"""What an instrument begins with, in units; parameters that aren't here are at their lowest."""

WAVEFORMS = ("sin", "saw", "tri", "sqr")


def _oscillator(waveform: str, midi: int) -> list[Param]:
    w = waveform
    return [
        Param(
            f"{w}_frequency",
            f"f_{w}",
            440.0,
            440.0 * 2 ** (15 / 12),
            "Hz",
            "exponential",
            midi=midi,
            group=w,
            role="pitch",
        ),
        Param(
            f"{w}_mod_frequency",
            f"v_{w}",
            1.0,
            30.0,
            "Hz",
            midi=midi + 1,
            inert_when=(f"{w}_mod_amplitude", 0),
            group=w,
            role="vibrato rate",
        ),
        Param(f"{w}_amplitude", f"A_{w}", 0.001, 1.0, midi=midi + 2, group=w, role="level"),
        Param(f"{w}_mod_amplitude", f"B_{w}", 0.0, 1500.0, "Hz", midi=midi + 3, group=w, role="vibrato depth"),
    ]


# Control change numbers: 20-31, 102-107 are undefined in the MIDI 1.0 specification; 71-75 are its
# sound controllers, used for what it names them (resonance, release, attack, brightness, decay).
SPACE = ParamSpace(
    [
        *(param for w, midi in zip(WAVEFORMS, (20, 24, 28, 102), strict=True) for param in _oscillator(w, midi)),
        Param("attack", "a", 0.001, 1.0, "s", midi=73, role="envelope time"),
        Param("decay", "d", 0.001, 1.0, "s", midi=75, role="envelope time"),
        Param("sustain", "s", 0.001, 1.0, "level", midi=106, role="envelope level"),
        Param("release", "r", 0.001, 1.0, "s", midi=72, role="envelope time"),
        Param("cutoff", "f_cut", 200.0, 4000.0, "Hz", midi=74, role="filter frequency"),
        Param("resonance", "q", 0.01, 10.0, midi=71, role="filter resonance"),
        Param("gate_frequency", "f_gate", 0.5, 30.0, "Hz", midi=107, group="gate", role="tremolo rate"),
    ]
)
