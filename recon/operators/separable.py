"""Operators that act on each spatial axis by itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from recon.errors import UsageError
from recon.operators.base import LinearOperator, check_shape
from recon.operators.table import Table

__all__ = ["Separable"]

BLOCK = 64
"""Rows of a matrix that are multiplied at once: few enough to skip most zeros, enough to keep the product busy."""

Block = tuple[slice, slice]


class Separable(LinearOperator):
    """One matrix per spatial axis: y = (M_1 x M_2 x ... x M_d) x, a Kronecker product, for every channel.

    The adjoint applies the same matrices transposed, so it is matched to rounding. Matrices of resizing and blur are
    banded: rows are taken `BLOCK` at a time, with those columns only that they use.

    Shapes: (batch, channel, n_1, ..., n_d) -> (batch, channel, m_1, ..., m_d), with M_i of shape (m_i, n_i).

    Parameters
    ----------
    matrices
        The matrices, real, in the order of the spatial axes.
    """

    def __init__(self, *, matrices: Sequence[Tensor]) -> None:
        super().__init__()
        if not matrices or any(matrix.ndim != 2 or matrix.is_complex() for matrix in matrices):
            raise UsageError("Separable takes one real matrix per spatial axis")
        self.tables = nn.ModuleList(Table(matrix) for matrix in matrices)
        self._blocks = [(_blocks(matrix), _blocks(matrix.T)) for matrix in matrices]
        self.output_shape = (None, *(matrix.shape[0] for matrix in matrices))
        self.input_shape = (None, *(matrix.shape[1] for matrix in matrices))

    @property
    def matrices(self) -> list[Tensor]:
        """The matrices in double precision."""
        return [cast("Table", table).exact for table in self.tables]

    def forward(self, x: Tensor) -> Tensor:
        """Apply the matrices."""
        check_shape(self, x, self.input_shape)
        return self._apply_each(x, transposed=False)

    def adjoint(self, y: Tensor) -> Tensor:
        """Apply the transposed matrices."""
        check_shape(self, y, self.output_shape)
        return self._apply_each(y, transposed=True)

    def _apply_each(self, x: Tensor, *, transposed: bool) -> Tensor:
        if x.is_complex():
            return torch.complex(
                self._apply_each(x.real.contiguous(), transposed=transposed),
                self._apply_each(x.imag.contiguous(), transposed=transposed),
            )
        for axis, (table, blocks) in enumerate(zip(self.tables, self._blocks, strict=True), start=-len(self.tables)):
            matrix: Tensor = table(x)
            matrix = matrix.T if transposed else matrix
            x = x.movedim(axis, -1)
            parts = [x[..., columns] @ matrix[rows, columns].T for rows, columns in blocks[transposed]]
            x = torch.cat(parts, -1).movedim(-1, axis)
        return x


def _blocks(matrix: Tensor) -> list[Block]:
    """Split the rows of a matrix into blocks, each with the range of columns outside of which it is zero."""
    blocks = []
    for start in range(0, matrix.shape[0], BLOCK):
        rows = slice(start, start + BLOCK)
        used = matrix[rows].any(0).nonzero().flatten().tolist() or [0]
        blocks.append((rows, slice(used[0], used[-1] + 1)))
    return blocks
