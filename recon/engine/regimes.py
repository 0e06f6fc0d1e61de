"""The three learning set-ups, named after what one has: pairs, operator, measurements."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, cast, get_args

import torch
from torch import Tensor

from recon.engine.keys import Keys, Purpose
from recon.errors import UsageError
from recon.interfaces import Dataset
from recon.operators.base import LinearOperator, Operator
from recon.operators.composition import Composition

__all__ = ["REGIMES", "Regime", "RegimeName", "Sample", "Simulated"]

RegimeName = Literal["pairs", "operator", "measurements"]
REGIMES: tuple[RegimeName, ...] = get_args(RegimeName)


@dataclass(frozen=True, slots=True)
class Sample:
    """What a training step works on: y, x where there is one, and the operator without its noise where there is one."""

    measurement: Tensor
    target: Tensor | None
    operator: LinearOperator | None


class Regime:
    """Makes measurement, target and operator out of a batch of stored items.

    Parameters
    ----------
    name
        pairs: items hold X and Y; operator: items hold X, and Y = A(X) + e is simulated anew at every step;
        measurements: items hold Y, and no ground truth is used.
    operator
        The forward operator with its noise; optional for pairs.
    """

    def __init__(self, name: RegimeName, operator: Operator | None) -> None:
        if name not in REGIMES:
            raise UsageError(f"unknown regime {name!r}; one of {', '.join(REGIMES)}")
        if operator is None and name != "pairs":
            raise UsageError(f"regime {name!r} needs a forward operator; set forward, or use regime: pairs")
        self.name = name
        self.operator = operator
        self.keys = {"pairs": ("image", "measurement"), "operator": ("image",), "measurements": ("measurement",)}[name]
        self.has_target = name != "measurements"
        self._noiseless = cast("LinearOperator", operator.noiseless) if operator is not None else None
        self._family = operator is not None and _is_family(operator)

    def __call__(self, batch: Mapping[str, Tensor], keys: Keys, purpose: Purpose, step: int, micro: int) -> Sample:
        """Make the sample of a micro-batch; masks and noise are keyed by (purpose, step, micro)."""
        if self.name != "operator":
            target = batch["image"] if self.has_target else None
            return Sample(batch["measurement"], target, self._noiseless)
        return self.simulate(batch["image"], keys, purpose, step, micro)

    def simulate(self, image: Tensor, keys: Keys, purpose: Purpose, step: int, micro: int) -> Sample:
        """Measure an image: y = A(x) + e."""
        operator, noiseless = self.operator, self._noiseless
        if operator is None:
            raise UsageError("there is no forward operator to simulate measurements with; set forward")
        if self._family or operator.stochastic:
            generator = keys.generator(purpose, step, micro)
            if self._family:
                operator = operator.sample(generator)
                noiseless = cast("LinearOperator", operator.noiseless)
            if operator.stochastic:
                return Sample(operator(image, generator=generator), image, noiseless)
        return Sample(operator(image), image, noiseless)


class Simulated:
    """A data set of images with a measurement of each, simulated once: the same item always has the same noise.

    Parameters
    ----------
    dataset
        Data set whose items hold ``image``.
    operator
        Forward operator with its noise; a random family is used as it stands, with one mask for all items.
    seed
        Seed of the noise.
    """

    def __init__(self, dataset: Dataset, operator: Operator, seed: int) -> None:
        self.dataset = dataset
        self.operator = operator
        self.seed = seed

    def __len__(self) -> int:
        """Return the number of items."""
        return len(self.dataset)

    def __getitem__(self, index: int) -> Mapping[str, Tensor]:
        """Return item `index` with its measurement."""
        from recon.engine.sampling import to_float

        item = dict(self.dataset[index])
        image = to_float(item["image"])[None]
        with torch.no_grad():
            if self.operator.stochastic:
                generator = Keys(self.seed, torch.device("cpu")).generator(Purpose.ITEM, index)
                measurement = self.operator(image, generator=generator)
            else:
                measurement = self.operator(image)
        return item | {"measurement": measurement[0]}


def _is_family(operator: Operator) -> bool:
    if isinstance(operator, Composition):
        return any(_is_family(part) for part in operator.operators)
    return type(operator).sample is not Operator.sample
