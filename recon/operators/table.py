"""Constant tensors of an operator, in the precision of whatever they meet."""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["Table"]


class Table(nn.Module):
    """A constant that an operator computes with: ``table(x)`` has the precision and the device of `x`.

    The float32 copy moves with the module. The float64 original stays on the CPU, since some devices have no double
    precision; it serves double-precision input. Neither is part of the state: the constructor makes them anew.

    Parameters
    ----------
    values
        The constant, real or complex, as exactly as it is known.
    """

    single: Tensor

    def __init__(self, values: Tensor) -> None:
        super().__init__()
        values = values.detach()
        kind = torch.complex128 if values.is_complex() else torch.float64
        self.exact = values.to("cpu", kind)
        self.register_buffer("single", values.to(_SINGLE[kind]), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return the constant as `x` needs it; a complex constant stays complex."""
        double = x.dtype in (torch.float64, torch.complex128)
        source = self.exact if double else self.single
        dtype = source.dtype if double or source.is_complex() or x.is_complex() else x.dtype
        return source.to(x.device, dtype)


_SINGLE = {torch.float64: torch.float32, torch.complex128: torch.complex64}
