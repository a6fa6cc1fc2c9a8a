"""JAX on the CPU, jit."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import BLOCK, SINE, Render, Task

ABOUT = "jit, float32; the filter as matrices over blocks of 32 and lax.scan over blocks"
BATCHES = (8, 32, 128)

L = 32
"""Samples of a block of the filter."""


def make(task: Task) -> Render:
    """Compiled when it is first called with a batch of some size."""
    import jax
    import jax.numpy as jnp
    from jax import lax

    jax.config.update("jax_enable_x64", True)
    tau, rate = 2 * np.pi, task.sample_rate
    length = -(-task.samples // BLOCK) * BLOCK
    blocks = length // BLOCK
    coarse, fine = np.arange(blocks) * (BLOCK / rate), np.arange(BLOCK) / rate
    index = np.subtract.outer(np.arange(L), np.arange(L))

    @jax.jit
    def tables(values: Any) -> Any:
        """What a block and a sample within it add to the phases; the filter's matrices. In float64, out float32."""
        n = len(values)
        f, v, _, b = (values[:, :16].reshape(n, 4, 4)[:, :, k : k + 1] for k in range(4))
        swing = b / (tau * v)
        turns = f * coarse - np.array([0.25, 0, 0.25, 0])[:, None]
        turns = turns - jnp.round(turns) + swing
        left = jnp.stack([turns, -swing * jnp.cos(tau * v * coarse), swing * jnp.sin(tau * v * coarse)], -1)
        right = jnp.stack([f * fine, jnp.cos(tau * v * fine), jnp.sin(tau * v * fine)], -2)
        g = values[:, 22:23] * tau
        gate_left = jnp.stack([jnp.sin(g * coarse), jnp.cos(g * coarse)], -1) * 0.5
        gate_right = jnp.stack([jnp.cos(g * fine), jnp.sin(g * fine)], -2)
        w = tau * values[:, 20] / rate
        alpha, c = jnp.sin(w) / (2 * values[:, 21]), jnp.cos(w)
        b1, a1, a2 = (1 - c) / (1 + alpha), -2 * c / (1 + alpha), (1 - alpha) / (1 + alpha)
        a = jnp.stack([jnp.stack([-a1, jnp.ones_like(a1)], -1), jnp.stack([-a2, jnp.zeros_like(a1)], -1)], -2)
        powers = [jnp.broadcast_to(jnp.eye(2), (n, 2, 2))]
        for _ in range(L):
            powers.append(powers[-1] @ a)
        p = jnp.stack(powers, 1)
        step = jnp.stack([b1 - a1 * b1 / 2, b1 / 2 - a2 * b1 / 2], -1)
        into = (p[:, :L] @ step[:, None, :, None])[..., 0]
        impulse = jnp.concatenate([b1[:, None] / 2, into[:, : L - 1, 0]], 1)
        toeplitz = jnp.where(index >= 0, impulse[:, np.maximum(index, 0)], 0.0)
        forward = jnp.concatenate([toeplitz, into[:, ::-1].transpose(0, 2, 1)], 1).transpose(0, 2, 1)
        made = left, right, gate_left, gate_right, forward, p[:, L], p[:, :L, 0].transpose(0, 2, 1)
        return [table.astype(jnp.float32) for table in made]

    @jax.jit
    def sound(v: Any, left: Any, right: Any, gl: Any, gr: Any, forward: Any, jump: Any, out_of: Any) -> Any:
        n = len(v)
        t = (np.arange(length, dtype=np.float32) / np.float32(rate)).reshape(blocks, BLOCK)

        def value(k: int) -> Any:
            return v[:, k, None, None]

        def phase(i: int) -> Any:
            p = left[:, i, :, 0:1] + right[:, i, 0:1]
            p = p + left[:, i, :, 1:2] * right[:, i, 1:2] + left[:, i, :, 2:3] * right[:, i, 2:3]
            return p - jnp.round(p)

        y = 0.25 - jnp.abs(phase(0))
        z = y * y
        mix = y * (SINE[0] + z * (SINE[1] + z * (SINE[2] + z * (SINE[3] + z * SINE[4])))) * value(2)
        mix = mix + 2 * value(6) * phase(1) + value(10) * (1 - 4 * jnp.abs(phase(2)))
        mix = mix + jnp.where(phase(3) < 0, -value(14), value(14))
        attack, decay, sustain, release = (value(k) for k in range(16, 20))

        def held(t: Any) -> Any:
            return jnp.minimum(t / attack, jnp.maximum(1 - (1 - sustain) / decay * (t - attack), sustain))

        last = held(jnp.float32(task.note_off_s))
        left_over = last * jnp.maximum(1 - (t - task.note_off_s) / release, 0)
        mix = mix * jnp.where(t < task.note_off_s, held(t), left_over)
        z = jnp.matmul(mix.reshape(n, -1, L), forward)

        def step(s: Any, c: Any) -> Any:
            return jnp.stack(
                [jump[:, 0, 0] * s[0] + jump[:, 0, 1] * s[1], jump[:, 1, 0] * s[0] + jump[:, 1, 1] * s[1]]
            ) + c, s

        _, states = lax.scan(step, jnp.zeros((2, n), jnp.float32), z[..., L:].transpose(1, 2, 0), unroll=8)
        y = z[..., :L] + jnp.matmul(states.transpose(2, 0, 1), out_of)
        gate = 0.5 + gl[..., 0:1] * gr[:, 0:1] + gl[..., 1:2] * gr[:, 1:2]
        return (y.reshape(n, -1) * gate.reshape(n, -1)).astype(jnp.float32)

    def render(values: NDArray[np.float64], out: NDArray[np.float32]) -> None:
        out[:] = np.asarray(sound(values.astype(np.float32), *tables(values)))[:, : task.samples]

    return render
