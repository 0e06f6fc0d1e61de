"""Self-supervision by splitting the measurement."""

from __future__ import annotations

from typing import Annotated, Any, Literal, cast

import torch
from annotated_types import Ge, Gt, Lt
from torch import Tensor, nn

from recon import build
from recon.errors import UsageError
from recon.interfaces import Loss, OperatorModel
from recon.operators import Composition, LinearOperator, compose
from recon.schema import Part
from recon.sensitivities import with_sensitivities
from recon_plugins.losses.pixel import difference, squared

__all__ = ["MeasurementSplitting"]


class MeasurementSplitting(Loss):
    """Self-supervision by splitting: the model reconstructs from one part of the measurement, the other part judges it.

    The operator's mask is split at random into a part that the model sees, with the operator restricted to it, and a
    part L that is held out, anew at every step. All coils and channels are split alike. SSDU of the reference is
    ``grid: points, selection: gaussian, norm: l1_l2, keep_center: 4``.

    Shapes: measurement (batch, channel or coil, *grid) -> scalar.

    Parameters
    ----------
    fraction
        Share of the measured samples that are held out; 0.4 was best in the reference.
    keep_center
        Width of the grid's centre, along each axis of the split, of which nothing is held out: low frequencies that no
        reconstruction does without. The reference keeps 4. 0 where the grid is not a k-space.
    norm
        "l2" and "l1": the mean over L of |A x - y|^2 or |A x - y|. "l1_l2": |A x - y|_2 / |y|_2 + |A x - y|_1 / |y|_1
        over L, of each item, which no unit changes.
    grid
        "mask": the split is drawn on the mask's own grid, a mask of columns is split by columns. "points": each sample
        falls by itself, in each item of the batch.
    selection
        "uniform": every sample alike. "gaussian": with a density about the grid's centre, of deviation a quarter of
        each axis, so that more low frequencies are held out; their number is exact then.
    maps
        Calibration that estimates coil sensitivities from all of the measurement, such as ``espirit``, for operators
        that bring none; model and loss then have the operator with them.

    Raises
    ------
    UsageError
        If the operator has no mask that can be split (`fourier`, `mask`), or nothing is held out.

    References
    ----------
    Yaman et al., Magn. Reson. Med. 2020, doi:10.1002/mrm.28378
    """

    def __init__(
        self,
        *,
        fraction: Annotated[float, Gt(0), Lt(1)] = 0.4,
        keep_center: Annotated[int, Ge(0)] = 0,
        norm: Literal["l2", "l1", "l1_l2"] = "l2",
        grid: Literal["mask", "points"] = "mask",
        selection: Literal["uniform", "gaussian"] = "uniform",
        maps: Annotated[Any, Part("method")] = None,
    ) -> None:
        super().__init__()
        self.fraction = fraction
        self.keep_center = keep_center
        self.norm = norm
        self.grid = grid
        self.selection = selection
        self.maps = maps

    def forward(  # type: ignore[override]
        self, model: nn.Module, measurement: Tensor, operator: LinearOperator, generator: torch.Generator
    ) -> Tensor:
        """Split, reconstruct, and return the loss."""
        if self.maps is not None:
            with torch.autocast(measurement.device.type, enabled=False):
                operator = with_sensitivities(operator, measurement, self.maps)
        mask = _mask(operator, measurement)
        if self.grid == "points":
            mask = mask.expand(len(measurement), 1, *measurement.shape[2:])
        seen, held = self.split(mask, generator, axes=measurement.ndim - 2)
        part = _with_mask(operator, seen)
        y = torch.where(seen, measurement, 0)
        prediction = model(y, part) if isinstance(model, OperatorModel) else model(y)
        with torch.autocast(measurement.device.type, enabled=False):
            if prediction.dtype in (torch.float16, torch.bfloat16):
                prediction = prediction.float()
            error = torch.where(held, difference(operator(prediction), measurement), 0)
            if self.norm == "l1_l2":
                return _relative(error, torch.where(held, measurement, 0))
            loss = squared(error) if self.norm == "l2" else error.abs()
            return loss.sum() / held.expand(error.shape).sum().clamp(min=1)

    def split(self, mask: Tensor, generator: torch.Generator, *, axes: int = 2) -> tuple[Tensor, Tensor]:
        """Divide a boolean mask, whose last `axes` are the grid's, into a part that the model sees and one held out."""
        drawn = torch.rand(mask.shape, generator=generator, device=mask.device)
        center = torch.ones_like(mask) if self.keep_center else torch.zeros_like(mask)
        density = torch.ones_like(drawn)
        for axis, size in enumerate(mask.shape):
            if size == 1 or mask.ndim - axis > axes:
                continue
            place = torch.arange(size, device=mask.device).reshape(-1, *[1] * (mask.ndim - 1 - axis))
            if self.keep_center:
                start = max(0, size // 2 - self.keep_center // 2)
                center = center & (place >= start) & (place < start + self.keep_center)
            density = density * torch.exp(-0.5 * ((place - size // 2) / (size / 4)) ** 2)
        if self.selection == "gaussian":
            held = _heaviest(drawn.log() / density, mask & ~center, self.fraction, axes)
        else:
            held = mask & (drawn < self.fraction) & ~center
        return mask & ~held, held


def _heaviest(keys: Tensor, allowed: Tensor, fraction: float, axes: int) -> Tensor:
    """Return the samples with the largest keys, `fraction` of those allowed in each item.

    With keys log(u) / w, u uniform, that is a draw with weights w without replacement (Efraimidis and Spirakis, 2006,
    doi:10.1016/j.ipl.2005.11.003).
    """
    lead = max(0, keys.ndim - axes)
    flat = keys.masked_fill(~allowed, -torch.inf).flatten(lead)
    rank = flat.argsort(-1, descending=True).argsort(-1)
    count = (fraction * allowed.flatten(lead).sum(-1, keepdim=True)).round()
    return (rank < count).reshape(keys.shape) & allowed


def _relative(error: Tensor, reference: Tensor) -> Tensor:
    """Return the mean over the items of |e|_2 / |y|_2 + |e|_1 / |y|_1; an item without data counts 0."""

    def norms(x: Tensor) -> tuple[Tensor, Tensor]:
        return torch.linalg.vector_norm(x.flatten(1), dim=1), x.flatten(1).abs().sum(1)

    total = torch.zeros(len(error), dtype=reference.real.dtype, device=error.device)
    for e, y in zip(norms(error), norms(reference), strict=True):
        total = total + e / y.where(y > 0, 1)
    return total.mean()


def _mask(operator: LinearOperator, measurement: Tensor) -> Tensor:
    """Return the mask of what acts on the measurement last, as a boolean tensor on its device."""
    outer: Any = operator
    while isinstance(outer, Composition):
        outer = outer.operators[0]
    if hasattr(outer, "mask_for"):
        mask = outer.mask_for(measurement.shape[2:], measurement.device)
    else:
        mask = getattr(outer, "mask", None)
    if mask is None and hasattr(outer, "mask"):
        mask = torch.ones(measurement.shape[2:])
    if not isinstance(mask, Tensor):
        raise UsageError(
            f"measurement_splitting needs an operator with a mask to split, such as fourier or mask, "
            f"not {type(outer).__name__}"
        )
    return (mask != 0).to(measurement.device)


def _with_mask(operator: LinearOperator, mask: Tensor) -> LinearOperator:
    if isinstance(operator, Composition):
        outer, *inner = cast("list[LinearOperator]", list(operator.operators))
        return cast("LinearOperator", compose(_with_mask(outer, mask), *inner))
    arguments = operator.arguments()
    if "mask" not in arguments:  # its mask follows from other arguments, such as a seed
        return cast("LinearOperator", compose(build("operator", "mask", mask=mask), operator))
    return operator.with_(mask=mask, **({"resample": False} if "resample" in arguments else {}))
