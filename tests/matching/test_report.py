"""The report of a match, opened in a browser: what it holds, what plays, and that it needs nothing but itself."""

from __future__ import annotations

import base64
import dataclasses
import io
import os
import re
import shutil
import struct
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import matplotlib.image
import numpy as np
import pytest
import soundfile

import fake_synth
import reference
from inversynth import synths
from inversynth.matching.picture import FLOOR_DB, draw, panel, plain, rows, spectrograms
from inversynth.matching.report import page, verdicts
from inversynth.matching.result import NO_MODEL, Match, Setting, Variation, settings
from inversynth.matching.saving import save
from inversynth.matching.svg import png
from inversynth.search.refine import Candidate, Progress, Refinement
from inversynth.spec import Param, ParamSpace
from inversynth.synths.synth import Synth

PAPER, SINE = synths.load("paper"), synths.load("sine")
MARKUP = "</title><script>document.title='hacked'</script>\"'><img src=x onerror=alert(1)>"
HOSTILE = f"{MARKUP}&amp;\n$name ${{x}} \udcff \u202e.wav"


def patched(instrument: Synth, levels: list[int], name: str = "a sound.wav", **changes: Any) -> Match:
    """A match of a patch by hand: its target is that patch, its sound half as loud, its confidences random."""
    random = np.random.default_rng(4)
    values = instrument.space.values_of_levels([levels])
    sound = instrument.render(values)[0]
    distributions = tuple(random.dirichlet(np.ones(p.levels)).astype(np.float32) for p in instrument.space)
    patch = tuple(
        Setting(param.name, float(value), param.unit, level, float(row[level]))
        for param, value, level, row in zip(instrument.space, values[0], levels, distributions, strict=True)
    )
    return dataclasses.replace(
        Match(
            name=name,
            patch=patch,
            target=sound,
            sound=sound / 2,
            audio=instrument.format,
            measures={"rho_stft": 0.96, "rho_ft": 1.0, "f_delta": 12.0},
            synth=instrument,
            note=instrument.note,
            model="a-model",
            device="cpu",
            distributions=distributions,
            command=f"inversynth match './{name}'",
        ),
        **changes,
    )


def refined(match: Match, variations: int) -> Match:
    """The match after a search that found this many other patches, each with the first parameter a level higher."""
    space = match.synth.space
    at = np.array([setting.level for setting in match.patch])
    levels = [at, *(at + (i + 1) * np.eye(1, len(at), dtype=np.int64)[0] for i in range(variations))]
    best = tuple(
        Candidate(space.values_of_levels(row[None])[0], row, 0.99 - 0.01 * i, 0.2, 0.1, 0.01)
        for i, row in enumerate(levels)
    )
    start = dataclasses.replace(best[0], rho_stft=0.8)
    steps = (Progress(0.0, 1, 0.9, 0.8), Progress(0.02, 700, 0.3, 0.95), Progress(0.9, 21000, 0.1, 0.99))
    found = Refinement(start, best, steps, 30000, 1.2, "search", "it can't improve <any> more")
    others = tuple(
        Variation(
            settings(space, other.values, other.levels, match.distributions), match.synth.render(other.values[None])[0]
        )
        for other in best[1:]
    )
    return dataclasses.replace(match, refinement=found, variations=others)


# Of the paper's synth: sin without modulation, so that its modulation frequency isn't active.
LEVELS = [3, 7, 15, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 0, 3, 12, 2, 15, 4, 3]


