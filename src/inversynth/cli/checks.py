"""What this machine has and lacks for the live bridge and the rest, and how to get it."""

from __future__ import annotations

import functools
import importlib.metadata
import os
import platform
import re
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from ..errors import one_line
from .probes import PROBES, Facts, probed

OK, OPTIONAL, LIMIT, MISSING = "ok", "optional", "limit", "missing"
"""All is there; not there, and live needs none; live runs, but not as well as it could; live can't run."""

JACK_LOCKS_BYTES = 107_341_340
"""What jackd 1.9.21 locks in memory, by its own message "Cannot lock down 107341340 byte memory area"."""
CUDA_13_SINCE = (1, 27)
"""From this version on onnxruntime-gpu is built for CUDA 13; TensorFlow's wheels are for CUDA 12."""
EXTRAS = ("train", "baselines", "ray", "remote")
"""The extras that are spoken of; `cpu` and `gpu` are onnxruntime's."""
RIVALS = (("onnxruntime", "onnxruntime-gpu"), ("tensorflow", "tensorflow-cpu"))
"""Packages that write over each other's files."""

INSTALL: Mapping[str, Mapping[str, str]] = {
    "portaudio": {
        "debian": "apt install libportaudio2",
        "fedora": "dnf install portaudio",
        "arch": "pacman -S portaudio",
        "suse": "zypper install portaudio",
        "darwin": "brew install portaudio",
        "win32": "pip install --force-reinstall sounddevice (its Windows wheels bring PortAudio)",
        "": "install the PortAudio library",
    },
    "jack": {
        "debian": "apt install jackd2",
        "fedora": "dnf install jack-audio-connection-kit",
        "arch": "pacman -S jack2",
        "suse": "zypper install jack",
        "darwin": "brew install jack",
        "win32": "get it from https://jackaudio.org/downloads",
        "": "install JACK",
    },
}
"""How to get a library, by the kind of system that `kind_of_system` names."""
DUMMY = "jackd -r -d dummy -r 48000 -p 256"
"""A JACK server that needs no hardware."""


@dataclass(frozen=True)
class Finding:
    """One line: how it stands (`OK`..`MISSING`), what was checked, what was found, and what to do."""

    state: str
    about: str
    found: str
    remedy: str = ""


def kind_of_system(platform_name: str = sys.platform, os_release: str | None = None) -> str:
    """`debian`, `fedora`, `arch`, `suse`, `darwin`, `win32`, or nothing for a system that isn't known.

    os_release: the text of /etc/os-release, whose ID and ID_LIKE name a Linux distribution (os-release(5)).
    """
    if platform_name in ("darwin", "win32"):
        return platform_name
    if os_release is None:
        file = Path("/etc/os-release")
        os_release = file.read_text(encoding="utf-8", errors="replace") if file.exists() else ""
    names = re.findall(r"^ID(?:_LIKE)?=(.*)$", os_release, re.MULTILINE)
    words = " ".join(names).replace('"', "").split()
    return next((kind for kind in ("debian", "fedora", "arch", "suse") if any(kind in word for word in words)), "")


# -- what it means --------------------------------------------------------------------------------


def python_found() -> Iterator[Finding]:
    """The interpreter and the system."""
    about = f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    old = sys.version_info < (3, 11)
    yield Finding(MISSING if old else OK, "Python", about, "install Python 3.11 or later" if old else "")


def kernel_found() -> Iterator[Finding]:
    """The path of the native kernel that this processor takes."""
    from ..system.simd import simd_target

    path = simd_target()
    yield Finding(OK, "native kernel", f"{path.name}, {path.lanes} sounds side by side")


