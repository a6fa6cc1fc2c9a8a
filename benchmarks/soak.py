"""A soak: the bridge for an hour with twenty times the messages; what it loses, how its memory grows, and what of that
is the machine's own.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from stalls import Stall, stalls

from inversynth import live
from inversynth.live.bench import ALL, Load, synth_of
from inversynth.live.bench.budgets import MIB, growth_mib
from inversynth.live.bench.players import RATE_HZ, jack, open_port, simulated
from inversynth.live.bench.timed import TimedSink
from inversynth.live.bench.usage import watched
from inversynth.midi import Receiver
from inversynth.midi.profiles import default_profile

SOAK_OUTPUTS = 20
"""How many receivers at once: the messages are multiplied by it."""
STALLED_BLOCKS = 4
"""JACK tells its clients of an overflow by another thread, and PortAudio reports it with one of the next blocks."""


def stalled(
    seen: Sequence[Stall] | None, lost_s: Sequence[tuple[float, float]], block_s: float
) -> dict[str, Any] | None:
    """Of the machine's stalls how many there were, the longest in ms, and how many overflows came with one.

    lost_s: see `Timed`; an overflow is reported at most `STALLED_BLOCKS` blocks late. None where no stall can be seen.
    """
    if seen is None:
        return None
    late_s = STALLED_BLOCKS * block_s
    spans = [(stall.end_s - stall.length_s, stall.end_s + late_s) for stall in seen]
    after = sum(any(last >= begin and first <= end for begin, end in spans) for first, last in lost_s)
    longest = max((stall.length_s for stall in seen), default=0.0)
    return {"count": len(seen), "max_ms": round(longest * 1e3, 2), "overflows": after}


def stall_rows(rows: Sequence[dict[str, Any]]) -> list[tuple[str, ...]]:
    """The name and, of each row of figures, the cell of what `stalled` found; - where that can't be seen."""
    names = {"count": "stalls of the machine", "max_ms": "the longest, ms", "overflows": "overflows with one"}
    found = [row["stalls"] for row in rows]
    return [(name, *("-" if stalls is None else f"{stalls[key]:g}" for stalls in found)) for key, name in names.items()]


def soak(load: Load, name: str, period: int, seconds: float, simulate: bool, tell: bool = True) -> dict[str, Any]:
    """The bridge in follow mode for this long, with `SOAK_OUTPUTS` receivers: memory, messages, overflows.

    And, beside the overflows, how often a processor stood still for half a block or longer (`stalled`).
    """
    model, block_s = load(name), period / RATE_HZ
    synth = synth_of(model, None)
    with (simulated if simulate else jack)(synth, period) as open_source, open_port() as port:
        source, sink = open_source("patches"), TimedSink(port, keep=False)
        stop = threading.Event()
        source.until(stop, seconds, keep=False)
        profile = default_profile(synth)
        receivers = [Receiver(profile, sink) for _ in range(SOAK_OUTPUTS)]

        def line(at_s: float, held: int | None) -> None:
            sent = sum(receiver.sent for receiver in receivers)
            memory = "" if held is None else f", {held / MIB:.1f} MiB"
            print(f"{at_s:7.0f} s  {sent} messages, {source.overflows} overflows{memory}", file=sys.stderr, flush=True)

        try:
            with watched(min(60.0, seconds / 40), line if tell else None) as seen, stalls(block_s / 2) as stood:
                settings = replace(ALL, mode="follow")
                summary = live.Bridge(source, model, receivers, settings, space=synth.space).run(stop)
                still = stalled(stood(), source.lost_s, block_s)
        finally:
            source.close()
    return {
        "device": source.description,
        "midi": sink.description,
        "period_samples": period,
        "seconds": round(summary.seconds, 3),
        "outputs": SOAK_OUTPUTS,
        "messages": summary.sent,
        "messages_per_s": round(summary.sent / summary.seconds, 1),
        "predictions": summary.predictions,
        "blocks": summary.blocks,
        "overflows": summary.overflows,
        "stalls": still,
        "memory_mib": [round(held / MIB, 2) for held in seen],
        "growth_mib": growth_mib(seen),
    }
