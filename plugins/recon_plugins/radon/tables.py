"""Sparse matrices of both directions from one ray table."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor

__all__ = ["sparse_pair"]


def sparse_pair(
    starts: Tensor, indices: Tensor, values: Tensor, *, columns: int, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Return a CSR matrix and its transpose, also CSR, with the same values."""
    rows = len(starts) - 1
    # Grouping by column, rows in order within each: the transpose's rows.
    order = torch.argsort(indices, stable=True)
    row_of = torch.repeat_interleave(torch.arange(rows, dtype=torch.int32), starts.diff())
    counts = torch.bincount(indices, minlength=columns)
    transposed = torch.cat([torch.zeros(1, dtype=torch.long), counts.cumsum(0)])
    forward = _csr(starts, indices, values, (rows, columns), device)
    return forward, _csr(transposed, row_of[order], values[order], (columns, rows), device)


def _csr(starts: Tensor, indices: Tensor, values: Tensor, shape: tuple[int, int], device: torch.device) -> Tensor:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sparse", category=UserWarning)
        # 32-bit indices are what MKL works on; others would be converted at every product.
        return torch.sparse_csr_tensor(starts.int(), indices, values, shape, check_invariants=False).to(device)
