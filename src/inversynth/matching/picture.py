"""What a match looks like: its spectrograms, its parameters in groups, and the picture `match.png`."""

from __future__ import annotations

import contextlib
import logging
import math
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import metrics
from ..spec import Param, ParamSpace
from .result import Match

TARGET_COLOUR, MATCH_COLOUR = "#2f7fd0", "#e0672c"
FLOOR_DB = 20 * float(np.log10(metrics.FLOOR))
FRAMES = 256
"""Frames of a drawn spectrogram, for sounds of any length: closer than the hop of the measures."""

ROW = 28.0
"""The most faders side by side, with the gaps between their groups."""
GAP = 0.5
"""The gap between two groups, in faders."""
WIDTH_IN, HEIGHT_IN, ROW_IN = 11.0, 8.0, 1.95
"""The size of a picture with one row of faders, and the height of each more, in inches."""


def spectrograms(target: ArrayLike, *sounds: ArrayLike, window: int = metrics.WINDOW) -> list[NDArray[np.float64]]:
    """The spectrogram (frames, window / 2 + 1) of a target (samples,) and of others as long, in dB of its peak.

    window: samples, the shape is that of `metrics.spectrogram`, and so is the floor; there are `FRAMES` frames where
    there are as many samples, evenly spaced. There is silence in front of a sound; its last window ends with it.
    """
    found = []
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(window) / window)
    for sound in (target, *sounds):
        at = np.asarray(sound, np.float64)
        centres = ((np.arange(min(FRAMES, len(at))) + 0.5) * len(at) / min(FRAMES, len(at))).astype(np.int64)
        half = window // 2
        windows = np.lib.stride_tricks.sliding_window_view(np.pad(at, half), window)
        windows = windows[np.minimum(centres, max(len(at) - half, 0))]  # a sound that is cut must not end with a click
        found.append(np.abs(np.fft.rfft(windows * hann, axis=1)))
    peak = found[0].max() or 1.0
    return [20 * np.log10(np.maximum(magnitudes / peak, metrics.FLOOR)) for magnitudes in found]


def label(param: Param, group: str) -> str:
    """The name of a parameter within its group: without what the group says already."""
    words = [word for word in param.name.split("_") if word != group]
    return " ".join(words) or param.name


def number(value: float) -> str:
    """A value to three digits, from 1000 on to the nearest whole number."""
    return f"{value:.3g}" if abs(value) < 999.5 else f"{value:.0f}"


def value_text(param: Param, value: float) -> str:
    """A value in the parameter's unit, or the choice that it is."""
    return param.text(value) or f"{number(value)} {param.unit}".rstrip()


def note_of(param: Param, value: float) -> str | None:
    """The note that a value is, of a parameter that is a pitch in Hz."""
    return note(value) if param.role == "pitch" and param.unit == "Hz" else None


def note(frequency_hz: float) -> str:
    """The nearest note of the equal temperament at A4 = 440 Hz, and by how many cents it is off."""
    semitones = 69 + 12 * math.log2(frequency_hz / 440)
    nearest = round(semitones)
    cents = round(100 * (semitones - nearest))
    name = ("C", "C♯", "D", "D♯", "E", "F", "F♯", "G", "G♯", "A", "A♯", "B")[nearest % 12]
    return f"{name}{nearest // 12 - 1}" + (f" {cents:+d} ct" if cents else "")


def panel(space: ParamSpace) -> dict[str, list[int]]:
    """The parameters as groups of a front panel, in the order of the space: name of the group to positions."""
    groups: dict[str, list[int]] = {}
    for i, param in enumerate(space):
        groups.setdefault(param.heading, []).append(i)
    return groups