def network_found(facts: Facts, installed: Mapping[str, str], gpu: bool) -> Iterator[Finding]:
    """onnxruntime, the shipped models and CUDA.

    facts: of the probe `network`; installed: versions of the packages that are; gpu: whether there is one of NVIDIA's.
    """
    runtimes = [f"{name} {installed[name]}" for name in RIVALS[0] if name in installed]
    if not runtimes or "version" not in facts:
        yield Finding(
            MISSING, "onnxruntime", facts.get("error", "not installed"), "pip install 'inversynth[cpu]', or [gpu]"
        )
    else:
        yield Finding(OK, "onnxruntime", " and ".join(runtimes))
    models = facts.get("models", [])
    if "model" in facts:
        yield Finding(OK, "models", ", ".join(models))
    elif "version" in facts:
        about = facts.get("error", "") if models else "none shipped with this copy"
        yield Finding(MISSING, "models", about, "install inversynth again, or give live a --model FILE")
    if facts.get("device") == "cuda":
        yield Finding(OK, "CUDA", f"{facts['model']} runs on it")
    elif not gpu:
        yield Finding(OPTIONAL, "CUDA", "no NVIDIA GPU; live needs none")
    else:
        wanted = "NVIDIA's CUDA and cuDNN libraries"
        if "onnxruntime-gpu" not in installed:
            wanted = f"pip uninstall onnxruntime; pip install 'inversynth[gpu]'; {wanted}"
        yield Finding(OPTIONAL, "CUDA", "there is an NVIDIA GPU, but onnxruntime runs on the CPU", wanted)


def audio_found(facts: Facts, system: str) -> Iterator[Finding]:
    """PortAudio, the audio inputs and the JACK server, from the facts of the probe `audio`."""
    if "error" in facts:
        yield Finding(MISSING, "PortAudio", facts["error"].split(";")[0], INSTALL["portaudio"][system])
        return
    yield Finding(OK, "PortAudio", facts["portaudio"].split(",")[0])
    if facts["inputs"]:
        yield Finding(OK, "audio inputs", _some(facts["inputs"]))
    else:
        without = "" if system in ("darwin", "win32") else f", or start a server: {DUMMY}"
        yield Finding(MISSING, "audio inputs", "none (live --file takes recordings)", f"connect a device{without}")
    jack = any("JACK" in api for api in facts["apis"])
    if jack:
        yield Finding(OK, "JACK server", "runs")
    else:
        get = "" if shutil.which("jackd") else f"{INSTALL['jack'][system]}; "
        yield Finding(OPTIONAL, "JACK server", "none runs", f"{get}{DUMMY}")


def midi_found(facts: Facts, system: str) -> Iterator[Finding]:
    """The MIDI system, from the facts of the probe `midi`."""
    if "error" not in facts:
        ports = _some(facts["outputs"]) if facts["outputs"] else "no ports yet; live --virtual NAME makes one"
        yield Finding(OK, "MIDI", f"{facts['api']}: {ports}")
        return
    remedy = {
        "win32": "pip install python-rtmidi",
        "darwin": "pip install python-rtmidi",
    }.get(system, f"modprobe snd-seq, or {DUMMY}; live --midi-file and --dry-run need none")
    yield Finding(LIMIT, "MIDI", facts["error"].split(";")[0], remedy)


def rights_found(system: str) -> Iterator[Finding]:
    """Real-time priority and locked memory (Linux), and the governor of the processor."""
    if system in ("darwin", "win32"):
        yield Finding(OK, "real-time priority", "the system gives it to its audio threads")
        return
    import resource

    group = "usermod -aG audio USER; in /etc/security/limits.d/audio.conf: @audio - {} {}; log in again"
    most = resource.getrlimit(resource.RLIMIT_RTPRIO)[1]
    if _may_be_realtime():
        yield Finding(OK, "real-time priority", "allowed")
    else:
        yield Finding(LIMIT, "real-time priority", f"not allowed (rtprio {most})", group.format("rtprio", 95))
    locked = resource.getrlimit(resource.RLIMIT_MEMLOCK)[0]
    if locked == resource.RLIM_INFINITY or locked >= JACK_LOCKS_BYTES:
        yield Finding(OK, "locked memory", "unlimited" if locked == resource.RLIM_INFINITY else f"{locked >> 20} MiB")
    else:
        found = f"{locked >> 20} MiB, and JACK wants {JACK_LOCKS_BYTES >> 20}"
        yield Finding(LIMIT, "locked memory", found, group.format("memlock", "unlimited"))
    yield from governor_found(Path("/sys/devices/system/cpu"))
    yield awake_found()