def fake_match() -> Match:
    """A match of a patch of the awkward synth by hand; algorithm 4, and a saw for operator 2."""
    levels = (fake_synth.SPACE.levels // 2).tolist()
    for name, level in {"algorithm": 3, "op2_wave": 2, "stability": 0}.items():
        levels[fake_synth.SPACE.index(name)] = level
    return patched(fake_synth.SYNTH, levels)


# -- what is drawn -------------------------------------------------------------------------------


def test_the_groups_of_a_panel_come_from_groups_and_roles() -> None:
    groups = {name: [PAPER.space[i].name for i in members] for name, members in panel(PAPER.space).items()}
    assert list(groups) == ["sin", "saw", "tri", "sqr", "envelope", "filter", "gate"]
    assert groups["tri"] == ["tri_frequency", "tri_mod_frequency", "tri_amplitude", "tri_mod_amplitude"]
    assert groups["envelope"] == ["attack", "decay", "sustain", "release"]
    assert list(panel(SINE.space).values()) == [[0, 1], [2, 3]]
    other = ParamSpace(
        [Param("volume", "x", 0, 1), Param("op1_level", "y", 0, 1, group="op1"), Param("pan", "z", 0, 1)]
    )
    assert panel(other) == {"other": [0, 2], "op1": [1]}


def test_a_drawn_spectrogram_is_that_of_the_measures_at_the_same_moments() -> None:
    sounds = np.random.default_rng(0).normal(size=(2, 16384)) * np.array([[1.0], [0.01]])
    drawn = spectrograms(*sounds)
    assert [picture.shape for picture in drawn] == [(256, 257)] * 2
    known = reference.spectrogram(sounds[0])  # a frame each 256 samples at 256 m + 128; drawn ones at 64 m + 32
    at = 16384 // 2 + 32
    window = sounds[0][at - 256 : at + 256] * np.hanning(513)[:512]
    expected = 20 * np.log10(np.maximum(np.abs(np.fft.rfft(window)), 1e-300))
    levels = drawn[0][128] - expected
    assert np.ptp(levels[expected > expected.max() - 60]) < 1e-6
    assert 20 * np.log10(known.max()) == pytest.approx(-levels[0], abs=3)
    assert drawn[0].max() == 0
    assert -45 < drawn[1].max() < -35
    assert drawn[1].min() >= FLOOR_DB


@pytest.mark.parametrize("samples", [1, 100, 511, 3000])
def test_short_sounds_are_drawn_too(samples: int) -> None:
    assert spectrograms(np.ones(samples))[0].shape == (min(256, samples), 257)


def test_a_picture_is_a_png_of_its_palette() -> None:
    random = np.random.default_rng(2)
    indices = random.integers(0, 256, (5, 7)).astype(np.uint8)
    palette = random.integers(0, 256, (256, 3)).astype(np.uint8)
    read = matplotlib.image.imread(io.BytesIO(png(indices, palette)), format="png")
    np.testing.assert_allclose(255 * read[..., :3], palette[indices], atol=0.01)
    data = png(indices, palette)[8:]
    kinds: list[bytes] = []
    while data:
        (size,) = struct.unpack(">I", data[:4])
        assert struct.unpack(">I", data[8 + size : 12 + size])[0] == zlib.crc32(data[4 : 8 + size])
        kinds, data = [*kinds, data[4:8]], data[12 + size :]
    assert kinds == [b"IHDR", b"PLTE", b"IDAT", b"IEND"]


# -- the text of the page ------------------------------------------------------------------------


class Elements(HTMLParser):
    """The elements of a page, (tag, attributes), and its text; void elements apart, each must be closed in order."""

    VOID = ("meta", "link", "img", "input", "br")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str]]] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in self.VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not {"style", "script"} & set(self._open):
            self.text += data

    def of(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.found if name == tag]

    def having(self, word: str) -> list[dict[str, str]]:
        return [attributes for _, attributes in self.found if word in attributes.get("class", "").split()]


def sounds_of(elements: Elements) -> list[np.ndarray]:
    """What the players of a page play."""
    out = []
    for attributes in elements.of("audio"):
        kind, data = attributes["src"].split(",")
        assert kind == "data:audio/wav;base64"
        sound, rate = soundfile.read(io.BytesIO(base64.b64decode(data)))
        assert rate == 16384
        out.append(sound)
    return out


def test_the_players_hold_target_and_match_as_loud_as_they_are() -> None:
    match = patched(SINE, [3, 8, 12, 1])
    elements = Elements(page(match))
    target, sound = sounds_of(elements)
    np.testing.assert_allclose(target, match.target, atol=2**-15)
    np.testing.assert_allclose(sound, match.sound, atol=2**-15)
    assert "quieter here" not in elements.text


