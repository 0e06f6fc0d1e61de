"""Compressed sensing with wavelets."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

import torch
import torch.nn.functional as F
from annotated_types import Ge, Gt
from torch import Tensor

from recon.iteration import Problem, Step, inner, per_item
from recon.solvers import squared_norm
from recon_plugins.mri_methods.sense import SenseMethod, best_multiple, peaks
from recon_plugins.mri_methods.wavelets import Wavelet, WaveletName

__all__ = ["L1Wavelet"]

MOST_MOMENTUM = 0.7
"""Of steps with shifts. Full momentum adds up what differs from one shift to the next: images drift away, 2 dB in a
hundred steps on a brain at acceleration 4; with none, they take three times the steps."""


@dataclass(frozen=True, kw_only=True)
class L1Wavelet(SenseMethod):
    """Least squares with sparse wavelet details: x = argmin 1/2 |A x - y|^2 + weight scale sum |details of W x|.

    W is an orthogonal periodic wavelet transform, each image by itself, of an image that is continued to a multiple of
    2^levels by pixels that are unknown too. The coarsest approximation is not penalised; moduli are those of complex
    numbers. With several sets of sensitivities this is ESPIRiT with soft SENSE and wavelets.

    Solved by accelerated proximal gradients (FISTA). The step is exact: 1 / L with L estimated from |A|^2 and raised
    where a step shows it to be too small, which costs nothing, as A^H A of the iterates is known anyway. The momentum
    restarts where it points uphill. An iteration takes one `operator.normal`.

    With `shifts`, each step shrinks the details at a place of the wavelets' grid of its own, the same in every run: in
    effect a shift-invariant transform, without blocks, and 2 to 3 dB better on brains at acceleration 4. Then no single
    objective is minimised, momentum is limited, and `objective` is that of the unshifted grid.

    Shapes: y (batch, coil, *k) -> x (batch, 1, *space), or what an operator with its own sensitivities takes.

    Parameters
    ----------
    weight
        Weight of the details, as a part of `scale`.
    scale
        What `weight` is relative to, in units of the image and of |A|^2, which is 1 for Cartesian k-space: None takes
        the largest magnitude of the zero-filled image, of each item; 1 makes `weight` absolute, such as sigpy's lamda.
    wavelet
        ``haar``, ``db1`` to ``db10`` or ``sym2`` to ``sym8``.
    levels
        Levels of the transform.
    shifts
        Whether each step has its own shift of the wavelets' grid.
    iterations
        Most steps to take.
    maps
        Calibration that estimates the sensitivities where the operator brings none: a method such as ``espirit``, by
        name or config.
    calibration
        k-space to estimate them from instead of y, of its shape, with zeros where nothing was measured.
    stop
        Rules to stop earlier by; see `recon.iteration.Stop`.
    start
        Method whose image is the first; by default the multiple of A^H y that fits best.
    constraint
        ``none``; ``real`` images; ``nonnegative`` (and real) images, which are made so after each step.
    output
        What becomes of a complex image: ``as_is``, its ``magnitude`` or its ``real`` part.

    References
    ----------
    Lustig, Donoho and Pauly, Magn. Reson. Med. 58:1182, 2007, doi:10.1002/mrm.21391;
    Beck and Teboulle, SIAM J. Imaging Sci. 2:183, 2009, doi:10.1137/080716542 (the algorithm);
    Uecker et al., Magn. Reson. Med. 71:990, 2014, doi:10.1002/mrm.24751 (several sets of sensitivities);
    O'Donoghue and Candes, Found. Comput. Math. 15:715, 2015, doi:10.1007/s10208-013-9150-3 (the restarts)
    """

    weight: Annotated[float, Gt(0)] = 0.002
    scale: Annotated[float, Gt(0)] | None = None
    wavelet: WaveletName = "db4"
    levels: Annotated[int, Ge(1)] = 4
    shifts: bool = True
    iterations: Annotated[int, Gt(0)] = 60

    def _initial(self, problem: Problem) -> Tensor:
        return best_multiple(problem)

    def _objective(self, problem: Problem, x: Tensor, residual: Tensor) -> Tensor:
        transform = Wavelet(name=self.wavelet, levels=self.levels)
        details = transform(_padded(x, transform))
        transform.approximation(details).zero_()
        return super()._objective(problem, x, residual) + self._threshold(problem) * details.abs().flatten(1).sum(1)

    def _threshold(self, problem: Problem) -> Tensor:
        """Return weight times scale of each item, (batch,)."""
        if self.scale is not None:
            return torch.full((len(problem.y),), self.weight * self.scale, device=problem.y.device)
        return self.weight * peaks(best_multiple(problem))

    def _steps(self, problem: Problem, step: Step) -> Iterator[Step]:
        transform = Wavelet(name=self.wavelet, levels=self.levels)
        space = step.x.shape[2:]
        b = problem.backprojection
        threshold = per_item(self._threshold(problem), b)
        # Power iteration approaches |A|^2 from below; what it lacks, the steps find out.
        lipschitz = per_item(squared_norm(problem.normal, b, iterations=10), b)
        lipschitz = torch.where(lipschitz > 0, lipschitz, 1)
        generator = torch.Generator().manual_seed(0)
        x = _padded(step.x, transform)
        nx = problem.normal(step.x)
        z, nz, t = x, nx, torch.ones_like(lipschitz)
        most = MOST_MOMENTUM if self.shifts else 1.0
        while True:
            shift = self._shift(generator, len(space))
            moved = z.clone()
            _cropped(moved, space).sub_((nz - b) / lipschitz)
            new = _shrunk(moved, threshold / lipschitz, transform, shift)
            if self.constraint == "nonnegative":
                new = new.clamp_(min=0)
            n_new = problem.normal(_cropped(new, space))
            d, nd = _cropped(new - z, space), n_new - nz
            curvature, length = per_item(inner(d, nd), b), per_item(inner(d, d), b)
            too_long = curvature > 1.0001 * lipschitz * length
            lipschitz = torch.where(too_long, 1.05 * curvature / torch.where(length > 0, length, 1), lipschitz)
            uphill = per_item(inner(z - new, new - x), b) > 0
            t_next = torch.where(uphill | too_long, 1, (1 + (1 + 4 * t**2).sqrt()) / 2)
            momentum = torch.where(uphill | too_long, 0, ((t - 1) / t_next).clamp(max=most))
            # A step that was too long is not taken.
            new, n_new = torch.where(too_long, x, new), torch.where(too_long, nx, n_new)
            z, nz = new + momentum * (new - x), n_new + momentum * (n_new - nx)
            x, nx, t = new, n_new, t_next
            yield Step(problem, _cropped(x, space), refused=too_long.flatten())

    def _shift(self, generator: torch.Generator, axes: int) -> list[int]:
        if not self.shifts:
            return [0] * axes
        shift: list[int] = torch.randint(2**self.levels, (axes,), generator=generator).tolist()
        return shift


def _shrunk(x: Tensor, threshold: Tensor, transform: Wavelet, shift: list[int]) -> Tensor:
    """Return the proximal map of threshold |details|_1 at x, with the wavelets' grid shifted."""
    axes = list(range(2, x.ndim))
    coefficients = transform(torch.roll(x, shift, axes) if any(shift) else x)
    kept = transform.approximation(coefficients).clone()
    size = coefficients.abs()
    factor = (size - threshold).clamp_(min=0).div_(size.clamp_(min=torch.finfo(size.dtype).tiny))
    coefficients.mul_(factor)
    transform.approximation(coefficients).copy_(kept)
    result = transform.inverse(coefficients)
    return torch.roll(result, [-s for s in shift], axes) if any(shift) else result


def _padded(x: Tensor, transform: Wavelet) -> Tensor:
    size = transform.padded(x.shape[2:])
    lacking = [want - have for have, want in zip(x.shape[2:], size, strict=True)]
    return F.pad(x, [n for lack in reversed(lacking) for n in (0, lack)])


def _cropped(x: Tensor, space: torch.Size) -> Tensor:
    for axis, n in enumerate(space, start=2):
        x = x.narrow(axis, 0, n)
    return x
