"""The filter between two rates: the sums it stands for, what it lets through, and what it shows of the rest."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from inversynth import _native
from inversynth.audio.files import resample
from inversynth.audio.resampling import BETA, HALF_SAMPLES, fill, filter_of
from inversynth.errors import UsageError
from lock import ticks_during
from sounds import Sound

MODEL_HZ = 16384
RATES = (48000, 44100, 96000, 192000, 22050, 11025, 8000, 32768, 8192, 44101)


def filled(sound: Sound, rate: int, to_rate: int = MODEL_HZ, count: int | None = None) -> Sound:
    out = np.full(-(-len(sound) * to_rate // rate) if count is None else count, np.nan, np.float32)
    fill(out, sound, rate, to_rate)
    return out


def noise(count: int, seed: int = 0) -> Sound:
    return np.random.default_rng(seed).normal(0, 0.25, count).astype(np.float32)


def reference(sound: Sound, rate: int, to_rate: int, count: int) -> NDArray[np.float64]:
    """The sum that each sample is, in double precision."""
    share = min(to_rate / rate, 1)
    half = HALF_SAMPLES / share
    out = np.zeros(count)
    for j in range(count):
        center = j * rate / to_rate
        at = np.arange(max(int(np.ceil(center - half)), 0), min(int(np.floor(center + half)) + 1, len(sound)))
        time = at - center
        window = np.i0(BETA * np.sqrt(np.maximum(1 - (time / half) ** 2, 0))) / np.i0(BETA)
        out[j] = (sound[at].astype(np.float64) * share * np.sinc(share * time) * window).sum()
    return out


def gain_db(hz: float, rate: int, to_rate: int = MODEL_HZ) -> float:
    """The level of what comes of a sine, whatever its frequency, away from the edges of the sound."""
    hz = round(hz / 4) * 4  # whole periods in what is measured
    sound = np.sin(2 * np.pi * hz * np.arange(rate) / rate + 0.3)
    out = filled(sound.astype(np.float32), rate, to_rate)[to_rate // 8 : -to_rate // 8].astype(np.float64)
    return float(10 * np.log10(2 * np.mean(out**2) + 1e-30))


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("length", [0, 1, 2, 777, 3001])
def test_each_sample_is_the_sum_under_the_window(rate: int, length: int) -> None:
    sound = noise(length)
    expected = reference(sound, rate, MODEL_HZ, -(-length * MODEL_HZ // rate) + 40)
    np.testing.assert_allclose(filled(sound, rate, count=len(expected)), expected, atol=3e-7)


@pytest.mark.parametrize(("rate", "to_rate"), [(44100, 48000), (48000, 44100), (16000, 44100), (1000, 16384)])
def test_models_of_other_rates_have_filters_too(rate: int, to_rate: int) -> None:
    sound = noise(500)
    expected = reference(sound, rate, to_rate, 700)
    np.testing.assert_allclose(filled(sound, rate, to_rate, 700), expected, atol=3e-7)


@pytest.mark.parametrize("rate", RATES)
def test_the_pass_band_is_flat_up_to_nine_tenths_of_the_lower_band(rate: int) -> None:
    band = min(rate, MODEL_HZ) / 2
    for part in (0.01, 0.3, 0.6, 0.9):
        assert abs(gain_db(part * band, rate)) < 5e-4


@pytest.mark.parametrize("rate", [rate for rate in RATES if rate > 1.2 * MODEL_HZ])
def test_what_is_above_the_band_is_gone(rate: int) -> None:
    band = MODEL_HZ / 2
    for part in np.linspace(1.1, min(4, rate / MODEL_HZ), 12):
        assert gain_db(part * band, rate) < -93


@pytest.mark.parametrize("rate", [rate for rate in RATES if rate < MODEL_HZ])
def test_a_sound_of_a_lower_rate_has_no_images(rate: int) -> None:
    hz, count = 0.8 * rate / 2, MODEL_HZ
    sound = np.sin(2 * np.pi * hz * np.arange(rate) / rate).astype(np.float32)
    expected = np.sin(2 * np.pi * hz * np.arange(count) / count)
    inner = slice(count // 8, -count // 8)
    assert np.abs(filled(sound, rate)[inner] - expected[inner]).max() < 5e-5


@pytest.mark.parametrize("rate", RATES)
def test_what_lies_in_the_pass_band_is_the_same_sound_and_that_of_soxr_at_its_best(rate: int) -> None:
    """Noise of whole frequencies, which are known at the other rate."""
    count, spectrum = int(0.9 * min(rate, MODEL_HZ) / 2), np.zeros(max(rate, MODEL_HZ), complex)
    spectrum[1:count] = np.exp(2j * np.pi * np.random.default_rng(1).random(count - 1)) / np.sqrt(8 * count)
    sound, exact = ((np.fft.irfft(spectrum[: hz // 2 + 1], hz) * hz).astype(np.float32) for hz in (rate, MODEL_HZ))
    inner = slice(MODEL_HZ // 10, -MODEL_HZ // 10)
    ours, best = filled(sound, rate)[:MODEL_HZ], resample(sound, rate, MODEL_HZ)[:MODEL_HZ]

    def off_db(a: Sound, b: Sound) -> float:
        return float(20 * np.log10(np.linalg.norm((a - b)[inner]) / np.linalg.norm(b[inner])))

    assert off_db(ours, exact) < -100
    assert off_db(ours, best) < -70


def test_a_sample_depends_on_what_is_near_it_alone() -> None:
    for rate in RATES:
        sound, half = noise(rate // 4), HALF_SAMPLES * max(rate / MODEL_HZ, 1)
        whole = filled(sound, rate)
        for length in (len(sound) // 3, len(sound) // 2 + 1):
            known = int((length - half) * MODEL_HZ / rate)
            np.testing.assert_array_equal(filled(sound[:length], rate, count=known), whole[:known])
        silent = filled(np.concatenate([sound, np.zeros(rate // 8, np.float32)]), rate)
        np.testing.assert_array_equal(silent[: len(whole)], whole)


def test_equal_rates_change_nothing() -> None:
    sound = noise(100)
    np.testing.assert_array_equal(filled(sound, 44100, 44100), sound)
    np.testing.assert_array_equal(filled(sound, 44100, 44100, 60), sound[:60])
    np.testing.assert_array_equal(filled(sound, 44100, 44100, 130), np.pad(sound, (0, 30)))


@pytest.mark.parametrize(("rate", "to_rate"), [(0, 16384), (-1, 16384), (48000, 10), (10**9, 16384), (5, 5)])
def test_an_invalid_rate_is_refused(rate: int, to_rate: int) -> None:
    with pytest.raises(UsageError, match=r"sample rate .* is outside 1000..768000"):
        fill(np.zeros(9, np.float32), noise(9), rate, to_rate)


def test_a_filter_is_made_once() -> None:
    assert filter_of(48000, MODEL_HZ).rows is filter_of(48000, MODEL_HZ).rows


def test_rows_that_are_no_filter_are_refused() -> None:
    rows, up, down, before = filter_of(48000, MODEL_HZ)
    out = np.zeros(9, np.float32)
    for wrong in ((rows[:-1], up, down, before), (rows, 0, down, before), (rows, up, 0, before), (rows, up, down, -1)):
        with pytest.raises(ValueError, match="rows must be"):
            _native.resample(*wrong, noise(9), out, 0)


def test_other_threads_run_meanwhile() -> None:
    sound, out = noise(1 << 24), np.empty(1 << 23, np.float32)
    fill(out[:9], sound, 48000, MODEL_HZ)
    assert ticks_during(lambda: fill(out, sound, 48000, MODEL_HZ)) > 0