def test_sounds_that_would_clip_are_all_scaled_alike() -> None:
    match = patched(SINE, [3, 8, 12, 1])
    loud = dataclasses.replace(match, sound=4 * match.sound / np.abs(match.sound).max())
    elements = Elements(page(loud))
    target, sound = sounds_of(elements)
    assert np.abs(sound).max() == pytest.approx(1, abs=1e-3)
    np.testing.assert_allclose(4 * target, match.target, atol=2**-13)
    assert "All sounds are 12.0 dB quieter here" in elements.text


def test_every_parameter_is_a_knob_with_its_value_unit_and_confidence() -> None:
    match = patched(PAPER, LEVELS)
    text = page(match)
    knobs = re.findall(r'<div class="(knob[^"]*)" data-name="(\w+)".*?--sure:([\d.]+).*?<span>(.*?)</span>', text)
    assert [name for _, name, _, _ in knobs] == list(PAPER.space.names)
    for (kind, _, sure, shown), setting in zip(knobs, match.patch, strict=True):
        assert float(sure) == pytest.approx(setting.confidence, abs=0.006)
        assert float(shown.split()[0]) == pytest.approx(setting.value, rel=0.006)
        assert shown.split()[1:] == setting.unit.split()
        assert ("inactive" in kind) == (setting.name == "sin_mod_frequency")


def test_pitches_are_shown_as_notes() -> None:
    match = patched(PAPER, LEVELS)
    between = dataclasses.replace(match.patch[0], value=440 * 2 ** (2.9 / 12))
    notes = re.findall(
        r"<small>([A-G]\S+(?: \S+ ct)?), \d+%</small>",
        page(dataclasses.replace(match, patch=(between, *match.patch[1:]))),
    )
    assert notes == ["C5 -10 ct", "A4", "C♯5", "F5"]


@pytest.mark.parametrize("x", [0.0, 0.25, 0.5, 0.9, 1.0])
def test_the_hand_of_a_knob_points_to_its_value(x: float) -> None:
    match = patched(SINE, [3, 8, 12, 1])
    setting = dataclasses.replace(match.patch[0], value=float(SINE.space[0].value_of_x(x)))
    text = page(dataclasses.replace(match, patch=(setting, *match.patch[1:])))
    found = re.search(r'class="hand" d="M\S+ \S+L(\S+) (\S+)"', text)
    assert found
    right, down = float(found[1]), float(found[2])
    assert np.degrees(np.arctan2(right, -down)) == pytest.approx(-135 + 270 * x, abs=0.5)


def test_the_rays_of_a_knob_are_the_networks_distribution() -> None:
    match = patched(SINE, [3, 8, 12, 1])
    for rays, row in zip(re.findall(r'class="rays".*?d="(.*?)"', page(match)), match.distributions, strict=True):
        ends = np.array(re.findall(r"M(\S+) (\S+?)L(\S+) (\S+?)(?=M|$)", rays), float)
        lengths = np.hypot(ends[:, 2], ends[:, 3]) - np.hypot(ends[:, 0], ends[:, 1])
        np.testing.assert_allclose((lengths - 1) / 13, row / row.max(), atol=0.02)


def test_a_synth_with_many_levels_stays_small() -> None:
    fine = ParamSpace([dataclasses.replace(param, levels=4096) for param in SINE.space])
    match = patched(dataclasses.replace(SINE, space=fine), [3, 8, 12, 1])
    wide = tuple(np.full(4096, 1 / 4096, np.float32) for _ in fine)
    assert len(page(dataclasses.replace(match, distributions=wide))) < 500_000


def test_a_choice_is_shown_by_its_text() -> None:
    match = fake_match()
    text = page(match)
    knobs = dict(re.findall(r'data-name="(\w+)".*?<span>(.*?)</span>', text))
    assert knobs["algorithm"] == "algorithm 4"
    assert knobs["op2_wave"] == "saw"
    other = Variation((dataclasses.replace(match.patch[0], level=6, value=6.0), *match.patch[1:]), match.sound)
    found = dataclasses.replace(refined(match, 1), variations=(other,))
    assert "<p>algorithm algorithm 4 → algorithm 7</p>" in page(found)


