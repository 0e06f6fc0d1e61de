"""Training a study's network and reconstructing the images held out with every method."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recon.building import build
from recon.demo.study import Study
from recon.engine.method import TrainedMethod
from recon.engine.regimes import Regime
from recon.engine.validation import Validator
from recon.experiment import Experiment

__all__ = ["Column", "Comparison", "compare", "train"]


@dataclass(frozen=True, slots=True, eq=False)
class Column:
    """One method's images of the held-out items (item, H, W), in the unit of the data, and how good they are."""

    label: str
    images: Tensor
    scores: dict[str, list[float]]
    seconds: float

    def mean(self, metric: str) -> float:
        """Return the mean of a metric over the items."""
        return float(np.mean(self.scores[metric]))


@dataclass(frozen=True, slots=True, eq=False)
class Comparison:
    """Everything that a study found out."""

    study: Study
    reference: Tensor
    columns: list[Column]
    conventions: dict[str, str]
    people: int
    affine: NDArray[np.float64]
    steps: int
    parameters: int
    trained_on: int
    training_seconds: float
    seed: int

    @property
    def learned(self) -> Column:
        """The network's column, the last one."""
        return self.columns[-1]


def train(study: Study, run: Path, overrides: Sequence[str]) -> tuple[Experiment, float]:
    """Train the study's network in the run folder `run`; return the experiment and the seconds that it took."""
    experiment = Experiment.load(study.experiment, overrides=overrides)
    began = time.perf_counter()
    experiment.trainer(run).fit()
    return experiment, time.perf_counter() - began


def compare(
    study: Study, experiment: Experiment, run: Path, training_seconds: float, *, dataset: Any = None
) -> Comparison:
    """Reconstruct every held-out image (or those of `dataset`) with every method, from the same measurements."""
    dataset = build("dataset", study.data) if dataset is None else dataset
    metrics = experiment.build_metrics()
    device = torch.device("cpu")
    regime = Regime(experiment.spec.regime, experiment.operator_for(dataset))
    samples = Validator(dataset, regime, {}, None, seed=experiment.spec.seed, device=device)
    network = TrainedMethod(run=run, which="last")
    methods: dict[str, Any] = {label: build("method", config) for label, config in study.methods.items()}
    methods[study.network] = network
    items = [samples.sample(index) for index in range(len(dataset))]
    targets = torch.cat([dataset[index]["image"][None] for index in range(len(dataset))])
    columns = []
    with torch.no_grad():
        for label, method in methods.items():
            method(items[0].measurement, items[0].operator)  # tables and kernels are made at the first use
            began = time.perf_counter()
            images = torch.cat([method(item.measurement, item.operator) for item in items])
            seconds = (time.perf_counter() - began) / len(items)
            scores = {name: metric(images, targets).tolist() for name, metric in metrics.items()}
            columns.append(Column(label, images[:, 0], scores, seconds))
    return Comparison(
        study=study,
        reference=targets[:, 0],
        columns=columns,
        conventions={name: metric.convention for name, metric in metrics.items()},
        people=len(set(dataset.subjects)),
        affine=dataset.affine,
        steps=experiment.spec.training.steps,
        parameters=sum(p.numel() for p in network.network.parameters()),
        trained_on=len(build("dataset", experiment.resolved["data"]["train"])),
        training_seconds=training_seconds,
        seed=experiment.spec.seed,
    )
