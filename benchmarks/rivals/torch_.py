"""PyTorch on the CPU, torch.compile (inductor)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import BLOCK, SINE, Render, Task

ABOUT = "torch.compile, float32; the filter as matrices over blocks of 32 and a scan over blocks by doubling"
BATCHES = (8, 32, 128)

L = 32
"""Samples of a block of the filter."""


def make(task: Task) -> Render:
    """Compiled when it is first called with a batch of some size."""
    import torch

    torch.set_num_threads(task.threads)
    tau, rate = 2 * np.pi, task.sample_rate
    length = -(-task.samples // BLOCK) * BLOCK
    blocks = length // BLOCK

    def tables(values: Any) -> tuple[Any, ...]:
        """What a block and a sample within it add to the phases; the filter's matrices. In float64, out float32."""
        n = len(values)
        coarse = torch.arange(blocks, dtype=torch.float64) * (BLOCK / rate)
        fine = torch.arange(BLOCK, dtype=torch.float64) / rate
        f, v, _, b = (values[:, :16].reshape(n, 4, 4)[:, :, k : k + 1] for k in range(4))
        swing = b / (tau * v)
        turns = f * coarse - torch.tensor([0.25, 0, 0.25, 0], dtype=torch.float64)[:, None]
        turns = turns - turns.round() + swing
        left = torch.stack([turns, -swing * torch.cos(tau * v * coarse), swing * torch.sin(tau * v * coarse)], -1)
        right = torch.stack([f * fine, torch.cos(tau * v * fine), torch.sin(tau * v * fine)], -2)
        g = values[:, 22:23] * tau
        gate_left = torch.stack([torch.sin(g * coarse), torch.cos(g * coarse)], -1) * 0.5
        gate_right = torch.stack([torch.cos(g * fine), torch.sin(g * fine)], -2)
        w = tau * values[:, 20] / rate
        alpha, c = torch.sin(w) / (2 * values[:, 21]), torch.cos(w)
        b1, a1, a2 = (1 - c) / (1 + alpha), -2 * c / (1 + alpha), (1 - alpha) / (1 + alpha)
        a = torch.stack([torch.stack([-a1, torch.ones_like(a1)], -1), torch.stack([-a2, torch.zeros_like(a1)], -1)], -2)
        powers = torch.eye(2, dtype=torch.float64).expand(n, 1, 2, 2)
        while powers.shape[1] < L + 1:
            powers = torch.cat([powers, (a @ powers[:, -1])[:, None] @ powers], 1)
        step = torch.stack([b1 - a1 * b1 / 2, b1 / 2 - a2 * b1 / 2], -1)
        into = (powers[:, :L] @ step[:, None, :, None])[..., 0]
        impulse = torch.cat([b1[:, None] / 2, into[:, : L - 1, 0]], 1)
        index = torch.arange(L)[:, None] - torch.arange(L)[None]
        toeplitz = torch.where(index >= 0, impulse[:, index.clamp(min=0)], 0.0)
        forward = torch.cat([toeplitz, into.flip(1).transpose(1, 2)], 1).transpose(1, 2).contiguous()
        out_of = powers[:, :L, 0].transpose(1, 2).contiguous()
        jumps, jump, distance = [], powers[:, L], 1
        while distance < length // L:
            jumps.append(jump)
            jump, distance = jump @ jump, 2 * distance
        made = left, right, gate_left, gate_right, forward, out_of, torch.stack(jumps, 1)
        return tuple(table.float() for table in made)

    def sound(v: Any, left: Any, right: Any, gl: Any, gr: Any, forward: Any, out_of: Any, jumps: Any) -> Any:
        n = v.shape[0]
        pad = torch.nn.functional.pad
        t = torch.arange(length, dtype=torch.float32).reshape(blocks, BLOCK) / rate

        def value(k: int) -> Any:
            return v[:, k, None, None]

        def phase(i: int) -> Any:
            p = left[:, i, :, 0:1] + right[:, i, 0:1]
            p = p + left[:, i, :, 1:2] * right[:, i, 1:2] + left[:, i, :, 2:3] * right[:, i, 2:3]
            return p - p.round()

        y = 0.25 - phase(0).abs()
        z = y * y
        mix = y * (SINE[0] + z * (SINE[1] + z * (SINE[2] + z * (SINE[3] + z * SINE[4])))) * value(2)
        mix = mix + 2 * value(6) * phase(1) + value(10) * (1 - 4 * phase(2).abs())
        mix = mix + torch.where(phase(3) < 0, -value(14), value(14))
        attack, decay, sustain, release = (value(k) for k in range(16, 20))

        def held(t: Any) -> Any:
            return torch.minimum(t / attack, torch.maximum(1 - (1 - sustain) / decay * (t - attack), sustain))

        last = held(torch.full((1,), task.note_off_s))
        left_over = last * (1 - (t - task.note_off_s) / release).clamp(min=0)
        mix = mix * torch.where(t < task.note_off_s, held(t), left_over)
        z = mix.reshape(n, -1, L) @ forward
        y, s0, s1 = z[..., :L], z[..., L], z[..., L + 1]
        for j in range(jumps.shape[1]):
            m, d = jumps[:, j], 2**j
            p0, p1 = pad(s0[:, :-d], (d, 0)), pad(s1[:, :-d], (d, 0))
            s0, s1 = (
                s0 + m[:, 0, 0, None] * p0 + m[:, 0, 1, None] * p1,
                s1 + m[:, 1, 0, None] * p0 + m[:, 1, 1, None] * p1,
            )
        s0, s1 = pad(s0[:, :-1], (1, 0)), pad(s1[:, :-1], (1, 0))
        y = y + s0[..., None] * out_of[:, None, 0] + s1[..., None] * out_of[:, None, 1]
        gate = 0.5 + gl[..., 0:1] * gr[:, 0:1] + gl[..., 1:2] * gr[:, 1:2]
        return y.reshape(n, -1) * gate.reshape(n, -1)

    fast_tables, fast_sound = torch.compile(tables, dynamic=False), torch.compile(sound, dynamic=False)

    def render(values: NDArray[np.float64], out: NDArray[np.float32]) -> None:
        with torch.inference_mode():
            v = torch.from_numpy(values)
            torch.from_numpy(out).copy_(fast_sound(v.float(), *fast_tables(v))[:, : task.samples])

    return render