def test_a_ratio_is_a_pitch_but_no_note() -> None:
    smalls = dict(re.findall(r'data-name="(\w+)".*?<small>(.*?)</small>', page(fake_match())))
    assert re.fullmatch(r"\d+%", smalls["op1_ratio"])  # its unit isn't Hz


def test_150_parameters_give_a_page_with_all_of_them_and_a_picture_with_all_their_names() -> None:
    match = fake_match()
    text = page(match)
    assert len(Elements(text).having("knob")) == len(fake_synth.SPACE) == 150
    assert len(text) < 1_000_000
    with plain():
        canvas = draw(match)
    named = [label.get_text() for axes in canvas.figure.axes[5:] for label in axes.get_xticklabels()]
    assert len(named) == 150
    assert named[0] == "algorithm"
    for row in rows(fake_synth.SPACE):
        assert sum(len(members) for _, members in row) <= 28
    assert sorted(i for row in rows(fake_synth.SPACE) for _, members in row for i in members) == list(range(150))


def test_without_a_network_nothing_is_said_of_one() -> None:
    alone = dataclasses.replace(refined(patched(SINE, [3, 8, 12, 1]), 0), model=NO_MODEL)
    elements = Elements(page(alone))
    assert "as a patch of the synth sine, found without a network in 1.2 s by 30,000 renders" in elements.text
    assert "synth sine, without a model;" in elements.text
    assert "The network:" not in elements.text
    assert elements.having("rays") == elements.having("ghost") == []
    assert "beginning" in elements.text


@pytest.mark.parametrize(("rho", "word"), [(0.999, "nearly the same"), (0.95, "very close"), (0.1, "hardly alike")])
def test_the_measures_are_described_in_words(rho: float, word: str) -> None:
    match = patched(SINE, [3, 8, 12, 1])
    whole = page(dataclasses.replace(match, measures={**match.measures, "rho_stft": rho}))
    assert [verdict for _, verdict in verdicts(0.7) if f"<span>{verdict}<" in whole] == [word]
    text = Elements(whole).text
    assert f"{rho:.3f}" in text
    assert "6.0 dB" in text  # half the amplitude
    assert ("this sound may be beyond what sine can make" in text) == (rho < 0.7)


def test_the_page_says_what_made_it_and_how_to_do_it_again() -> None:
    text = Elements(page(patched(SINE, [3, 8, 12, 1]), datetime(2026, 11, 24, 15, 5, tzinfo=UTC))).text
    assert "inversynth match './a sound.wav'" in text
    assert "synth sine, model a-model on cpu; 2026-11-24 15:05+00:00" in text


def test_a_search_is_shown_with_what_it_gained_and_its_variations() -> None:
    match = refined(patched(PAPER, LEVELS), variations=4)
    elements = Elements(page(match))
    for text in (
        "it can't improve <any> more",
        "30,000 renders in 1.2 s",
        "0.800",
        "Variation 5",
        "sin frequency 523 Hz → 554 Hz",
    ):
        assert text in elements.text
    assert len(elements.having("differs")) == 4
    assert len(elements.having("small")) == 4 * len(PAPER.space)
    variations = PAPER.render(np.array([candidate.values for candidate in match.refinement.best[1:]]))  # type: ignore[union-attr]
    played = sounds_of(elements)
    assert len(played) == 6
    gain = 1 / max(1, np.abs(match.target).max(), np.abs(variations).max())
    np.testing.assert_allclose(np.array(played[2:]), gain * variations, atol=2**-14)


def test_the_curve_of_a_search_rises_on_a_logarithmic_axis() -> None:
    match = refined(patched(SINE, [3, 8, 12, 1]), 0)
    found = re.search(r'class="line" d="M0 (\S+?)(H.*?)"', page(match))
    assert found
    steps = np.array(re.findall(r"H([\d.]+)V([\d.]+)", found[2]), float)
    assert np.ptp(np.log10([0.02, 0.9])) / np.log10(1.2 / 0.01) == pytest.approx(np.ptp(steps[1:, 0]) / 420, abs=1e-3)
    assert (float(found[1]), *steps[:, 1]) == tuple(
        pytest.approx(190 * (1 - rho) / 0.25) for rho in (0.8, 0.8, 0.95, 0.99)
    )


