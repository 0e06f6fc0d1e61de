"""How to train, as values: what the `training` and `data` sections of an experiment file hold."""

from __future__ import annotations

from typing import Annotated, Literal

import pydantic
from annotated_types import Ge, Gt, Lt

__all__ = ["OptimizerPlan", "Plan", "SamplingPlan", "SchedulePlan", "TrainingPlan"]


class Plan(pydantic.BaseModel):
    """A frozen group of settings; unknown names are refused."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class OptimizerPlan(Plan):
    """Optimiser and its settings; those that an optimiser does not have are refused when it is built."""

    name: Literal["adamw", "adam", "sgd", "rmsprop"] = "adamw"
    lr: Annotated[float, Gt(0)] = 1e-3
    """Learning rate after the warm-up."""
    weight_decay: Annotated[float, Ge(0)] = 0.0
    betas: tuple[Annotated[float, Ge(0), Lt(1)], Annotated[float, Ge(0), Lt(1)]] | None = None
    """Moments of adam and adamw; (0.9, 0.999) by default."""
    momentum: Annotated[float, Ge(0), Lt(1)] | None = None
    """Momentum of sgd and rmsprop; 0 by default."""
    nesterov: bool | None = None
    """Nesterov's form of the momentum of sgd."""
    eps: Annotated[float, Gt(0)] | None = None
    """Added to the root of the second moment; 1e-8 by default."""


class SchedulePlan(Plan):
    """Learning rate as a function of the step: a linear warm-up, then constant, stairs, half a cosine or a line.

    step: lr * gamma^(number of milestones passed), or gamma^(t // every) with `every`.
    cosine, linear: from lr to lr * floor at the last step.
    """

    name: Literal["constant", "cosine", "linear", "step"] = "constant"
    warmup: Annotated[int, Ge(0)] = 0
    """Steps over which the rate grows linearly."""
    floor: Annotated[float, Ge(0), Lt(1)] = 0.0
    """Final rate of cosine and line, as a fraction of lr."""
    gamma: Annotated[float, Gt(0), Lt(1)] = 0.1
    milestones: tuple[Annotated[int, Gt(0)], ...] = ()
    """Steps at which the rate is multiplied by gamma."""
    every: Annotated[int, Gt(0)] | None = None
    """Multiply by gamma each so many steps, instead of at milestones."""

    @pydantic.model_validator(mode="after")
    def _check(self) -> SchedulePlan:
        if self.name == "step" and bool(self.milestones) == bool(self.every):
            raise ValueError("schedule 'step' needs either milestones or every")
        if list(self.milestones) != sorted(set(self.milestones)):
            raise ValueError("milestones must increase")
        return self


class TrainingPlan(Plan):
    """How to train: length, batch, optimiser, precision, and how often to look."""

    steps: Annotated[int, Gt(0)]
    """Optimiser steps in all."""
    batch_size: Annotated[int, Gt(0)]
    """Items of one optimiser step, over all processes and micro-batches."""
    accumulate: Annotated[int, Gt(0)] = 1
    """Micro-batches that a batch is cut into; with several processes a multiple of their number."""
    optimizer: OptimizerPlan = OptimizerPlan()
    schedule: SchedulePlan = SchedulePlan()
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    """Precision of the network; operators and losses always run in float32."""
    clip: Annotated[float, Gt(0)] | None = None
    """Largest norm of the gradient."""
    ema: Annotated[float, Gt(0), Lt(1)] | None = None
    """Decay of the running average of the weights, which is then validated and kept as the result."""
    log_every: Annotated[int, Gt(0)] = 50
    validate_every: Annotated[int, Gt(0)] = 1000
    checkpoint_every: Annotated[int, Gt(0)] = 1000
    compile: bool = False
    """Use torch.compile; ignored on the CPU, where it does not pay."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:1, mps."""

    @pydantic.field_validator("optimizer", "schedule", mode="before")
    @classmethod
    def _named(cls, value: object) -> object:
        return {"name": value} if isinstance(value, str) else value

    @pydantic.model_validator(mode="after")
    def _check(self) -> TrainingPlan:
        if self.batch_size % self.accumulate:
            raise ValueError(f"batch_size {self.batch_size} is not a multiple of accumulate {self.accumulate}")
        if self.schedule.warmup >= self.steps:
            raise ValueError(f"schedule.warmup {self.schedule.warmup} leaves no steps to train out of {self.steps}")
        return self


class SamplingPlan(Plan):
    """How training batches are drawn from a data set."""

    crop: tuple[Annotated[int, Gt(0)], ...] | None = None
    """Size of random crops, one number an axis; whole images by default."""
    augment: Literal["none", "flip", "dihedral"] = "none"
    """flip: mirror each axis at random; dihedral: also turn by 90 degrees (the last two axes)."""
    source: Literal["auto", "resident", "streamed"] = "auto"
    """resident: the set stays on the device; streamed: workers read it; auto: resident if it fits comfortably."""
    workers: Annotated[int, Ge(0)] = 2
    """Worker processes of a streamed source."""
    drop_last: bool = False
    """Leave out the items that do not fill an epoch's last batch, instead of running on into the next epoch."""
    bucket: bool = False
    """Make every batch of items of one shape, for data sets whose shapes differ and that tell which items are alike."""

    @pydantic.model_validator(mode="after")
    def _check(self) -> SamplingPlan:
        if self.bucket and self.crop is not None:
            raise ValueError("crop makes all items of one shape: leave bucket out")
        if self.bucket and self.source == "resident":
            raise ValueError("bucket reads batch by batch: leave source out, or set it to streamed")
        return self

    @pydantic.field_validator("crop", mode="before")
    @classmethod
    def _sizes(cls, value: object) -> object:
        return (value, value) if isinstance(value, int) else value