@contextlib.contextmanager
def plain() -> Iterator[None]:
    """Matplotlib with its default settings, not the user's (a black background, LaTeX), and without warnings.

    For drawing and saving: many settings are only read when a picture is saved.
    """
    logging.getLogger("matplotlib").setLevel(logging.CRITICAL)  # it would say where it can't keep its cache
    import matplotlib.style

    with matplotlib.style.context("default"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a name may hold signs that the font lacks
        yield


def rows(space: ParamSpace) -> list[list[tuple[str, list[int]]]]:
    """The groups of `panel` in rows of at most `ROW` faders; a group that is longer is divided."""
    found: list[list[tuple[str, list[int]]]] = [[]]
    used, most = 0.0, int(ROW)
    for group, members in panel(space).items():
        for part in (members[i : i + most] for i in range(0, len(members), most)):
            if used + len(part) > ROW:
                found.append([])
                used = 0.0
            found[-1].append((group, part))
            used += len(part) + GAP
    return found


def draw(match: Match) -> Any:
    """A canvas: waveforms and spectrograms of target and match, side by side on common scales, above the patch.

    Within `plain`, if it is to be the same everywhere.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    faders = rows(match.synth.space)
    more_in = ROW_IN * (len(faders) - 1)
    height_in = HEIGHT_IN + more_in

    def up(share: float) -> float:
        """A height of the picture with one row of faders in this one, which is longer at its foot."""
        return (share * HEIGHT_IN + more_in) / height_in

    figure = Figure(figsize=(WIDTH_IN, height_in), dpi=130)
    canvas = FigureCanvasAgg(figure)
    grid = figure.add_gridspec(
        3, 2, height_ratios=(1, 2.1, 1.2), left=0.062, right=0.905, top=up(0.868), bottom=up(0.085), wspace=0.06,
        hspace=0.1,
    )  # fmt: skip
    name = " ".join(match.name.encode(errors="replace").decode().split())  # of a file: it may hold no text, or dollars
    figure.text(0.014, up(0.982), name, fontsize=15, fontweight="bold", va="top", parse_math=False)
    figure.text(0.014, up(0.940), _scores(match), color="0.35", va="top")
    _draw_sounds(figure, grid, match)
    patch = grid[2, :].get_position(figure)
    width = max(sum(len(part) for _, part in row) + GAP * (len(row) - 1) for row in faders)
    for number_of_row, row in enumerate(faders):
        bottom = patch.y0 - number_of_row * ROW_IN / height_in
        box = (0.055, bottom, 0.94, patch.height - 0.045 * HEIGHT_IN / height_in)
        _draw_faders(figure.add_axes(box), match, row, width)
    return canvas


def _scores(match: Match) -> str:
    found = match.refinement
    how = f"refined by {found.renders:,} renders" if found else "faders are paler where less sure"
    rho_stft, rho_ft = (match.measures[key] for key in ("rho_stft", "rho_ft"))
    return f"correlation of the log spectrograms {rho_stft:.3f}, of the spectra {rho_ft:.3f}; {how}"


def _draw_sounds(figure: Any, grid: Any, match: Match) -> None:
    """The waveforms and spectrograms of target and match."""
    seconds, rate = match.audio.seconds, match.audio.sample_rate
    time = np.arange(match.audio.samples) / rate
    top = 1.08 * max(float(np.abs(match.target).max()), float(np.abs(match.sound).max()))
    sounds = (match.target, match.sound)
    pictures = spectrograms(*sounds, window=match.window)
    names, colours = ("target", f"match ({match.synth.name})"), (TARGET_COLOUR, MATCH_COLOUR)
    for i, (name, wave, decibels, colour) in enumerate(zip(names, sounds, pictures, colours, strict=True)):
        above, below = figure.add_subplot(grid[0, i]), figure.add_subplot(grid[1, i])
        above.plot(time, wave, color=colour, linewidth=0.5)
        above.axhline(0, color="0.6", linewidth=0.5, zorder=0)
        above.set_title(name, fontsize=12, color=colour, fontweight="bold", loc="left", parse_math=False)
        above.set(xlim=(0, seconds), ylim=(-top, top))
        above.tick_params(labelbottom=False, labelleft=i == 0)
        above.spines[["top", "right"]].set_visible(False)
        shown = below.imshow(
            decibels.T,
            origin="lower",
            aspect="auto",
            cmap="magma",
            vmin=FLOOR_DB,
            vmax=0,
            extent=(0, seconds, 0, rate / 2000),
        )
        below.set_xlabel("time (s)", labelpad=1)
        below.tick_params(labelleft=i == 0)
        if i == 0:
            above.set_ylabel("amplitude")
            below.set_ylabel("frequency (kHz)")
    beside = below.get_position()
    figure.colorbar(
        shown, figure.add_axes((0.918, beside.y0, 0.012, beside.height)), label="dB relative to the target's peak"
    )


def _draw_faders(axes: Any, match: Match, groups: list[tuple[str, list[int]]], width: float) -> None:
    """A fader for each parameter of these groups, without a search the paler the less the network is sure of it.

    width: how many faders there is room for.
    """
    from matplotlib.colors import to_rgb

    space, active = match.synth.space, match.active
    room = 120 / (width + 1.2)  # small letters a fader wide
    at: list[float] = []
    names: list[str] = []
    order: list[int] = []
    for group, members in groups:
        start = at[-1] + 1 + GAP if at else 0.0
        heading = _shortened(group, 0.7 * room * (len(members) + GAP))
        axes.text(start - 0.42, 1.3, heading, fontsize=9, fontweight="bold", va="bottom", parse_math=False)
        at += [start + i for i in range(len(members))]
        order += members
        names += [label(space[i], group) + (f" ({space[i].unit})" if space[i].unit else "") for i in members]
    patch = [match.patch[i] for i in order]
    x = np.array([float(space[i].x_of_value(match.patch[i].value)) for i in order])
    confidences = [setting.confidence for setting in patch]
    sure = (np.ones(len(patch)) if match.refinement else np.array(confidences)) * active[order]
    axes.bar(at, 1, 0.8, color="0.93")
    axes.bar(at, x, 0.8, color=[(*to_rgb(MATCH_COLOUR), 0.18 + 0.82 * each) for each in sure])
    axes.hlines(x, np.array(at) - 0.4, np.array(at) + 0.4, color=MATCH_COLOUR, linewidth=2)
    for place, i, setting in zip(at, order, patch, strict=True):
        text = _shortened(space[i].text(setting.value) or number(setting.value), 1.5 * room)
        axes.text(place, 1.05, text, fontsize=7.5, ha="center", va="bottom", parse_math=False)
        sureness = ("" if match.refinement else f"{setting.confidence:.0%}") if active[i] else "inactive"
        axes.text(place, -0.06, sureness, fontsize=6.5, ha="center", va="top", color="0.4")
    axes.set_xticks(at, names, rotation=32, ha="right", rotation_mode="anchor", fontsize=8, parse_math=False)
    axes.set(xlim=(-0.6, width - 0.4), ylim=(-0.2, 1.35), yticks=[])
    axes.tick_params(length=0, pad=1)
    axes.spines[:].set_visible(False)


def _shortened(text: str, letters: float) -> str:
    half = max(int(letters) // 2, 1)
    return text if len(text) <= letters else f"{text[:half]}…{text[-half:]}"
