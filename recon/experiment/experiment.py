"""An experiment: read, checked, and turned into the things it names."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pydantic
import torch
from torch import Tensor, nn

from recon.building import build
from recon.engine.losses import LossTerm
from recon.engine.plans import SamplingPlan
from recon.engine.regimes import OperatorMaker, Simulated
from recon.engine.run_folder import RESOLVED, RunFolder
from recon.errors import ExperimentError, FileFormatError, ParameterError, ReconError
from recon.experiment.forward import ForwardModel
from recon.experiment.resolve import resolve
from recon.experiment.source import Path as FieldPath
from recon.experiment.source import Source, dump
from recon.experiment.spec import ExperimentSpec, problems
from recon.interfaces import Dataset, Metric
from recon.operators import Operator
from recon.registry import registry, suggest
from recon.spec import Kind

if TYPE_CHECKING:
    from recon.engine.callbacks import Callback
    from recon.engine.trainer import Trainer

__all__ = ["SHIPPED", "Experiment", "shipped"]

SHIPPED = Path(__file__).with_name("shipped")


def shipped() -> list[str]:
    """Return the names of the experiments that come with recon."""
    return sorted(path.stem for path in SHIPPED.glob("*.yaml"))


class Experiment:
    """One experiment file, checked.

    Parameters
    ----------
    source
        Text and values of the file.
    folder
        What relative paths in it start from.

    Raises
    ------
    ExperimentError
        If anything in it is wrong: every problem with file, line and field.
    """

    def __init__(self, source: Source, folder: Path) -> None:
        self.source = source
        self.folder = folder
        try:
            self.spec = ExperimentSpec.model_validate(source.data)
        except pydantic.ValidationError as error:
            raise self._error(problems(error)) from None
        self.resolved = self._resolve()

    @classmethod
    def load(cls, name: str | Path, *, overrides: Sequence[str] = ()) -> Experiment:
        """Read an experiment from a file, from the run folder that it was run in, or by its shipped name.

        Relative paths start from the file's folder, or from the working folder if it is not a file of one's own.

        Parameters
        ----------
        name
            Path of a YAML file or a run folder, or one of the shipped names.
        overrides
            Settings such as ``training.steps=100``.

        Raises
        ------
        FileFormatError
            If there is no such file.
        ExperimentError
            If anything in it is wrong.
        """
        path, folder = Path(name), None
        if path.is_dir():
            run, path = path, path / RESOLVED
            folder = Path.cwd()  # the paths in it are absolute, those of the overrides are the user's
            if not path.is_file():
                raise FileFormatError(f"{run} is not a run folder: it holds no {RESOLVED}")
        elif not path.is_file() and str(name) in shipped():
            path, folder = SHIPPED / f"{name}.yaml", Path.cwd()
        if not path.is_file():
            hint = suggest(path.stem, shipped())
            raise FileFormatError(f"experiment file {name} does not exist{hint}; shipped: {', '.join(shipped())}")
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise FileFormatError(f"experiment file {path} is not readable text: {error}") from None
        return cls(Source(text, str(path), overrides), folder if folder is not None else path.parent.resolve())

    @property
    def name(self) -> str:
        """Name of the experiment."""
        return self.spec.name

    @property
    def fingerprint(self) -> str:
        """Digest of all that the weights depend on besides the training plan: a run is resumed only if it agrees."""
        kept = {key: self.resolved[key] for key in ("seed", "regime", "data", "forward", "model", "loss")}
        kept["data"] = {
            k: v for k, v in kept["data"].items() if k not in ("source", "workers", "validation", "modcrop")
        }
        return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()

    def build_model(self) -> nn.Module:
        """Build the model, initialised by the seed."""
        with torch.random.fork_rng(devices=[]), self._at("model"):
            torch.manual_seed(self.spec.seed)
            return build("model", self.resolved["model"])

    @cached_property
    def forward(self) -> ForwardModel:
        """The forward model, not yet built."""
        return ForwardModel(self.resolved["forward"], place=lambda index: self._at("forward", index))

    def build_operator(self, size: tuple[int, ...] | None = None) -> Operator | None:
        """Build the forward model, for images of `size` (*space) where its operators need one; None without any."""
        return self.forward.build(size) if self.forward.configs else None

    def operator_or_maker(self) -> Operator | OperatorMaker | None:
        """Return the forward model, or a function of the image size where its operators need one."""
        return self.forward.build if self.forward.sized else self.build_operator()

    def operator_for(self, dataset: Dataset) -> Operator | OperatorMaker | None:
        """Return the forward model for a data set: as `operator_or_maker`, but one operator where items hold Y."""
        operator = self.operator_or_maker()
        if self.spec.regime != "operator" and operator is not None and not isinstance(operator, Operator):
            # Measurements do not tell the size of their images; the items may.
            item = dataset[0]
            return self.build_operator(tuple(item["image"].shape[1:]) if "image" in item else None)
        return operator

    def build_dataset(self, part: str = "train") -> Dataset | None:
        """Build the data set of ``train`` or ``validation``; None if there is none."""
        data = self.spec.data
        config = self.resolved["data"][part]
        if config is None:
            return None
        with self._at("data", part):
            dataset = build("dataset", config)
            len(dataset)  # here, so that a missing folder is reported with its line
        if part == "validation" and data.modcrop > 1:
            dataset = _Modcrop(dataset, data.modcrop)
        if data.simulate:
            operator = self.operator_or_maker()
            if operator is None:
                raise self._error([(("data", "simulate"), "there is nothing to simulate with; set forward")])
            dataset = Simulated(dataset, operator, self.spec.seed + (part == "validation"))
        return dataset

    def build_losses(self) -> list[LossTerm]:
        """Build the terms of the objective, each under its own name."""
        terms = []
        for index, (term, config) in enumerate(zip(self.spec.loss, self.resolved["loss"], strict=True)):
            with self._at("loss", index):
                loss = build("loss", config["loss"])
            terms.append(LossTerm(loss, term.weight, term.name or str(term.loss["use"]).rpartition("/")[2]))
        return terms

    def build_metrics(self) -> dict[str, Metric]:
        """Build the metrics, each under its own name."""
        metrics: dict[str, Metric] = {}
        for index, config in enumerate(self.resolved["metrics"]):
            with self._at("metrics", index):
                metric = build("metric", config)
            name = base = str(config["use"]).rpartition("/")[2]
            count = 1
            while name in metrics:
                count += 1
                name = f"{base}_{count}"
            metrics[name] = metric
        return metrics

    def trainer(self, run: str | Path | None = None, *, callbacks: Sequence[Callback] = ()) -> Trainer:
        """Build the trainer.

        Parameters
        ----------
        run
            Run folder; without one nothing is written.
        callbacks
            Hooks into training.
        """
        from recon.engine.trainer import Trainer

        train = self.build_dataset("train")
        if train is None:
            raise self._error([(("data", "train"), "missing")])
        return Trainer(
            model=self.build_model(),
            train_data=train,
            loss=self.build_losses(),
            plan=self.spec.training,
            regime=self.spec.regime,
            operator=self.operator_for(train),
            validation_data=self.build_dataset("validation"),
            metrics=self.build_metrics(),
            sampling=self.sampling,
            seed=self.spec.seed,
            run=None if run is None else self.run_folder(run),
            callbacks=callbacks,
        )

    def run_folder(self, path: str | Path) -> RunFolder:
        """Return the run folder at `path`, which will keep this experiment as given and as resolved."""
        given = self.source.text
        if self.source.overrides:
            given += "".join(f"\n# --set {override}" for override in self.source.overrides) + "\n"
        return RunFolder(path, given=given, resolved=dump(self.resolved), fingerprint=self.fingerprint)

    @cached_property
    def sampling(self) -> SamplingPlan:
        """How training batches are drawn."""
        return SamplingPlan(**{name: getattr(self.spec.data, name) for name in SamplingPlan.model_fields})

    def _resolve(self) -> dict[str, Any]:
        """Check every component's parameters and write the experiment out in full."""
        spec, found = self.spec, list[tuple[FieldPath, str]]()

        def one(kind: Kind, config: Mapping[str, Any], *path: str | int, sized: bool = False) -> dict[str, Any]:
            try:
                return resolve(kind, config, self.folder, sized=sized)
            except ParameterError as error:
                found.extend(((*path, *inner), f"{error.subject}: {message}") for inner, message in error.problems)
            except ReconError as error:
                found.append(((*path, "use"), str(error)))
            return {}

        full = json.loads(spec.model_dump_json(exclude={"distributions"}))
        data = full["data"]
        for part in ("train", "validation"):
            if data[part] is not None:
                data[part] = one("dataset", getattr(spec.data, part), "data", part)
        full["forward"] = [one("operator", c, "forward", i, sized=True) for i, c in enumerate(spec.forward)]
        full["model"] = one("model", spec.model, "model")
        for index, term in enumerate(spec.loss):
            full["loss"][index]["loss"] = one("loss", term.loss, "loss", index, "loss")
        full["metrics"] = [one("metric", c, "metrics", i) for i, c in enumerate(spec.metrics)]
        if found:
            raise self._error(found)
        full["distributions"] = _distributions(full)
        return cast("dict[str, Any]", full)

    def _error(self, found: Sequence[tuple[FieldPath, str]]) -> ExperimentError:
        source = self.source
        return ExperimentError("; ".join(source.problem(source.raw_path(path), message) for path, message in found))

    @contextmanager
    def _at(self, *path: str | int) -> Iterator[None]:
        """Have errors name the place in the file."""
        try:
            yield
        except ParameterError as error:
            raise self._error([((*path, *inner), f"{error.subject}: {m}") for inner, m in error.problems]) from error
        except ExperimentError:
            raise
        except ReconError as error:
            raise type(error)(self.source.problem(self.source.raw_path(path), str(error))) from error


class _Modcrop:
    """A data set whose images are cut to a multiple of a number."""

    def __init__(self, dataset: Dataset, multiple: int) -> None:
        self.dataset, self.multiple = dataset, multiple

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> Mapping[str, Tensor]:
        item = dict(self.dataset[index])
        image = item["image"]
        item["image"] = image[(slice(None), *(slice(n - n % self.multiple) for n in image.shape[1:]))]
        return item


def _distributions(full: Mapping[str, Any]) -> dict[str, str]:
    """Return the versions of the distributions whose components an experiment names."""
    names = {"recon-toolkit", "torch"}

    def walk(value: Any) -> None:
        if isinstance(value, Mapping):
            if isinstance(value.get("use"), str):
                names.add(registry().plugin(value["use"].partition("/")[0]).distribution)
            for part in value.values():
                walk(part)
        elif isinstance(value, list):
            for part in value:
                walk(part)

    walk(full)
    versions: dict[str, str] = {}
    for name in sorted(names):
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:  # a plugin from a single file
            versions[name] = "file"
    return versions