@pytest.mark.parametrize("steps", [(), (Progress(0.0, 1, 0.0, 1.0),)])
def test_a_search_that_found_nothing_is_shown_too(steps: tuple[Progress, ...]) -> None:
    match = refined(patched(SINE, [3, 8, 12, 1]), 0)
    assert match.refinement
    nothing = dataclasses.replace(match.refinement, progress=steps, seconds=0.0, renders=1)
    assert "1 renders in 0 s" in Elements(page(dataclasses.replace(match, refinement=nothing))).text


def test_after_a_search_a_thin_line_stays_where_the_network_pointed() -> None:
    match = patched(SINE, [3, 8, 12, 1])
    rows = [np.eye(p.levels, dtype=np.float32)[level] for p, level in zip(SINE.space, [3, 0, 12, 2], strict=True)]
    assert len(Elements(page(dataclasses.replace(match, distributions=tuple(rows)))).having("ghost")) == 0
    after = refined(dataclasses.replace(match, distributions=tuple(rows)), variations=0)
    assert len(Elements(page(after)).having("ghost")) == 2


@pytest.mark.parametrize(
    "match", [patched(PAPER, LEVELS), refined(patched(PAPER, LEVELS), 4)], ids=["plain", "refined"]
)
def test_the_page_refers_to_nothing_but_itself_and_is_small(match: Match) -> None:
    text = page(match)
    assert len(text) < 1_500_000
    elements = Elements(text)
    for _, attributes in elements.found:
        for name in ("src", "href", "data", "srcset", "action"):
            assert attributes.get(name, "data:").startswith("data:")
    assert not re.search(r"url\(|@import|https?:", text)


def test_what_a_user_wrote_is_text_and_no_markup() -> None:
    plain, hostile = (refined(patched(SINE, [3, 8, 12, 1], name), 1) for name in ("plain", HOSTILE))
    first, second = Elements(page(plain)), Elements(page(hostile))
    assert [tag for tag, _ in first.found] == [tag for tag, _ in second.found]
    assert second.text.count(HOSTILE) == 3  # the title, the heading, and the command


def test_a_name_that_is_no_text_can_be_written(tmp_path: Path) -> None:
    save(patched(SINE, [3, 8, 12, 1], HOSTILE), tmp_path)
    assert "\\udcff" not in (tmp_path / "report.html").read_text(encoding="utf-8")


