"""Weighted sums of losses, each called with what its `forward` names."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from recon.engine.regimes import Regime, Sample
from recon.errors import UsageError
from recon.interfaces import LOSS_INPUTS

__all__ = ["LossTerm", "Losses", "loss_inputs", "loss_terms"]


@dataclass(frozen=True, slots=True)
class LossTerm:
    """One loss of a weighted sum, and the name that it is logged under (by default that of its class)."""

    loss: nn.Module
    weight: float = 1.0
    name: str = ""


def loss_inputs(loss: nn.Module) -> tuple[str, ...] | None:
    """Return which of `LOSS_INPUTS` the loss names; None for a loss of another library, called (prediction, target).

    Raises
    ------
    UsageError
        If a required argument is not one that the engine can hand over.
    """
    parameters = inspect.signature(loss.forward).parameters.values()
    names = tuple(p.name for p in parameters if p.name in LOSS_INPUTS)
    needed = [p.name for p in parameters if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    strange = [name for name in needed if name not in LOSS_INPUTS]
    if strange and len(needed) == 2:
        return None
    if strange or not names:
        raise UsageError(
            f"loss {type(loss).__name__} asks for {', '.join(strange) or 'nothing'}; the engine can hand it: "
            f"{', '.join(LOSS_INPUTS)}"
        )
    return names


def loss_terms(losses: nn.Module | LossTerm | Sequence[nn.Module | LossTerm]) -> list[LossTerm]:
    """Normalise the ways of giving losses, and give each a name of its own."""
    listed = list(losses) if isinstance(losses, Iterable) and not isinstance(losses, nn.Module) else [losses]
    if not listed:
        raise UsageError("no loss is given: nothing would be trained")
    terms: list[LossTerm] = []
    for item in listed:
        term = item if isinstance(item, LossTerm) else LossTerm(item)
        name = base = term.name or type(term.loss).__name__.lower()
        count = 1
        while name in {other.name for other in terms}:
            count += 1
            name = f"{base}_{count}"
        terms.append(LossTerm(term.loss, term.weight, name))
    return terms


class Losses:
    """The objective: sum of weight * loss.

    Raises
    ------
    UsageError
        If a loss needs what the regime does not have.
    """

    def __init__(self, terms: Sequence[LossTerm], regime: Regime) -> None:
        self.terms = list(terms)
        self.names = [term.name for term in terms]
        self.calls: list[tuple[nn.Module, float, tuple[str, ...] | None]] = []
        self.needs_prediction = False
        self.needs_generator = False
        for term in terms:
            inputs = loss_inputs(term.loss)
            asked = inputs if inputs is not None else ("prediction", "target")
            if "target" in asked and not regime.has_target:
                raise UsageError(
                    f"loss {term.name!r} compares with a ground truth, and regime 'measurements' has none; use a loss "
                    "of the measurement, or regime: pairs or operator"
                )
            if "operator" in asked and not regime.has_operator:
                raise UsageError(f"loss {term.name!r} needs the forward operator; set forward")
            self.needs_prediction |= "prediction" in asked
            self.needs_generator |= "generator" in asked
            self.calls.append((term.loss, term.weight, inputs))

    def __call__(
        self, prediction: Tensor | None, sample: Sample, model: nn.Module, generator: torch.Generator | None
    ) -> tuple[Tensor, list[Tensor]]:
        """Return the weighted sum and the value of each term, without its weight."""
        total: Tensor | None = None
        values: list[Tensor] = []
        for loss, weight, inputs in self.calls:
            if inputs == ("prediction", "target") or inputs is None:
                value = loss(prediction, sample.target)
            else:
                offered = {
                    "prediction": prediction,
                    "target": sample.target,
                    "measurement": sample.measurement,
                    "operator": sample.operator,
                    "model": model,
                    "generator": generator,
                    "maximum": sample.maximum,
                }
                value = loss(**{name: offered[name] for name in inputs})
            values.append(value)
            weighted = value if weight == 1.0 else value * weight
            total = weighted if total is None else total + weighted
        if total is None or total.ndim:
            shape = "nothing" if total is None else f"shape {tuple(total.shape)}"
            raise UsageError(f"a loss must return a scalar, got {shape}")
        return total, values
