"""What the paper's Conv6XL reached (arXiv 1812.06349, tables of section 6), on the paper's own data."""

from __future__ import annotations

MEAN_MPR = 77.90
MPR = {
    "attack": 70.85,
    "decay": 53.53,
    "sustain": 53.55,
    "release": 90.23,
    "gate_frequency": 97.88,
    "cutoff": 99.68,
    "resonance": 96.62,
    **{
        f"{waveform}_{name}": figure
        for waveform, figures in {
            "saw": (77.12, 85.73, 66.79, 80.16),
            "sin": (67.28, 86.50, 68.02, 80.41),
            "sqr": (76.46, 90.85, 69.55, 86.27),
            "tri": (65.41, 84.27, 66.61, 77.90),
        }.items()
        for name, figure in zip(("amplitude", "mod_amplitude", "mod_frequency", "frequency"), figures, strict=True)
    },
}
"""In percent, by parameter."""
SOUND = {
    "rho_stft": {"mean": 0.9204, "median": 0.9561},
    "rho_ft": {"mean": 0.7613, "median": 0.9022},
    "f_delta": {"mean": 708.94, "median": 679.36},
}
