"""The three learning set-ups, named after what one has: pairs, operator, measurements."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, cast, get_args

import torch
from torch import Tensor

from recon.engine.buckets import buckets_of
from recon.engine.keys import Keys, Purpose
from recon.engine.plans import SamplingPlan
from recon.engine.sampling import to_float
from recon.errors import UsageError
from recon.interfaces import Dataset
from recon.operators.algebra import Identity
from recon.operators.base import LinearOperator, Operator
from recon.operators.composition import Composition

__all__ = ["REGIMES", "OperatorMaker", "Regime", "RegimeName", "Sample", "Simulated"]

RegimeName = Literal["pairs", "operator", "measurements"]
OperatorMaker = Callable[[tuple[int, ...]], Operator]
"""Makes the forward operator for images of a size (*space)."""

REGIMES: tuple[RegimeName, ...] = get_args(RegimeName)


@dataclass(frozen=True, slots=True)
class Sample:
    """What a training step works on: y, x where there is one, and the operator without its noise where there is one.

    `maximum` (batch,) is that of the volumes that the items belong to, where data tell.
    """

    measurement: Tensor
    target: Tensor | None
    operator: LinearOperator | None
    maximum: Tensor | None = None


class Regime:
    """Makes measurement, target and operator out of a batch of stored items.

    Items may also hold ``target``, what reconstructions are compared with where that is not the image itself, and
    tensors that the operator awaits, such as ``mask`` and ``maps`` (see `Operator.per_item`): then every item has an
    operator of its own.

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
        self._operator = operator
        self.to(torch.device("cpu"))

    def to(self, device: torch.device) -> None:
        """Have operators work on `device`; the caller's own stays where it is."""
        self._operators = None if self._operator is None else _Operators(self._operator, device)

    def keys_of(self, item: Mapping[str, Tensor]) -> tuple[str, ...]:
        """Return the names of what is needed of items like this one: `keys`, a target, what the operator awaits."""
        if not isinstance(item, Mapping):
            return self.keys  # whoever reads the items says what is wrong with them
        found = [*self.keys, *(name for name in ("target", "maximum") if self.has_target and name in item)]
        if self.has_operator and self.keys[-1] in item:
            awaited = self._forward(item[self.keys[-1]].shape[1:]).operator.awaited
            found += [name for name in awaited if name in item and name not in found]
        return tuple(found)

    def check_sampling(self, plan: SamplingPlan) -> None:
        """Refuse crops and mirrors of what an operator measured as a whole: they would no longer fit the operator."""
        if self.name == "operator" or (plan.crop is None and plan.augment == "none"):
            return
        if isinstance(self._operator, Operator) and not isinstance(self._operator.noiseless, Identity):
            raise UsageError(
                f"data.crop and data.augment do not fit regime {self.name!r}: the operator measured whole images; "
                "leave them out, take regime: operator to simulate the measurements, or leave out forward"
            )

    def __call__(self, batch: Mapping[str, Tensor], keys: Keys, purpose: Purpose, step: int, micro: int) -> Sample:
        """Make the sample of a micro-batch; masks and noise are keyed by (purpose, step, micro)."""
        target = batch.get("target", batch.get("image")) if self.has_target else None
        if self.name == "operator":
            return self._simulate(batch, target, keys, (purpose, step, micro))
        operator = None
        if self.has_operator:
            forward = self._forward(batch["measurement"].shape[2:])
            own = forward.operator.for_items(batch) if forward.per_item else forward.operator
            operator = forward.noiseless if own is forward.operator else cast("LinearOperator", own.noiseless)
        return Sample(batch["measurement"], target, operator, batch.get("maximum"))

    def _simulate(
        self, batch: Mapping[str, Tensor], target: Tensor | None, keys: Keys, place: tuple[Purpose, int, int]
    ) -> Sample:
        """Measure the images: y = A(x) + e."""
        image = batch["image"]
        forward = self._forward(image.shape[2:])
        operator = forward.operator
        if forward.per_item:
            operator = operator.for_items(batch)
        if forward.family:
            operator = operator.sample(keys.host_generator(*place))
        known = operator is forward.operator
        noiseless = forward.noiseless if known else cast("LinearOperator", operator.noiseless)
        measurement = operator(image, generator=keys.generator(*place)) if operator.stochastic else operator(image)
        return Sample(measurement, target, noiseless, batch.get("maximum"))

    def _forward(self, size: Sequence[int]) -> _Forward:
        if self._operators is None:
            raise UsageError("there is no forward operator to simulate measurements with; set forward")
        return self._operators(size)


@dataclass(frozen=True, slots=True)
class _Forward:
    """An operator on the device, without its noise, whether it is a random family, and whether items complete it."""

    operator: Operator
    noiseless: LinearOperator
    family: bool
    per_item: bool


class _Operators:
    """A forward model on a device: one operator for all images, or one for each size, made when it is first needed."""

    def __init__(self, given: Operator | OperatorMaker, device: torch.device) -> None:
        self._given = given
        self._device = device
        self._known: dict[tuple[int, ...] | None, _Forward] = {}

    def __call__(self, size: Sequence[int]) -> _Forward:
        given, on_cpu = self._given, self._device.type == "cpu"
        key = None if isinstance(given, Operator) else tuple(size)
        known = self._known.get(key)
        if known is None:
            if isinstance(given, Operator):
                operator = given if on_cpu else copy.deepcopy(given).to(self._device)
            else:
                operator = given(tuple(size)).to(self._device)
            noiseless = cast("LinearOperator", operator.noiseless)
            known = _Forward(operator, noiseless, _is_family(operator), bool(operator.awaited))
            self._known[key] = known
        return known


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
        self._operators = _Operators(operator, torch.device("cpu"))

    def __len__(self) -> int:
        """Return the number of items."""
        return len(self.dataset)

    def buckets(self) -> Sequence[int]:
        """Return the bucket of each item, where the data set tells: equal images have equal measurements."""
        return buckets_of(self.dataset)

    def __getitem__(self, index: int) -> Mapping[str, Tensor]:
        """Return item `index` with its measurement."""
        item = dict(self.dataset[index])
        image = to_float(item["image"])[None]
        operator = self._operators(image.shape[2:]).operator
        operator = operator.for_items({name: item[name][None] for name in operator.awaited if name in item})
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
