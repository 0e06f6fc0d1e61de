"""Orthogonal wavelet transforms of periodic images."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from math import comb
from typing import Annotated, Literal

import numpy as np
import torch
from annotated_types import Ge
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["NAMES", "Wavelet", "WaveletName", "scaling_filter"]

WaveletName = Literal[
    "haar", "db1", "db2", "db3", "db4", "db5", "db6", "db7", "db8", "db9", "db10",
    "sym2", "sym3", "sym4", "sym5", "sym6", "sym7", "sym8",
]  # fmt: skip
"""Daubechies' wavelets of extremal phase (db) and her least asymmetric ones (sym), by their vanishing moments."""

NAMES: tuple[str, ...] = WaveletName.__args__  # type: ignore[attr-defined]


@dataclass(frozen=True, kw_only=True)
class Wavelet:
    """Separable orthogonal wavelet transform over the spatial axes of (batch, channel, *space), periodic. A value.

    Coefficients are packed in a tensor of the image's shape: along each axis the approximation stands before the
    details, and the next level transforms the block of the approximation. Sizes must be multiples of 2^levels, see
    `padded`. The transform is orthogonal: `inverse` is its adjoint, and norms are kept.

    Parameters
    ----------
    name
        The wavelet.
    levels
        Number of levels.

    References
    ----------
    Mallat, IEEE Trans. Pattern Anal. Mach. Intell. 11:674, 1989, doi:10.1109/34.192463
    """

    name: WaveletName = "db4"
    levels: Annotated[int, Ge(0)] = 4

    def padded(self, size: Sequence[int]) -> tuple[int, ...]:
        """Return the smallest size that the transform takes and an image of `size` fits in."""
        unit = 2**self.levels
        return tuple(-(-n // unit) * unit for n in size)

    def __call__(self, x: Tensor) -> Tensor:
        """Return the coefficients. Shapes: (batch, channel, *space), real or complex, kept."""
        coefficients = x.clone(memory_format=torch.contiguous_format)
        for level in range(self.levels):
            block = self._block(coefficients, level)
            part = block
            for axis in range(2, x.ndim):
                part = _along(axis, partial(_analysis, filters=_filters(self.name)), part)
            block.copy_(part)
        return coefficients

    def inverse(self, coefficients: Tensor) -> Tensor:
        """Return the image. Shapes as for the transform."""
        x = coefficients.clone(memory_format=torch.contiguous_format)
        for level in reversed(range(self.levels)):
            block = self._block(x, level)
            part = block
            for axis in range(2, x.ndim):
                part = _along(axis, partial(_synthesis, filters=_filters(self.name)), part)
            block.copy_(part)
        return x

    def approximation(self, coefficients: Tensor) -> Tensor:
        """Return the block of the coarsest approximation, as a view."""
        return self._block(coefficients, self.levels)

    def _block(self, x: Tensor, level: int) -> Tensor:
        for axis in range(2, x.ndim):
            x = x.narrow(axis, 0, x.shape[axis] >> level)
        return x


@lru_cache(maxsize=32)
def scaling_filter(name: WaveletName) -> NDArray[np.float64]:
    """Return the scaling filter h of 2N taps, with sum 2^(1/2), by spectral factorisation.

    The roots of Daubechies' polynomial sum_k C(N - 1 + k, k) y^k come as pairs (z, 1/z). Extremal phase takes those
    inside the unit circle; the least asymmetric filter takes of all choices the one whose phase is nearest to linear
    (fixed up to time reversal).

    References
    ----------
    Daubechies, Ten Lectures on Wavelets, 1992, doi:10.1137/1.9781611970104 (sections 6.4 and 8.1)
    """
    if name == "haar":
        name = "db1"
    moments = int(name.lstrip("dbsym"))
    polynomial = [comb(moments - 1 + k, k) for k in range(moments)][::-1]
    y = np.roots(polynomial).astype(complex)
    y -= np.polyval(polynomial, y) / np.polyval(np.polyder(polynomial), y) if moments > 1 else 0
    # Each y stands for the roots of z + 1/z = 2 - 4 y.
    inside = [min(np.roots([1, 4 * root - 2, 1]), key=abs) for root in y]
    if name.startswith("db"):
        return _with_roots(inside, moments)
    # Real filters take both of two conjugate roots, or neither.
    groups = [[z, z.conjugate()] if z.imag > 0 else [z.real] for z in inside if z.imag > -1e-9]
    choices = (
        [1 / z if outside else z for group, outside in zip(groups, picks, strict=True) for z in group]
        for picks in itertools.product((False, True), repeat=len(groups))
    )
    return _with_roots(min(choices, key=_asymmetry), moments)


def _with_roots(roots: Sequence[complex], moments: int) -> NDArray[np.float64]:
    h = np.poly(roots).real if len(roots) else np.ones(1)
    for _ in range(moments):
        h = np.convolve(h, [1.0, 1.0])
    scaled: NDArray[np.float64] = h * (2**0.5 / h.sum())
    return scaled


def _asymmetry(roots: Sequence[complex]) -> tuple[float, float]:
    """Return how far the phase of a filter is from linear, then how many roots are inside: mirror images tie."""
    frequencies = np.linspace(0, np.pi, 257)
    phase = np.unwrap(np.angle(np.polyval(np.poly(roots), np.exp(1j * frequencies))))
    slope = phase @ frequencies / (frequencies @ frequencies)
    return round(float(((phase - slope * frequencies) ** 2).sum()), 6), -sum(abs(z) < 1 for z in roots)


@lru_cache(maxsize=32)
def _filters(name: WaveletName) -> tuple[list[float], list[float]]:
    """Return the taps f[t] by which coefficient i gathers samples 2 i + t + 1 - L / 2: approximation and detail."""
    low = scaling_filter(name)
    high = low[::-1] * np.where(np.arange(len(low)) % 2, -1.0, 1.0)
    return low.tolist(), high.tolist()


def _along(axis: int, transform: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Apply a real transform of the first axis along another: rows that lie together are added many times as fast."""
    first = x.movedim(axis, 0).contiguous()
    if not x.is_complex():
        return transform(first).movedim(0, axis)
    return torch.view_as_complex(transform(torch.view_as_real(first))).movedim(0, axis)


def _analysis(x: Tensor, filters: tuple[list[float], list[float]]) -> Tensor:
    n, count = len(x), len(filters[0])
    x = _wrapped(x, count // 2 - 1, count // 2 - 1)
    result = x.new_empty((n, *x.shape[1:]))
    for part, taps in zip(result.split(n // 2), filters, strict=True):
        torch.mul(x[0:n:2], taps[0], out=part)
        for t in range(1, count):
            part.add_(x[t : t + n : 2], alpha=taps[t])
    return result


def _synthesis(c: Tensor, filters: tuple[list[float], list[float]]) -> Tensor:
    half, count = len(c) // 2, len(filters[0])
    reach = count // 4 + 1
    bands = [_wrapped(band, reach, reach) for band in c.split(half)]
    result = torch.empty_like(c)
    for parity in range(2):
        part, fresh = result[parity::2], True
        for band, taps in zip(bands, filters, strict=True):
            # Sample 2 i + parity was gathered by coefficient j as tap t where 2 j + t + 1 - L / 2 = 2 i + parity.
            for t in range((parity + count // 2 - 1) % 2, count, 2):
                first = reach + (parity - t + count // 2 - 1) // 2
                if fresh:
                    torch.mul(band[first : first + half], taps[t], out=part)
                    fresh = False
                else:
                    part.add_(band[first : first + half], alpha=taps[t])
    return result


def _wrapped(x: Tensor, before: int, after: int) -> Tensor:
    """Continue the first axis periodically."""
    n = len(x)
    if max(before, after) <= n:
        return torch.cat([x[n - before :], x, x[:after]])
    return x.index_select(0, torch.arange(-before, n + after, device=x.device) % n)
