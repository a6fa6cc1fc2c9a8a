"""Steps of the optimiser on JAX."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .sources import Inputs


class JaxSteps:
    """Steps of the optimiser on JAX, one begun while the last is computed; Keras' own would wait for each loss.

    What is learnt stays on the device until `settle` brings it back to the variables of the network and the optimiser.
    """

    def __init__(self, network: Any, optimizer: Any, loss: Callable[[Any, Any], Any]) -> None:
        import jax

        self._trained, self._others, self._optimizer = (
            network.trainable_variables,
            network.non_trainable_variables,
            optimizer.variables,
        )
        self._state: list[Any] | None = None
        rate_at = next(i for i, v in enumerate(self._optimizer) if v.name == "learning_rate")

        def loss_of(trained: Any, others: Any, inputs: Any, labels: Any) -> tuple[Any, Any]:
            logits, others = network.stateless_call(trained, others, inputs, training=True)
            return loss(labels, logits), others

        def step(state: Any, rate: Any, inputs: Any, labels: Any) -> tuple[Any, Any]:
            trained, others, optimised = state
            (value, others), gradients = jax.value_and_grad(loss_of, has_aux=True)(trained, others, inputs, labels)
            optimised = [*optimised[:rate_at], rate, *optimised[rate_at + 1 :]]
            trained, optimised = optimizer.stateless_apply(optimised, gradients, trained)
            return value, [trained, others, optimised]

        self._step = jax.jit(step)

    @property
    def _variables(self) -> list[list[Any]]:
        return [self._trained, self._others, self._optimizer]

    def __call__(self, rate: float, inputs: Inputs, labels: NDArray[np.int32]) -> Any:
        """Begins a step; returns its loss, for which `float` waits."""
        state = self._state or [[v.value for v in part] for part in self._variables]
        loss, self._state = self._step(state, np.float32(rate), inputs, labels)
        return loss

    def settle(self) -> None:
        """Brings the variables up to date; the next step starts from their values at that time."""
        for part, arrays in zip(self._variables, self._state or [[]] * 3, strict=True):
            for variable, array in zip(part, arrays, strict=False):
                variable.assign(array)
        self._state = None
