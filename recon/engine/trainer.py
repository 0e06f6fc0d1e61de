"""The trainer: one loop for all models and the three regimes."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from recon.engine import faults, looks
from recon.engine.batches import Batch, make_source
from recon.engine.callbacks import Callback, Hooks
from recon.engine.distributed import choose_device, data_parallel, joined
from recon.engine.ema import Ema
from recon.engine.keys import Keys, Purpose
from recon.engine.log import MetricsLog
from recon.engine.losses import Losses, LossTerm, loss_terms
from recon.engine.network import AUTOCAST, Network
from recon.engine.optim import learning_rate, make_optimizer
from recon.engine.plans import SamplingPlan, TrainingPlan
from recon.engine.progress import Progress
from recon.engine.regimes import OperatorMaker, Regime, RegimeName
from recon.engine.run_folder import RunFolder
from recon.engine.signals import StopSignals
from recon.engine.state import restore, save_checkpoint
from recon.engine.validation import Best, Scores, Validator, metric_names
from recon.engine.window import LossWindow
from recon.interfaces import Dataset, Metric, OperatorModel
from recon.operators.base import Operator

__all__ = ["Best", "Result", "Trainer"]


@dataclass(frozen=True, slots=True)
class Result:
    """What a finished training leaves: its last step, its best validation, all its records."""

    step: int
    best: Best | None
    records: list[dict[str, Any]]


class Trainer:
    """Trains a model.

    All randomness and the order of the data are functions of (seed, step): a resumed run is bit-equal to an
    uninterrupted one, whatever the number of workers. Under torchrun, N processes do what one process does with
    ``accumulate`` N. Between two log points the host never waits for the device.

    Parameters
    ----------
    model
        Network; trained in place.
    train_data
        Data set whose items hold what the regime needs: ``image``, ``measurement``.
    loss
        A loss, or several with weights as `LossTerm`.
    plan
        Length, batch, optimiser, precision and so on; a mapping will do.
    regime
        pairs (X and Y), operator (X and A), measurements (Y and A).
    operator
        Forward operator with its noise, or a function that makes it for images of a given size.
    validation_data
        Data set to validate on; without one only the last weights are kept.
    metrics
        Metrics of the validation, by name; the first decides which weights are best.
    sampling
        Crops, augmentation, and where the data stay.
    seed
        Seed of everything random.
    run
        Run folder; without one nothing is written.
    callbacks
        Hooks, see `Callback`.
    """

    def __init__(
        self,
        *,
        model: nn.Module,
        train_data: Dataset,
        loss: nn.Module | LossTerm | Sequence[nn.Module | LossTerm],
        plan: TrainingPlan | Mapping[str, Any],
        regime: RegimeName = "operator",
        operator: Operator | OperatorMaker | None = None,
        validation_data: Dataset | None = None,
        metrics: Mapping[str, Metric] | Sequence[Metric] = (),
        sampling: SamplingPlan | None = None,
        seed: int = 0,
        run: RunFolder | str | Path | None = None,
        callbacks: Sequence[Callback] = (),
    ) -> None:
        self.model = model
        self.train_data = train_data
        self.validation_data = validation_data
        self.plan = plan if isinstance(plan, TrainingPlan) else TrainingPlan.model_validate(dict(plan))
        self.sampling = sampling if sampling is not None else SamplingPlan()
        self.regime = Regime(regime, operator)
        self.regime.check_sampling(self.sampling)
        self.losses = Losses(loss_terms(loss), self.regime)
        self.metrics = metric_names(metrics)
        self.seed = seed
        self.run = run if isinstance(run, RunFolder) or run is None else RunFolder(run)
        self.callbacks = list(callbacks)
        self.step = 0
        self.best: Best | None = None
        self.validated = -1
        self.seconds = 0.0

    @property
    def records(self) -> list[dict[str, Any]]:
        """All records of metrics.jsonl so far."""
        return self.log.records

    def fit(self, *, resume: bool = False) -> Result:
        """Train up to ``plan.steps``; with `resume`, go on from the newest whole checkpoint of the run folder.

        Raises
        ------
        NonFiniteError
            If a loss becomes NaN or infinite; the last good checkpoint stays, the batch is saved.
        OutOfMemoryError
            If the device has too little memory for a micro-batch.
        KeyboardInterrupt, SystemExit
            After SIGINT (exit code 130) and SIGTERM (143), once a checkpoint is written.
        """
        device = choose_device(self.plan.device)
        # The engine seeds torch's own generators, which dropout draws from; the caller gets them back as they were.
        devices = [device] if device.type == "cuda" else []
        with torch.random.fork_rng(devices), joined(device) as world, StopSignals() as signals:
            self.world, self.signals = world, signals
            self._prepare(resume)
            try:
                self._train()
            finally:
                self.log.close()
                self._report()
        return Result(self.step, self.best, self.records)

    def _prepare(self, resume: bool) -> None:
        plan, world = self.plan, self.world
        device = world.device
        self.micros = world.micros(plan.accumulate)
        if self.run is not None and world.main:
            self.run.prepare(resume=resume)
        world.barrier()
        self.keys = Keys(self.seed, device)
        self.model.to(device)
        if getattr(self.model, "channels_last", False):
            self.model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.regime.to(device)
        for term in self.losses.terms:
            term.loss.to(device)
        for metric in self.metrics.values():
            metric.to(device)
        self.source = make_source(
            self.train_data,
            keys=self.regime.keys_of(self.train_data[0]) if len(self.train_data) else self.regime.keys,
            plan=self.sampling,
            batch_size=plan.batch_size,
            accumulate=plan.accumulate,
            seed=self.seed,
            device=device,
        )
        self.validator: Validator | None = None
        if self.validation_data is not None:
            self.validator = Validator(
                self.validation_data, self.regime, self.metrics, self.losses, seed=self.seed, device=device
            )
        self.trained = [p for p in self.model.parameters() if p.requires_grad]
        self.optimizer = make_optimizer(plan.optimizer, self.trained)
        self.scaler = torch.amp.GradScaler(device.type) if plan.precision == "fp16" else None
        self.ema = Ema(self.model, plan.ema) if plan.ema is not None else None
        columns = [*self.losses.names, *(["gradient_norm"] if plan.clip is not None else [])]
        self.window = LossWindow(columns, len(self.losses.names), plan.log_every, device)
        self.log = MetricsLog(
            self.run.metrics if self.run is not None and world.main else None,
            tensorboard=self.run.path / "tensorboard" if self.run is not None and world.main else None,
        )
        if resume:
            restore(self)
        if self.run is not None and world.main:  # not before: a checkpoint of another experiment is refused untouched
            self.run.describe(resume=resume, seed=self.seed)
        if plan.compile and device.type != "cpu":
            self.model.compile()
        self.parallel: nn.Module | DistributedDataParallel = self.model
        if world.size > 1:
            self.parallel = data_parallel(self.model, device)
        self.network = self.make_network(self.parallel)
        self.hooks = Hooks(self.callbacks)

    def make_network(self, model: nn.Module) -> Network:
        """Return `model` as losses and validation call it."""
        uses_operator = isinstance(self.model, OperatorModel)
        return Network(
            model,
            uses_operator=uses_operator,
            dtype=AUTOCAST[self.plan.precision],
            device_type=self.world.device.type,
        )

    def _train(self) -> None:
        plan = self.plan
        for hook in self.hooks.fit_start:
            hook(self)
        looks.validate_if_due(self)
        batches = self.source.stream(self.step, plan.steps, self.micros)
        quiet = None if self.world.main else False
        self.model.train()
        self._began, self._began_at = time.perf_counter() - self.seconds, self.step
        with (
            contextlib.closing(batches),
            Progress(self.step, plan.steps, batch_size=plan.batch_size, enabled=quiet) as self.progress,
        ):
            while self.step < plan.steps:
                try:
                    self._advance(batches)
                except (RuntimeError, MemoryError) as error:
                    faults.explain_out_of_memory(error, self.step, plan)
                    raise
                self.step += 1
                for hook in self.hooks.step_end:
                    hook(self, self.step)
                self.progress.step(self.step)
                if self._due() or (self.signals.received and self.world.size == 1):
                    self._look()
        for hook in self.hooks.fit_end:
            hook(self)

    def _advance(self, batches: Iterator[Batch]) -> None:
        """Make one optimiser step."""
        step, plan, last = self.step, self.plan, self.micros[-1]
        for hook in self.hooks.step_start:
            hook(self, step)
        for parameter in self.trained:
            parameter.grad = None
        for micro in self.micros:
            batch = next(batches)
            self.keys.seed_global(step, micro)
            if micro != last and isinstance(self.parallel, DistributedDataParallel):
                with self.parallel.no_sync():
                    self._backward(batch, step, micro)
            else:
                self._backward(batch, step, micro)
        if self.scaler is not None:
            self.scaler.unscale_(self.optimizer)
        for hook in self.hooks.backward_end:
            hook(self, step)
        if plan.clip is not None:
            norm = nn.utils.clip_grad_norm_(self.trained, plan.clip)
            self.window.put(step, len(self.losses.names), norm, first=True)
        lr = learning_rate(plan.schedule, plan.optimizer.lr, plan.steps, step)
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        if self.scaler is not None:
            self.scaler.step(self.optimizer)
            self.scaler.update()
        else:
            self.optimizer.step()
        if self.ema is not None:
            self.ema.update()

    def _backward(self, batch: Batch, step: int, micro: int) -> None:
        sample = self.regime(batch, self.keys, Purpose.SIMULATE, step, micro)
        losses = self.losses
        prediction = None
        if losses.needs_prediction:
            prediction = self.network.fitted(self.network(sample.measurement, sample.operator), sample.target)
        generator = self.keys.generator(Purpose.LOSS, step, micro) if losses.needs_generator else None
        total, values = losses(prediction, sample, self.network, generator)
        for column, value in enumerate(values):
            self.window.put(step, column, value, first=micro == self.micros[0])
        share = len(self.micros)
        if share > 1:
            total = total / share
        if self.scaler is not None:
            total = self.scaler.scale(total)
        total.backward()  # type: ignore[no-untyped-call]

    def _due(self) -> bool:
        plan, step = self.plan, self.step
        return (
            step % plan.log_every == 0
            or step % plan.validate_every == 0
            or step % plan.checkpoint_every == 0
            or step == plan.steps
        )

    def _look(self) -> None:
        """Wait for the device and do what is due: check the losses, log, validate, keep a checkpoint, stop."""
        plan, step = self.plan, self.step
        losses = self.window.read(step, self.world)
        self.seconds = time.perf_counter() - self._began
        bad = self.window.first_bad(losses, step)
        if bad is not None:
            faults.stop_for_loss(self, *bad)
        if step % plan.log_every == 0 or step == plan.steps:
            looks.log_losses(self, losses)
        looks.validate_if_due(self)
        signal = self.world.largest(self.signals.received)
        if step % plan.checkpoint_every == 0 or step == plan.steps or signal:
            folder = save_checkpoint(self)
            if signal and step < plan.steps:
                self.signals.leave(signal, faults.stopped_text(step, folder))

    def validate(self) -> Scores | None:
        """Score the weights as they are now, averaged ones if there are any; None if a signal came on the way."""
        return looks.validate(self)

    def _report(self) -> None:
        if self.run is not None and self.world.main and self.records:
            from recon.engine.report import write_report

            write_report(self.run.path)

    def record(self, record: dict[str, Any]) -> None:
        """Log one record."""
        self.log.add(record)
        for hook in self.hooks.log:
            hook(self, record)
