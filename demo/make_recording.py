"""Makes demo/recording.flac: a synth bass (bass_thick_c of Sonic Pi's samples), not rendered with inversynth.

By ani_music, http://freesound.org/people/ani_music/sounds/165314/, CC0.

    python demo/make_recording.py

Downloads Debian's package sonic-pi-samples with apt-get and unpacks it with dpkg-deb into a temporary
folder; nothing is installed. The recording is in the repository already: this shows where it came from.
"""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

import soundfile

SAMPLE = "usr/share/sonic-pi/samples/bass_thick_c.flac"
OUT = Path(__file__).with_name("recording.flac")


def main() -> None:
    """Downloads, unpacks, mixes to mono, writes."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)  # apt-get drops its privileges to download
        subprocess.run(["apt-get", "download", "-q", "sonic-pi-samples"], cwd=folder, check=True)
        subprocess.run(["dpkg-deb", "-x", str(next(folder.glob("*.deb"))), str(folder)], check=True)
        sound, rate = soundfile.read(folder / SAMPLE, always_2d=True)
    soundfile.write(OUT, sound.mean(axis=1), rate, subtype="PCM_16")
    print(f"wrote {OUT}: {len(sound) / rate:.2f} s at {rate} Hz")


if __name__ == "__main__":
    main()