def governor_found(folder: Path) -> Iterator[Finding]:
    """The frequency governors below a folder as Linux shows them in /sys/devices/system/cpu."""
    names = sorted({file.read_text().strip() for file in folder.glob("cpu[0-9]*/cpufreq/scaling_governor")})
    if not names:
        yield Finding(
            OPTIONAL,
            "CPU governor",
            "not to be seen here (a virtual machine?)",
            "inversynth live --awake, if there are overflows",
        )
    elif names == ["performance"]:
        yield Finding(OK, "CPU governor", "performance")
    else:
        yield Finding(LIMIT, "CPU governor", ", ".join(names), "cpupower frequency-set -g performance")


def awake_found() -> Finding:
    """By what `live --awake` keeps processors awake."""
    from ..system.awake import open_latency_file

    about = "staying awake"
    file = open_latency_file()
    if file is None:
        return Finding(OPTIONAL, about, "live --awake keeps each processor busy; /dev/cpu_dma_latency isn't to be used")
    file.close()
    return Finding(OK, about, "live --awake uses /dev/cpu_dma_latency")


def extras_found(installed: Mapping[str, str], required: list[str]) -> Iterator[Finding]:
    """The extras whose packages are there, and what can't stand side by side.

    required: the lines of this package's metadata, such as `cma>=4; extra == "baselines"`.
    """
    for extra in EXTRAS:
        lacking = []
        for line in required:
            at = re.fullmatch(rf"""([\w.-]+)(?:\[.*\])?>=([\d.]+); extra == ['"]{extra}['"]""", line)
            if at and _number(installed.get(_plain(at[1]), "")) < _number(at[2]):
                there = installed.get(_plain(at[1]))
                lacking.append(f"{at[1]}>={at[2]}" + (f" (there is {there})" if there else ""))
        if lacking:
            yield Finding(OPTIONAL, extra, f"lacks {', '.join(lacking)}", f"pip install 'inversynth[{extra}]'")
        else:
            yield Finding(OK, extra, "all its packages are there")
    for one, other in RIVALS:
        if one in installed and other in installed:
            yield Finding(
                LIMIT,
                "conflict",
                f"{one} and {other} have written over each other",
                f"pip uninstall {one} {other}, and install one of them again",
            )
    gpu = _number(installed.get("onnxruntime-gpu", ""))
    if "tensorflow" in installed and "nvidia-cuda-runtime-cu12" in installed and gpu >= CUDA_13_SINCE:
        yield Finding(
            LIMIT,
            "conflict",
            f"TensorFlow's CUDA 12 beside onnxruntime-gpu {installed['onnxruntime-gpu']}, which wants CUDA 13",
            "train in an environment of its own",
        )


def _may_be_realtime() -> bool:
    """Whether this process may take SCHED_FIFO: it does, and gives it back."""
    before = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(os.sched_get_priority_min(os.SCHED_FIFO)))
    except OSError:
        return False
    os.sched_setscheduler(0, *before)
    return True


def _some(names: list[str], most: int = 4) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def _number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:3])


def _plain(name: str) -> str:
    """A package's name as PEP 503 compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


@functools.cache
def _installed() -> dict[str, str]:
    return {_plain(each.name): each.version for each in importlib.metadata.distributions() if each.name}


def _required() -> list[str]:
    try:
        return importlib.metadata.requires("inversynth") or []
    except importlib.metadata.PackageNotFoundError:
        return []


def examine() -> Iterator[Finding]:
    """All findings, one after another, however this machine is; nothing is raised."""
    system = kind_of_system()
    gpu = Path("/proc/driver/nvidia/version").exists()
    with ThreadPoolExecutor(len(PROBES)) as pool:  # threads that wait for processes
        facts = {name: pool.submit(probed, name) for name in PROBES}
        checks: list[tuple[str, str, Callable[[], Iterator[Finding]]]] = [
            ("Python", MISSING, python_found),
            ("native kernel", MISSING, kernel_found),
            ("onnxruntime", MISSING, lambda: network_found(facts["network"].result(), _installed(), gpu)),
            ("PortAudio", MISSING, lambda: audio_found(facts["audio"].result(), system)),
            ("MIDI", LIMIT, lambda: midi_found(facts["midi"].result(), system)),
            ("real-time priority", LIMIT, lambda: rights_found(system)),
            ("extras", OPTIONAL, lambda: extras_found(_installed(), _required())),
        ]
        for about, without, check in checks:
            try:
                yield from check()
            except Exception as error:
                yield Finding(without, about, f"can't be determined: {one_line(error)}", "install inversynth again")
