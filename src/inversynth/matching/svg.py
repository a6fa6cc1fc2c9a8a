"""Drawings of the report as HTML: spectrograms, waveforms, knobs, and the curve of a search."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Sequence
from html import escape
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..search.refine import Progress
from .picture import FLOOR_DB, MATCH_COLOUR, TARGET_COLOUR

DIFFERENCE_DB = 40.0
"""The picture of a difference runs from minus to plus this."""
SEGMENTS = 400
"""Points of a drawn waveform."""
MAX_BARS = 64
"""A distribution over more levels than this is drawn as that many sums."""
SWEEP = 135.0
"""A knob turns by this many degrees to either side of its top."""


def data_url(kind: str, data: bytes) -> str:
    """A file of a MIME type as an address that holds it."""
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


# -- pictures ------------------------------------------------------------------------------------


def png(picture: NDArray[np.uint8], palette: NDArray[np.uint8]) -> bytes:
    """(height, width) indices into a palette (256, 3) as a PNG file."""
    from PIL import Image

    image = Image.fromarray(picture)
    image.putpalette(palette.tobytes())
    file = io.BytesIO()
    image.save(file, "PNG", optimize=True)
    return file.getvalue()


def heat(decibels: NDArray[np.float64]) -> str:
    """A spectrogram (frames, bins) from `FLOOR_DB` to 0 as the address of a picture."""
    from matplotlib import colormaps

    palette = colormaps["magma"](np.arange(256), bytes=True)[:, :3]
    return _image(255 * (1 - decibels / FLOOR_DB), palette)


def contrast(decibels: NDArray[np.float64]) -> str:
    """A difference (frames, bins) from minus to plus `DIFFERENCE_DB` as the address of a picture."""
    ends = [[int(colour[i : i + 2], 16) for i in (1, 3, 5)] for colour in (TARGET_COLOUR, MATCH_COLOUR)]
    points = np.array([[255, 255, 255], ends[0], [0, 0, 0], ends[1], [255, 255, 255]])
    palette = np.stack([np.interp(np.arange(256), [-40, 30, 128, 226, 296], points[:, i]) for i in range(3)], axis=1)
    return _image(128 + 127 * np.clip(decibels / DIFFERENCE_DB, -1, 1), palette)


def _image(indices: NDArray[np.float64], palette: NDArray[Any]) -> str:
    picture = np.ascontiguousarray(np.rint(indices).astype(np.uint8).T[::-1])
    return data_url("image/png", png(picture, np.asarray(palette, np.uint8)))


def _ticks(top: float) -> list[float]:
    """Round numbers from 0 to `top`, four to nine of them."""
    step = 10 ** math.floor(math.log10(top / 4))
    step *= next(factor for factor in (5, 2, 1) if factor * step <= top / 4)
    return [i * step for i in range(int(top / step * (1 + 1e-9)) + 1)]


def plot(image: str, name: str, seconds: float, khz: float) -> str:
    """A spectrogram with its axes; the script lets it seek."""
    times = "".join(f'<i style="left:{100 * at / seconds:.4g}%">{at:.4g}</i>' for at in _ticks(seconds))
    pitches = "".join(f'<i style="bottom:{100 * at / khz:.4g}%">{at:.4g}</i>' for at in _ticks(khz))
    return (
        f'<div class="plot"><div class="ys" aria-hidden="true">{pitches}</div>'
        f'<div class="seek" data-seconds="{seconds:g}" data-khz="{khz:g}"><img alt="spectrogram: {name}" src="{image}">'
        f'<b class="head"></b><output></output></div><div class="xs" aria-hidden="true">{times}</div></div>'
    )


def wave(sound: NDArray[np.float32], top: float) -> str:
    """The outline of a waveform between -top and top: its least and largest sample in each segment."""
    parts = np.array_split(sound, min(SEGMENTS, len(sound)))
    upper = [f"{i},{-100 * float(part.max()) / top:.1f}" for i, part in enumerate(parts)]
    lower = [f"{i},{-100 * float(part.min()) / top:.1f}" for i, part in enumerate(parts)]
    outline = " ".join(upper + lower[::-1])
    return (
        f'<svg class="wave" viewBox="0 -100 {len(parts) - 1} 200" preserveAspectRatio="none" aria-hidden="true">'
        f'<polygon points="{outline}"/></svg>'
    )


def loudness(*sounds: NDArray[np.float32]) -> str:
    """The power of sounds over time, in dB of the first one's largest."""
    powers = [
        np.array([np.mean(part.astype(np.float64) ** 2) for part in np.array_split(sound, min(128, len(sound)))])
        for sound in sounds
    ]
    reference = powers[0].max() or 1.0
    lines = []
    for power, colour in zip(powers, ("target", "match"), strict=True):
        decibels = np.clip(10 * np.log10(power / reference + 1e-12), FLOOR_DB / 1.6, 6)
        points = " ".join(f"{i},{-at:.1f}" for i, at in enumerate(decibels))
        lines.append(f'<polyline class="{colour}" points="{points}"/>')
    return (
        f'<svg class="wave" viewBox="0 -8 {len(powers[0]) - 1} {10 - FLOOR_DB / 1.6:g}" preserveAspectRatio="none" '
        f'aria-hidden="true">{"".join(lines)}</svg>'
    )


