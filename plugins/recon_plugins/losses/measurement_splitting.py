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
from recon_plugins.losses.pixel import difference, squared

__all__ = ["MeasurementSplitting"]


class MeasurementSplitting(Loss):
    """Self-supervision by splitting: the model reconstructs from one part of the measurement, the other part judges it.

    The operator's mask is split at random into a part that the model sees, with the operator restricted to it, and a
    part that is held out; the loss is the mean over the held-out samples of |A x - y|^2 or |A x - y|. The split is
    drawn on the mask's own grid, so a mask of columns is split by columns, and all coils and channels alike.

    Shapes: measurement (batch, channel or coil, *grid) -> scalar.

    Parameters
    ----------
    fraction
        Share of the measured samples that are held out; 0.4 was best in the reference.
    keep_center
        Width of the grid's centre, along each axis of the mask, of which nothing is held out: low frequencies that no
        reconstruction does without. The reference keeps 4. 0 where the grid is not a k-space.
    norm
        "l2" for squares, "l1" for absolute values.

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
        norm: Literal["l2", "l1"] = "l2",
    ) -> None:
        super().__init__()
        self.fraction = fraction
        self.keep_center = keep_center
        self.norm = norm

    def forward(  # type: ignore[override]
        self, model: nn.Module, measurement: Tensor, operator: LinearOperator, generator: torch.Generator
    ) -> Tensor:
        """Split, reconstruct, and return the loss."""
        mask = _mask(operator, measurement)
        seen, held = self.split(mask, generator, axes=measurement.ndim - 2)
        part = _with_mask(operator, seen)
        y = torch.where(seen, measurement, 0)
        prediction = model(y, part) if isinstance(model, OperatorModel) else model(y)
        with torch.autocast(measurement.device.type, enabled=False):
            if prediction.dtype in (torch.float16, torch.bfloat16):
                prediction = prediction.float()
            error = torch.where(held, difference(operator(prediction), measurement), 0)
            loss = squared(error) if self.norm == "l2" else error.abs()
            return loss.sum() / held.expand(error.shape).sum().clamp(min=1)

    def split(self, mask: Tensor, generator: torch.Generator, *, axes: int = 2) -> tuple[Tensor, Tensor]:
        """Divide a boolean mask, whose last `axes` are the grid's, into a part that the model sees and one held out."""
        drawn = torch.rand(mask.shape, generator=generator, device=mask.device) < self.fraction
        center = torch.ones_like(mask) if self.keep_center else torch.zeros_like(mask)
        for axis, size in enumerate(mask.shape):
            if self.keep_center and size > 1 and mask.ndim - axis <= axes:
                start = max(0, size // 2 - self.keep_center // 2)
                inside = torch.zeros(size, dtype=torch.bool, device=mask.device)
                inside[start : start + self.keep_center] = True
                center = center & inside.reshape(-1, *[1] * (mask.ndim - 1 - axis))
        held = mask & drawn & ~center
        return mask & ~held, held


def _mask(operator: LinearOperator, measurement: Tensor) -> Tensor:
    """Return the mask of what acts on the measurement last, as a boolean tensor on its device."""
    outer: Any = operator
    while isinstance(outer, Composition):
        outer = outer.operators[0]
    if hasattr(outer, "mask_for"):
        dimensions = getattr(outer, "dimensions", measurement.ndim - 2)
        mask = outer.mask_for(measurement.shape[-dimensions:], measurement.device)
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
