"""Non-Cartesian MRI in a field that is off resonance."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal

import torch
from annotated_types import Gt
from torch import Tensor

from recon.errors import UsageError
from recon.kspace import as_complex
from recon.operators import LinearOperator, Table
from recon.schema import Part
from recon_plugins.nufft.operators import NUFFT
from recon_plugins.nufft.segments import Interpolation, segments_of, time_segments

__all__ = ["OffResonance"]


class OffResonance(LinearOperator):
    """Fourier transform at arbitrary frequencies, of spins that precess at frequencies of their own meanwhile.

    y_j = N^(-1/2) sum_r x_r exp(-2 pi i f_r t_j) exp(-2 pi i sum_d k_jd (r_d - n_d // 2) / n_d): a positive f turns the
    signal as k does. It is computed by time segmentation, y = sum_l b_l(t) F[exp(-2 pi i f tau_l) x] with F the `nufft`
    given, so it takes as long as that many transforms; the adjoint is exact.

    Shapes: as those of `nufft`: x (batch, channel or set, *size) -> y (batch, channel or coil, *samples).

    Parameters
    ----------
    nufft
        The transform on resonance, a `nufft`, with coil sensitivities or without.
    field_map
        Off-resonance frequency f of each pixel, (*size).
    times
        Time t of each sample in s, counted from the moment at which the field map adds no phase: (*samples), or what
        broadcasts to it, such as (S,) for readouts that are alike.
    unit
        Unit of the field map: ``Hz`` or ``rad/s``.
    segments
        Number L of segments; by default the smallest whose error is at most `tolerance`.
    tolerance
        Root mean square over the pixels of the error of exp(-2 pi i f t), at the worst time.
    interpolation
        How b is fitted to the field map: to its ``histogram``, or to all pixels (``least_squares``), see
        `segments.time_segments`.

    Raises
    ------
    UsageError
        If `nufft` is another operator, shapes do not fit, or times are likely in ms.

    References
    ----------
    Sutton, Noll and Fessler, IEEE Trans. Med. Imaging 22:178, 2003, doi:10.1109/TMI.2002.808360
    """

    complex_input = True
    complex_output = True

    def __init__(
        self,
        *,
        nufft: Annotated[LinearOperator, Part("operator")],
        field_map: Tensor | Sequence[Any],
        times: Tensor | Sequence[Any],
        unit: Literal["Hz", "rad/s"] = "Hz",
        segments: Annotated[int, Gt(0)] | None = None,
        tolerance: Annotated[float, Gt(0)] = 1e-3,
        interpolation: Interpolation = "histogram",
    ) -> None:
        super().__init__()
        if not isinstance(nufft, NUFFT):
            raise UsageError(f"off_resonance needs a nufft, not {type(nufft).__name__}")
        self.nufft = nufft
        field, seconds = (torch.as_tensor(value, dtype=torch.float64) for value in (field_map, times))
        self.register_buffer("field_map", field, persistent=False)
        self.register_buffer("times", seconds, persistent=False)
        self.unit, self.segments, self.tolerance, self.interpolation = unit, segments, tolerance, interpolation
        self._check(field, seconds)
        omega = field.cpu() * (2 * math.pi if unit == "Hz" else 1)
        distinct, which = torch.unique(seconds.cpu(), return_inverse=True)
        count = segments or segments_of(omega, distinct, tolerance)
        tau, b, self.error = time_segments(omega, distinct, count, interpolation)
        """Root mean square error of the segmentation at the worst time."""
        self.tau = tuple(tau.tolist())
        """Times of the segments in s."""
        self._omega, self._b = Table(omega), Table(b[:, which])
        self.input_shape, self.output_shape = nufft.input_shape, nufft.output_shape

    def forward(self, x: Tensor) -> Tensor:
        """Measure. Shapes: x (batch, channel or set, *size) -> y (batch, channel or coil, *samples)."""
        x = as_complex(x)
        b = self._b(x)
        parts = (b[i] * self.nufft(phase * x) for i, phase in enumerate(self._phases(x)))
        return torch.as_tensor(sum(parts))

    def adjoint(self, y: Tensor) -> Tensor:
        """Sum back. Shapes: y (batch, channel or coil, *samples) -> x (batch, channel or set, *size)."""
        y = as_complex(y)
        b = self._b(y).conj()
        parts = (phase.conj() * self.nufft.adjoint(b[i] * y) for i, phase in enumerate(self._phases(y)))
        return torch.as_tensor(sum(parts))

    def weighted_normal(self, weights: Tensor) -> Callable[[Tensor], Tensor]:
        """Return the map x -> A^H W A x; weights as for `NUFFT.weighted_normal`."""
        return lambda x: self.adjoint(weights * self.forward(x))

    def with_maps(self, maps: Tensor) -> OffResonance:
        """Return the operator of images seen by all coils; maps as for `NUFFT.with_maps`."""
        return self.with_(nufft=self.nufft.with_maps(maps))

    def _phases(self, like: Tensor) -> list[Tensor]:
        omega = self._omega(like.real)
        return [torch.polar(torch.ones_like(omega), -tau * omega) for tau in self.tau]

    def _check(self, field: Tensor, times: Tensor) -> None:
        assert isinstance(self.nufft, NUFFT)  # noqa: S101 - for the type checker
        if tuple(field.shape) != self.nufft.size:
            raise UsageError(f"a field map of shape {tuple(field.shape)} does not fit images of {self.nufft.size}")
        try:
            torch.broadcast_shapes(times.shape, self.nufft.samples)
            fits = times.ndim <= len(self.nufft.samples)
        except RuntimeError:
            fits = False
        if not fits or times.numel() == 0:
            raise UsageError(f"times of shape {tuple(times.shape)} do not fit samples of shape {self.nufft.samples}")
        if not bool(torch.isfinite(field).all() and torch.isfinite(times).all()):
            raise UsageError("field map and times must be finite: set the field map to 0 outside of the object")
        if float(times.abs().max()) > 1:
            raise UsageError(
                f"times reach {float(times.abs().max()):.4g} s, longer than any readout: they are likely in ms"
            )
