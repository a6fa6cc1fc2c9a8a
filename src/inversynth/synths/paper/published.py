"""What the paper's networks reached (arXiv 1812.06349, tables of section 6), on the paper's own data."""

from __future__ import annotations

from ..synth import Published
from .table import WAVEFORMS

MEAN_MPRS = {
    "FC-Linear": 65.59,
    "FC1": 66.85,
    "FC2": 67.05,
    "FC3": 66.72,
    "HC": 72.80,
    "HC3": 75.80,
    "C1": 70.69,
    "C2": 75.78,
    "C3": 76.51,
    "C4": 77.35,
    "C5": 77.66,
    "C6": 77.81,
    "C6XL": 77.90,
    "CE2E": 76.17,
}
"""In percent, by network."""
MEAN_MPR = MEAN_MPRS["C6XL"]
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
"""In percent, of its Conv6XL, by parameter."""
SOUNDS = {
    network: {
        "rho_stft": {"mean": stft, "median": stft_median},
        "rho_ft": {"mean": ft, "median": ft_median},
        "f_delta": {"mean": delta, "median": delta_median},
    }
    for network, stft, stft_median, ft, ft_median, delta, delta_median in (
        ("C6XL", 0.9204, 0.9561, 0.7613, 0.9022, 708.94, 679.36),
        ("C6", 0.9138, 0.9539, 0.7428, 0.8800, 740.32, 704.99),
        ("C5", 0.9109, 0.9510, 0.7346, 0.8740, 757.69, 726.87),
        ("C4", 0.9097, 0.9499, 0.7329, 0.8629, 765.55, 743.97),
        ("CE2E", 0.8833, 0.9341, 0.7136, 0.8061, 904.12, 884.96),
        ("HC3", 0.8804, 0.9259, 0.6439, 0.6807, 918.78, 916.52),
        ("HC", 0.8462, 0.8853, 0.5968, 0.5973, 1117.53, 1084.59),
        ("FC2", 0.7722, 0.8232, 0.5818, 0.5719, 1336.7, 1267.87),
        ("FC-Linear", 0.7524, 0.8083, 0.5474, 0.5115, 1427.03, 1328.79),
    )
}
"""Of sounds, by network; of the others the paper gives none."""
SOUND = SOUNDS["C6XL"]

PUBLISHED = Published(
    source="arXiv 1812.06349, its Conv6XL, on its own data",
    mean_mpr=MEAN_MPR,
    mpr=MPR,
    sound=SOUND,
    groups={
        "filter": ("cutoff", "resonance"),
        "notes": tuple(f"{w}_frequency" for w in WAVEFORMS),
        "amplitude LFO": tuple(f"{w}_mod_amplitude" for w in WAVEFORMS),
        "gate frequency": ("gate_frequency",),
        "frequency LFO": tuple(f"{w}_mod_frequency" for w in WAVEFORMS),
        "oscillator amplitude": tuple(f"{w}_amplitude" for w in WAVEFORMS),
        "ADSR": ("attack", "decay", "sustain", "release"),
    },
)
"""The paper's text makes the amplitude LFO of the modulation amplitudes, its Figure 6 of the gater's frequency alone;
here each is a group."""