# -- in a browser --------------------------------------------------------------------------------

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
ARGUMENTS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
)
LISTEN = """
// What reaches the speakers can be looked at as well.
const connect = AudioNode.prototype.connect;
AudioNode.prototype.connect = function (to, ...more) {
  if (to === this.context.destination) {
    window.analyser ??= new AnalyserNode(this.context, {fftSize: 8192, smoothingTimeConstant: 0});
    connect.call(this, window.analyser);
  }
  return connect.call(this, to, ...more);
};
window.pitch = () => {
  const magnitudes = new Float32Array(analyser.frequencyBinCount);
  analyser.getFloatFrequencyData(magnitudes);
  const top = magnitudes.indexOf(Math.max(...magnitudes));
  return magnitudes[top] < -60 ? 0 : top * analyser.context.sampleRate / analyser.fftSize;
};
"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A headless Chromium."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="driving a browser needs selenium (the extra `dev`)")
    if not CHROMIUM or not DRIVER or sys.platform != "linux":
        pytest.skip("needs Chromium and its driver (Debian: chromium, chromium-driver)")
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for argument in (*ARGUMENTS.split(), f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    with webdriver.Chrome(options, webdriver.ChromeService(DRIVER, env={**os.environ})) as driver:
        driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": LISTEN})
        yield driver


def wait(true: Callable[[], object], what: str) -> None:
    """Returns once it is true; within ten seconds."""
    end = time.monotonic() + 10
    while not true():
        assert time.monotonic() < end, what
        time.sleep(0.02)


def opened(browser: Any, match: Match, folder: Path) -> None:
    """Opens the report of a match from a file, with all of its sounds loaded."""
    (folder / "report.html").write_text(page(match), encoding="utf-8", errors="replace")
    browser.get((folder / "report.html").as_uri())
    states = "return [...document.querySelectorAll('audio')].map((player) => [player.readyState, player.duration])"
    wait(lambda: all(state == 4 for state, _ in browser.execute_script(states)), "the players don't load")
    for _, seconds in browser.execute_script(states):
        assert seconds == pytest.approx(1, abs=0.01)


@pytest.fixture(scope="module")
def pitched() -> Match:
    """A match whose target is a tone at 500 Hz, and whose sound one at 2 kHz."""
    time_s = np.arange(16384) / 16384
    tones = [np.asarray(0.5 * np.sin(2 * np.pi * hz * time_s), np.float32) for hz in (500, 2000)]
    return patched(SINE, [3, 8, 12, 1], target=tones[0], sound=tones[1])


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_report_opens_in_a_browser(browser: Any, tmp_path: Path, width: int, scheme: str) -> None:
    feature = {"name": "prefers-color-scheme", "value": scheme}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    opened(browser, refined(patched(PAPER, LEVELS, HOSTILE), 4), tmp_path)
    assert browser.get_log("browser") == []
    assert browser.title.startswith("</title>")
    assert browser.execute_script("return document.querySelectorAll('.knob svg').length") == len(PAPER.space)
    pictures = "return [...document.images].every((image) => image.complete && image.naturalWidth === 256)"
    assert browser.execute_script(pictures)
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    background = browser.execute_script("return getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, re.findall(r"\d+", background)[:3])) < 200) == (scheme == "dark")
    fetched = (
        "return performance.getEntriesByType('resource').filter((entry) => !entry.name.startsWith('data:')).length"
    )
    assert browser.execute_script(fetched) == 0


def test_target_and_match_play_in_step_and_a_switch_changes_which_is_played(
    browser: Any, tmp_path: Path, pitched: Match
) -> None:
    opened(browser, pitched, tmp_path)

    def at() -> float:
        return float(browser.execute_script("return Number(document.getElementById('place').value)"))

    def plays(hz: float) -> Callable[[], bool]:
        return lambda: abs(browser.execute_script("return pitch()") - hz) < 20

    def press(*keys: str) -> None:
        for key in keys:
            for kind in ("keyDown", "keyUp"):
                browser.execute_cdp_cmd("Input.dispatchKeyEvent", {"type": kind, "key": key, "text": key})

    play, (target, sound) = (
        browser.find_element("id", "play"),
        browser.find_elements("css selector", ".choices button"),
    )
    play.click()
    wait(plays(500), "the target isn't played")
    sound.click()
    wait(plays(2000), "the match isn't played")
    assert [each.get_attribute("aria-pressed") for each in (target, sound)] == ["false", "true"]
    press("x")
    wait(plays(500), "the target isn't played again")
    press("b")
    wait(plays(2000), "the match isn't played again")
    play.click()
    wait(plays(0), "it doesn't stop")
    before = at()
    press("a")
    assert at() == pytest.approx(before)
    press("l", " ")  # once only
    wait(lambda: play.get_attribute("aria-label") == "play" and at() == 1, "it doesn't end")
    browser.execute_script(
        "const p = document.querySelectorAll('.seek')[1]; const r = p.getBoundingClientRect();"
        "p.dispatchEvent(new MouseEvent('click', {bubbles: true, clientX: r.left + r.width / 4, clientY: r.top + 9}))"
    )
    assert at() == pytest.approx(0.25, abs=0.01)
    assert browser.get_log("browser") == []


def test_without_the_script_the_browsers_own_players_are_there(browser: Any, tmp_path: Path, pitched: Match) -> None:
    (tmp_path / "report.html").write_text(re.sub("<script>.*?</script>", "", page(pitched), flags=re.DOTALL))
    browser.get((tmp_path / "report.html").as_uri())
    shown = "return [...document.querySelectorAll('audio, .transport')].map((it) => getComputedStyle(it).display)"
    assert browser.execute_script(shown) == ["none", "inline", "inline"]
