"""A profile from a device's own controls: each is moved once, and the messages it sends are taken as its address."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from ...spec import CATEGORICAL, Param, ParamSpace
from ..addresses import Address, ControlChange, ControlChange14, Nrpn, Sysex
from ..decoding import Readings
from ..messages import LSB_OFFSET, SYSEX, Message
from ..profile import Control

QUIET_S = 1.0
"""A control that sends nothing for this long has been moved."""
POLL_S = 0.05
WHOLE = 0.95
"""A movement over this share of an address's values is taken for all of them."""
BACK, QUIT = "b", "q"
"""What is typed, before Enter, to go back to the parameter before, and to end."""
HELP = f"Enter skips it, {BACK} and Enter goes back to the one before, {QUIT} and Enter ends and keeps the others"


def learn(
    space: ParamSpace,
    receive: Callable[[float], Message | None],
    entered: Callable[[], str | None],
    say: Callable[[str], None],
    now: Callable[[], float] = time.monotonic,
) -> Iterator[tuple[Param, int | None, Control | None]]:
    """Asks for the control of each parameter in turn, and gives (param, channel, control) of those that were moved.

    The channel is None for system exclusive messages, which have none. A control of None takes back what was given
    for a parameter that was gone back to.

    `receive` gives the next message, or None after a time-out in seconds; `entered` gives a line that was typed, once,
    or None: an empty one skips a parameter or ends a movement, `BACK` goes back, `QUIT` ends; `say` shows a line. A
    control that was taken before is asked for again.
    """
    owners: dict[object, str] = {}
    at = 0
    say(HELP)
    while at < len(space):
        param = space[at]
        say(f"{param.name}: move its control from the lowest to the highest value, and wait ({at + 1} of {len(space)})")
        found, typed = _listen(param, receive, entered, say, now)
        if typed == QUIT:
            return
        if typed == BACK:
            at = max(at - 1, 0)
            if space[at].name in owners.values():
                owners = {place: name for place, name in owners.items() if name != space[at].name}
                yield space[at], None, None
            continue
        if found is None:
            say("  skipped")
            at += 1
            continue
        channel, control = found
        taken = next((owners[place] for place in control.address.places if place in owners), None)
        if taken is not None:
            say(f"  {control.address} is already that of {taken}; move another")
            continue
        owners.update(dict.fromkeys(control.address.places, param.name))
        on = "" if channel is None else f", channel {channel}"
        say(f"  {control.address}, {control.low}..{control.high}{on}")
        yield param, channel, control
        at += 1


def _listen(
    param: Param,
    receive: Callable[[float], Message | None],
    entered: Callable[[], str | None],
    say: Callable[[str], None],
    now: Callable[[], float],
) -> tuple[tuple[int | None, Control] | None, str]:
    """The (channel, control) that moves until it is quiet or a line is typed, None if nothing moved; and the line."""
    readings = {channel: Readings(channel) for channel in range(1, 17)}
    values: dict[tuple[int | None, Address], list[int]] = {}
    exclusive: list[Message] = []
    last, typed = now(), ""
    while True:
        line = entered()
        if line is not None:
            typed = line.strip().casefold()
            break
        message = receive(POLL_S)
        if message is not None:
            for channel, reader in readings.items():
                for address, value in reader.feed(message):
                    values.setdefault((channel, address), []).append(value)
                    last = now()
            if message[0] == SYSEX:
                exclusive.append(message)
                last = now()
        elif (_moves(exclusive) or any(_moves(each) for each in values.values())) and now() - last > QUIET_S:
            break
    values |= {(None, address): each for address, each in _exclusive(exclusive)}
    moved = {
        (channel, address): each
        for (channel, address), each in values.items()
        if _moves(each)
        # A controller of 32..63 whose MSB is not sent is one by itself, as on many devices.
        and not (isinstance(address, ControlChange14) and (channel, ControlChange(address.number)) not in values)
    }
    if not moved:
        if _moves(exclusive):
            say("  more than one value changes in its messages (a checksum?): a profile can't describe that")
        return None, typed
    on, control = _control(param, moved)
    if param.kind == CATEGORICAL and not control.exact:
        say(f"  {control.address} doesn't have a value for each of the {param.levels} choices of {param.name}")
        return None, typed
    return (on, control), typed


def _moves(values: Sequence[int | Message]) -> bool:
    return len(set(values)) > 1


def _exclusive(received: list[Message]) -> Iterator[tuple[Address, list[int]]]:
    """What system exclusive messages of one length say that differ in a value alone: of one byte, or of two.

    Of two bytes the upper one changes less often.
    """
    for length in sorted({len(message) for message in received}):
        rows = np.array([list(message) for message in received if len(message) == length])
        changes = np.count_nonzero(np.diff(rows, axis=0), axis=0)
        varying = np.flatnonzero(changes)
        names = {1: ("vv",), 2: ("mm", "ll")}.get(len(varying))
        if names is None:
            continue
        places = dict(zip(sorted(varying.tolist(), key=lambda place: changes[place]), names, strict=True))
        address = Sysex(" ".join(places.get(place, f"{byte:02X}") for place, byte in enumerate(rows[0].tolist())))
        yield address, [value for row in rows.tolist() if (value := address.value_of(1, bytes(row))) is not None]


def _control(param: Param, moved: dict[tuple[int | None, Address], list[int]]) -> tuple[int | None, Control]:
    """The control that moved most; of a pair's readings, the whole one."""
    channel, address = max(moved, key=lambda key: (len(set(moved[key])), key[1].top))
    match address:
        case ControlChange(number):
            whole: tuple[Address, ...] = (ControlChange14(number), ControlChange14(number - LSB_OFFSET))
        case Nrpn(msb, lsb, _):
            whole = (Nrpn(msb, lsb),)
        case _:
            whole = ()
    address = next((each for each in whole if (channel, each) in moved), address)
    values = moved[channel, address]
    low, high = min(values), max(values)
    if high - low >= WHOLE * address.top:
        low, high = 0, address.top
    if values[-1] < values[0]:
        low, high = high, low
    return channel, Control.of(param, address).within(low, high)
