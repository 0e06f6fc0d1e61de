"""Metrics over a validation set, with measurements that are the same every time."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

import torch
from torch import Tensor, nn

from recon.engine.keys import Keys, Purpose
from recon.engine.losses import Losses
from recon.engine.network import fitted
from recon.engine.regimes import Regime, Sample
from recon.engine.sampling import ready
from recon.errors import UsageError
from recon.interfaces import Dataset, Metric

__all__ = ["Best", "Picture", "Scores", "Validator", "metric_names"]

PICTURES = 3
_CACHE_BYTES = 512 * 2**20

Reconstruct = Callable[[Tensor, Any], Tensor]
"""A network or a method: called with measurement and operator."""


@dataclass(frozen=True, slots=True)
class Picture:
    """Input, prediction and target of one item, on the CPU; what is missing is None."""

    source: Tensor | None
    prediction: Tensor
    target: Tensor | None


@dataclass(frozen=True, slots=True)
class Scores:
    """Result of a validation: per-item values (items, names), their means, and a few pictures."""

    names: tuple[str, ...]
    values: Tensor
    pictures: list[Picture] = field(default_factory=list)

    @property
    def means(self) -> dict[str, float]:
        """Mean of each metric over the items."""
        return dict(zip(self.names, self.values.double().mean(0).tolist(), strict=True))


@dataclass(frozen=True, slots=True)
class Best:
    """The best validation so far."""

    metric: str
    value: float
    step: int


class Validator:
    """Runs a reconstruction over a validation set, item by item at full size.

    Simulated measurements are keyed by the item, so every validation of a run sees the same masks and noise.

    Parameters
    ----------
    dataset
        Items with what the regime needs; ``image`` is compared with where it is there, also for measurements.
    regime
        How measurements come about.
    metrics
        Metrics by name.
    losses
        Losses to report beside the metrics; None for methods that are not trained.
    seed
        Seed of the run.
    """

    def __init__(
        self,
        dataset: Dataset,
        regime: Regime,
        metrics: Mapping[str, Metric],
        losses: Losses | None,
        *,
        seed: int,
        device: torch.device,
    ) -> None:
        self.dataset, self.regime, self.metrics, self.losses, self.device = dataset, regime, metrics, losses, device
        self.keys = Keys(seed, device)
        self._with_maximum = {
            name for name, metric in metrics.items() if "maximum" in inspect.signature(metric.forward).parameters
        }
        self._cache: dict[int, dict[str, Tensor]] = {}
        self._cached = 0
        if len(dataset) == 0:
            raise UsageError("the validation set is empty: check the path and the split of data.validation")

    @torch.no_grad()
    def run(
        self,
        reconstruct: Reconstruct,
        *,
        model: nn.Module | None = None,
        rank: int = 0,
        size: int = 1,
        total: Callable[[Tensor], Tensor] = lambda values: values,
        stopped: Callable[[], bool] = lambda: False,
    ) -> Scores | None:
        """Compute all scores; None if `stopped` says so on the way.

        Parameters
        ----------
        reconstruct
            Called with measurement and operator.
        model
            Network for losses that call it themselves.
        rank, size, total
            This process's share of the items, and how to add up over the processes.
        stopped
            Asked before every item.
        """
        count = len(self.dataset)
        names = self._names(model)
        rows: list[Tensor] = []
        pictures: list[Picture] = []
        for index in range(rank, count, size):
            if stopped():
                return None
            sample = self.sample(index)
            prediction = reconstruct(sample.measurement, sample.operator)
            if getattr(reconstruct, "crops_to_target", False):
                prediction = fitted(prediction, sample.target)
            row = self._row(index, sample, prediction, model)
            rows.append(torch.stack([row[name].reshape(()).float() for name in names]))
            if rank == 0 and len(pictures) < PICTURES:
                pictures.append(_picture(sample, prediction))
        values = torch.zeros(count, len(names), device=self.device)
        if rows:
            values[rank::size] = torch.stack(rows)
        return Scores(names, total(values).cpu(), pictures)

    def sample(self, index: int) -> Sample:
        """Return one validation item as a batch of one."""
        item = self._item(index)
        sample = self.regime(item, self.keys, Purpose.VALIDATE, index, 0)
        return replace(sample, target=item.get("target", item.get("image")), maximum=item.get("maximum"))

    def _names(self, model: nn.Module | None) -> tuple[str, ...]:
        """Return what is computed of every item: the first tells whether there is a ground truth."""
        names = list(self.metrics) if {"image", "target"} & self._item(0).keys() else []
        if self.losses is not None and model is not None:
            names.append("loss")
            names += [f"loss/{name}" for name in self.losses.names] if len(self.losses.names) > 1 else []
        if not names:
            raise UsageError("there is nothing to validate with: give metrics, and data with a ground truth (image)")
        return tuple(names)

    def _row(self, index: int, sample: Sample, prediction: Tensor, model: nn.Module | None) -> dict[str, Tensor]:
        row: dict[str, Tensor] = {}
        if sample.target is not None:
            for name, metric in self.metrics.items():
                extra = {"maximum": sample.maximum} if name in self._with_maximum else {}
                row[name] = metric(prediction, sample.target, **extra)
        if self.losses is not None and model is not None:
            generator = self.keys.generator(Purpose.LOSS, index) if self.losses.needs_generator else None
            row["loss"], terms = self.losses(prediction, sample, model, generator)
            if len(terms) > 1:
                row |= {f"loss/{name}": value for name, value in zip(self.losses.names, terms, strict=True)}
        return row

    def _item(self, index: int) -> dict[str, Tensor]:
        if index in self._cache:
            return self._cache[index]
        raw = self.dataset[index]
        missing = [name for name in self.regime.keys if name not in raw]
        if missing:
            raise UsageError(f"validation item {index} has no {missing[0]!r} (it has: {', '.join(raw)})")
        wanted = {"image", "measurement", "target", "maximum"} & set(raw) | set(self.regime.keys_of(raw))
        item = {name: ready(name, raw[name].to(self.device))[None] for name in sorted(wanted)}
        size = sum(value.nbytes for value in item.values())
        if self._cached + size <= _CACHE_BYTES:
            self._cache[index] = item
            self._cached += size
        return item


def metric_names(metrics: Mapping[str, Metric] | Sequence[Metric]) -> dict[str, Metric]:
    """Give each metric a name of its own; by default that of its class."""
    if isinstance(metrics, Mapping):
        return dict(metrics)
    named: dict[str, Metric] = {}
    for metric in metrics:
        name = base = type(metric).__name__.lower()
        count = 1
        while name in named:
            count += 1
            name = f"{base}_{count}"
        named[name] = metric
    return named


def _picture(sample: Sample, prediction: Tensor) -> Picture:
    source: Tensor | None = sample.measurement
    if sample.measurement.shape[1:] != prediction.shape[1:] or sample.measurement.is_complex():
        # A measurement that is not a picture itself is shown by its adjoint.
        source = None if sample.operator is None else sample.operator.adjoint(sample.measurement).abs()
        if source is not None and source.shape == prediction.shape:  # a back-projection has a scale of its own
            source = source * (source * prediction.abs()).sum() / source.square().sum().clamp(min=1e-30)
    shown = [None if x is None else x[0].detach().cpu() for x in (source, prediction, sample.target)]
    return Picture(shown[0], cast("Tensor", shown[1]), shown[2])
