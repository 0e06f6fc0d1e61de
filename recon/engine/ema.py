"""A running average of the weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

__all__ = ["Ema"]


class Ema:
    """Exponential moving average of a model's weights: average += (1 - decay) * (weights - average).

    Early on the decay is (1 + n) / (10 + n) after n updates, so that the average does not remember the
    initialisation. Buffers such as running statistics are taken as they are.

    Parameters
    ----------
    model
        The model to follow.
    decay
        Largest decay.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.model = model
        self.decay = decay
        self.updates = 0
        self._live: list[Tensor] = [p for p in model.parameters() if p.requires_grad]
        self.average = [p.detach().clone() for p in self._live]

    @torch.no_grad()
    def update(self) -> None:
        """Follow the weights by one step."""
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        torch._foreach_lerp_(self.average, self._live, 1.0 - decay)
        self.updates += 1

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Put the averaged weights into the model for the time of a ``with`` block."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    def state_dict(self) -> dict[str, Tensor]:
        """Return the model's state with averaged weights."""
        with self.applied():
            return {name: value.detach().clone() for name, value in self.model.state_dict().items()}

    @torch.no_grad()
    def load_state_dict(self, state: Mapping[str, Tensor], updates: int) -> None:
        """Take up an average that was saved after `updates` updates."""
        names = {id(parameter): name for name, parameter in self.model.named_parameters()}
        for average, parameter in zip(self.average, self._live, strict=True):
            average.copy_(state[names[id(parameter)]])
        self.updates = updates

    @torch.no_grad()
    def _swap(self) -> None:
        for average, parameter in zip(self.average, self._live, strict=True):
            parameter.data, average.data = average.data, parameter.data