# -- knobs ---------------------------------------------------------------------------------------


def _point(x: float, radius: float) -> str:
    angle = math.radians((2 * x - 1) * SWEEP)
    return f"{radius * math.sin(angle):.1f} {-radius * math.cos(angle):.1f}"


def _arc(x: float, radius: float) -> str:
    """The path along a knob's rim from its lowest position to x (0..1)."""
    return f"M{_point(0, radius)}A{radius} {radius} 0 {int(2 * x * SWEEP > 180)} 1 {_point(x, radius)}"


def _rays(bars: NDArray[np.float64]) -> str:
    """The path of a histogram, bent around a knob; its largest bar reaches farthest."""
    tops = 34.5 + 13 * bars / (bars.max() or 1.0)
    at = np.linspace(0, 1, len(bars))
    return "".join(f"M{_point(x, 33.5)}L{_point(x, top)}" for x, top in zip(at, tops, strict=True))


def knob(x: float, title: str, distribution: NDArray[Any] | None, ghost: float | None) -> str:
    """A knob at x (0..1), with a distribution (levels,) around it; `ghost`: where a thin line stays."""
    rays = ""
    if distribution is not None:
        bars = np.asarray(distribution, np.float64)
        if len(bars) > MAX_BARS:
            bars = np.array([part.sum() for part in np.array_split(bars, MAX_BARS)])
        rays = f'<path class="rays" style="stroke-width:{min(3.2, 110 / len(bars)):.1f}" d="{_rays(bars)}"/>'
    line = "" if ghost is None else f'<path class="ghost" d="M0 0L{_point(ghost, 30)}"/>'
    return (
        f'<svg viewBox="-50 -49 100 90" role="img"><title>{escape(title)}</title>{rays}'
        f'<g><circle r="23"/><path class="rim" d="{_arc(1, 29)}"/><path class="turn" d="{_arc(x, 29)}"/>{line}'
        f'<path class="hand" d="M{_point(x, 8)}L{_point(x, 20)}"/></g></svg>'
    )


def small_knob(x: float, title: str, differs: bool) -> str:
    """A knob of a variation at x (0..1), which may differ from the match's."""
    return (
        f'<svg viewBox="-24 -24 48 48" class="small{" differs" if differs else ""}"><title>{escape(title)}</title>'
        f'<circle r="17"/><path class="turn" d="{_arc(x, 21)}"/>'
        f'<path class="hand" d="M{_point(x, 5)}L{_point(x, 15)}"/></svg>'
    )


# -- the search ----------------------------------------------------------------------------------


def progress(steps: Sequence[Progress], seconds: float) -> str:
    """The score against time, as steps on a logarithmic axis up to `seconds`; nothing where there are no steps."""
    steps = [step for step in steps if math.isfinite(step.rho_stft)]
    if not steps:
        return ""
    first = min([step.seconds for step in steps if step.seconds > 0] + [seconds or 1.0])
    low = 10 ** math.floor(math.log10(max(min(first, seconds / 10), 1e-4)))
    high = max(seconds, 10 * low)
    floor = math.floor(20 * min(step.rho_stft for step in steps) - 1e-9) / 20
    width, height = 420.0, 190.0

    def across(at_s: float) -> float:
        return width * math.log(max(at_s, low) / low) / math.log(high / low)

    def down(rho: float) -> float:
        return height * (1 - rho) / (1 - floor)

    path = f"M0 {down(steps[0].rho_stft):.1f}"
    dots, last = "", -math.inf
    for step in steps:
        path += f"H{across(step.seconds):.1f}V{down(step.rho_stft):.1f}"
        if across(step.seconds) - last < 5:
            continue
        last = across(step.seconds)
        about = f"{step.seconds:.3g} s, {step.renders:,} renders: {step.rho_stft:.4f}"
        at = f'cx="{last:.1f}" cy="{down(step.rho_stft):.1f}"'
        dots += f'<circle {at} r="2.5"><title>{about}</title></circle>'
    grid = ""
    for k in range(math.floor(math.log10(low)), math.floor(math.log10(high)) + 1):
        x = across(10.0**k)
        grid += f'<path d="M{x:.1f} 0V{height}"/><text x="{x:.1f}" y="{height + 18}">{10.0**k:g} s</text>'
    for rho in np.linspace(floor, 1, 5 if (round((1 - floor) * 20) % 4 == 0) else 6):
        grid += f'<path d="M0 {down(rho):.1f}H{width}"/><text class="y" x="-8" y="{down(rho) + 4:.1f}">{rho:.3g}</text>'
    return (
        f'<svg class="progress" viewBox="-48 -12 {width + 66:g} {height + 38:g}" role="img">'
        "<title>correlation of the log spectrograms against time</title>"
        f'<g class="grid">{grid}</g><path class="line" d="{path}H{across(seconds):.1f}"/>{dots}</svg>'
    )
