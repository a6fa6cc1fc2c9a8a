"""How near a prediction is: the measures of InverSynth (arXiv 1812.06349, section 5) and of the field."""

from __future__ import annotations

from .field import field_measures
from .intervals import mean_intervals, summary
from .parameters import (
    calibration,
    group_measures,
    mean_mae,
    mean_mpr,
    mean_top,
    parameter_measures,
    pooled,
    ranks,
)
from .sounds import FLOOR, WINDOW, log_spectrograms, pearson, sound_measures, spectrogram, window_samples

TITLES = {
    "rho_stft": "rho(STFT)",
    "rho_ft": "rho(FT)",
    "f_delta": "F_delta",
    "spectral_convergence": "spectral convergence",
    "lsd_db": "log-spectral distance (dB)",
    "mel_db": "multi-scale mel L1 (dB)",
    "mfcc_db": "MFCC distance (dB)",
    "wmfcc_db": "warped MFCC (dB)",
    "sot_hz": "spectral transport (Hz)",
    "rms_cosine": "RMS envelope cosine",
    "residual_db": "waveform residual (dB)",
}
"""The measures of sounds: what `sound_measures` and `field_measures` give, and how each is called."""

__all__ = [
    "FLOOR",
    "TITLES",
    "WINDOW",
    "calibration",
    "field_measures",
    "group_measures",
    "log_spectrograms",
    "mean_intervals",
    "mean_mae",
    "mean_mpr",
    "mean_top",
    "parameter_measures",
    "pearson",
    "pooled",
    "ranks",
    "sound_measures",
    "spectrogram",
    "summary",
    "window_samples",
]
