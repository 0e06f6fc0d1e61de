"""The three learning set-ups, named after what one has: pairs, operator, measurements."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, cast, get_args

import torch
from torch import Tensor

from recon.engine.keys import Keys, Purpose
from recon.engine.sampling import to_float
from recon.errors import UsageError
from recon.interfaces import Dataset
from recon.operators.base import LinearOperator, Operator
from recon.operators.composition import Composition

__all__ = ["REGIMES", "OperatorMaker", "Regime", "RegimeName", "Sample", "Simulated"]

RegimeName = Literal["pairs", "operator", "measurements"]
OperatorMaker = Callable[[tuple[int, ...]], Operator]
"""Makes the forward operator for images of a size (*space)."""

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
        The forward operator with its noise, or a function that makes it for images of a given size, so that crops
        and whole images can each have theirs. Optional for pairs.
    """

    def __init__(self, name: RegimeName, operator: Operator | OperatorMaker | None) -> None:
        if name not in REGIMES:
            raise UsageError(f"unknown regime {name!r}; one of {', '.join(REGIMES)}")
        if operator is None and name != "pairs":
            raise UsageError(f"regime {name!r} needs a forward operator; set forward, or use regime: pairs")
        if operator is not None and not isinstance(operator, Operator) and name != "operator":
            raise UsageError(f"regime {name!r} needs one operator for all measurements, not one for each image size")
        self.name = name
        self.keys = {"pairs": ("image", "measurement"), "operator": ("image",), "measurements": ("measurement",)}[name]
        self.has_target = name != "measurements"
        self.has_operator = operator is not None
        self.device = torch.device("cpu")
        self._operator = operator
        self._known: dict[torch.Size, _Forward] = {}

    def to(self, device: torch.device) -> None:
        """Have operators work on `device`; the caller's own stays where it is."""
        self.device = device
        self._known.clear()

    def __call__(self, batch: Mapping[str, Tensor], keys: Keys, purpose: Purpose, step: int, micro: int) -> Sample:
        """Make the sample of a micro-batch; masks and noise are keyed by (purpose, step, micro)."""
        if self.name == "operator":
            return self.simulate(batch["image"], keys, purpose, step, micro)
        target = batch["image"] if self.has_target else None
        operator = self._forward(batch["measurement"].shape[2:]).noiseless if self.has_operator else None
        return Sample(batch["measurement"], target, operator)

    def simulate(self, image: Tensor, keys: Keys, purpose: Purpose, step: int, micro: int) -> Sample:
        """Measure an image: y = A(x) + e."""
        forward = self._forward(image.shape[2:])
        operator, noiseless = forward.operator, forward.noiseless
        if forward.family or operator.stochastic:
            generator = keys.generator(purpose, step, micro)
            if forward.family:
                operator = operator.sample(generator)
                noiseless = cast("LinearOperator", operator.noiseless)
            if operator.stochastic:
                return Sample(operator(image, generator=generator), image, noiseless)
        return Sample(operator(image), image, noiseless)

    def _forward(self, size: torch.Size) -> _Forward:
        known = self._known.get(size)
        if known is None:
            if self._operator is None:
                raise UsageError("there is no forward operator to simulate measurements with; set forward")
            operator = self._operator
            if isinstance(operator, Operator):
                operator = copy.deepcopy(operator).to(self.device) if self.device.type != "cpu" else operator
            else:
                operator = operator(tuple(size)).to(self.device)
            noiseless = cast("LinearOperator", operator.noiseless)
            known = self._known[size] = _Forward(operator, noiseless, _is_family(operator))
        return known


@dataclass(frozen=True, slots=True)
class _Forward:
    """An operator on the device, without its noise, and whether it is a random family."""

    operator: Operator
    noiseless: LinearOperator
    family: bool


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

    def __init__(self, dataset: Dataset, operator: Operator | OperatorMaker, seed: int) -> None:
        self.dataset = dataset
        self.operator = operator
        self.seed = seed

    def __len__(self) -> int:
        """Return the number of items."""
        return len(self.dataset)

    def __getitem__(self, index: int) -> Mapping[str, Tensor]:
        """Return item `index` with its measurement."""
        item = dict(self.dataset[index])
        image = to_float(item["image"])[None]
        operator = self.operator if isinstance(self.operator, Operator) else self.operator(tuple(image.shape[2:]))
        with torch.no_grad():
            if operator.stochastic:
                generator = Keys(self.seed, torch.device("cpu")).generator(Purpose.ITEM, index)
                measurement = operator(image, generator=generator)
            else:
                measurement = operator(image)
        return item | {"measurement": measurement[0]}


def _is_family(operator: Operator) -> bool:
    if isinstance(operator, Composition):
        return any(_is_family(part) for part in operator.operators)
    return type(operator).sample is not Operator.sample
