"""The non-uniform Fourier transform as an operator."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Annotated, Any, Literal, cast
from weakref import WeakKeyDictionary

import torch
from annotated_types import Gt, Lt
from torch import Tensor, nn

import recon
from recon.errors import UsageError
from recon.kspace import as_complex
from recon.operators import LinearOperator, check_shape
from recon_plugins.nufft.toeplitz import apply_toeplitz, cheaper, toeplitz_kernel
from recon_plugins.nufft.trajectories import (
    Kooshball,
    Radial,
    Spiral,
    StackOfStars,
    Trajectory,
    points_of,
    trajectory_from,
)
from recon_plugins.nufft.transform import to_image, to_samples
from recon_plugins.nufft.units import Unit, to_radians

__all__ = ["NUFFT"]

TrajectoryLike = Tensor | Sequence[Any] | Mapping[str, Any] | Trajectory


class NUFFT(LinearOperator):
    """Fourier transform at arbitrary frequencies: radial, spiral and other non-Cartesian MRI, in 2-D and 3-D.

    y_j = N^(-1/2) sum_r x_r exp(-2 pi i sum_d k_jd (r_d - n_d // 2) / n_d), with N = prod(n). On the full Cartesian
    grid k = -(n // 2), ..., this is the centred orthonormal transform of `fourier`. The adjoint has the same
    factor, and is adjoint to rounding whatever `eps` is; both hold to a relative error of about `eps`.

    Shapes: x (batch, channel, *size) -> y (batch, channel, *samples), each channel by itself. With sensitivity maps
    s_c, x (batch, 1, *size) -> y (batch, coil, *samples) is the SENSE model y_c = F (s_c x), and with several sets of
    maps x (batch, set, *size) -> y_c = F sum_m s_mc x_m. Real or complex -> complex.

    Gradients of any order reach the image, the maps, and the trajectory, if that requires gradients.

    Parameters
    ----------
    trajectory
        Frequencies (*samples, dimensions) along (y, x) or (z, y, x); or the settings of one, such as ``{"kind":
        "radial", "spokes": 50, "angles": "golden"}``, see `Radial`, `Spiral`, `Kooshball` and `StackOfStars`. None if
        the data bring them, see `frames`.
    size
        Size of the image: (y, x) or (z, y, x).
    maps
        Coil sensitivities (coil, *size), (batch, coil, *size), or (batch, set, coil, *size) for several sets; or the
        settings of simulated ones, such as ``{"coils": 8}``, as for `multicoil_fourier`. None for coil images.
    unit
        Unit of a trajectory given as numbers: ``cycles_per_fov`` (range [-n / 2, n / 2)), ``cycles_per_pixel``
        ([-1/2, 1/2)) or ``radians_per_pixel`` ([-pi, pi)). None: cycles per field of view, and what looks like another
        unit is refused.
    frames
        Whether each item of a batch has a trajectory of its own: (batch, *samples, dimensions). Frames of a series are
        then the items of a batch.
    eps
        Relative accuracy. At 1e-4 (the default) and 1e-3 transforms take the same time, at 1e-6 about twice as long. In
        single precision at best about 1e-6 is reached.
    toeplitz
        Whether `normal` convolves on twice the grid instead of going to the samples and back, which is exact but for
        `eps`: always, never, or (auto) where it takes less time.

    Raises
    ------
    UsageError
        If trajectory, size and maps do not fit one another, or the trajectory is out of range or likely of another
        unit.

    References
    ----------
    Fessler and Sutton, IEEE Trans. Signal Process. 51:560, 2003, doi:10.1109/TSP.2002.807005;
    Barnett et al., SIAM J. Sci. Comput. 41:C479, 2019, doi:10.1137/18M120885X (finufft);
    Fessler et al., IEEE Trans. Signal Process. 53:3393, 2005, doi:10.1109/TSP.2005.853152 (Toeplitz)
    """

    complex_input = True
    complex_output = True
    per_item = ("trajectory", "maps")

    def __init__(
        self,
        *,
        size: Sequence[Annotated[int, Gt(0)]],
        trajectory: TrajectoryLike | None = None,
        maps: Tensor | Sequence[Any] | Mapping[str, Any] | None = None,
        unit: Unit | None = None,
        frames: bool = False,
        eps: Annotated[float, Gt(0), Lt(1)] = 1e-4,
        toeplitz: bool | Literal["auto"] = "auto",
    ) -> None:
        super().__init__()
        self.size = tuple(int(n) for n in size)
        if len(self.size) not in (2, 3):
            raise UsageError(f"size is (y, x) or (z, y, x), not {self.size}")
        self.unit, self.frames, self.eps, self.toeplitz = unit, frames, eps, toeplitz
        self._set_trajectory(trajectory)
        self._set_maps(maps)
        maps = self.maps
        sets, coils = (None, None) if maps is None else _leading(maps.shape[: -self.dimensions])[1:]
        self.input_shape = (sets, *self.size)
        if self._samples:
            self.output_shape = (coils, *self._samples)

    @property
    def dimensions(self) -> int:
        """Number of spatial axes."""
        return len(self.size)

    @property
    def samples(self) -> tuple[int, ...]:
        """Shape of the samples of an item; () while the data are still to bring a trajectory."""
        return self._samples

    @property
    def maps(self) -> Tensor | None:
        """The sensitivities, complex."""
        return None if self._maps is None else torch.view_as_complex(self._maps)

    @property
    def convolves(self) -> bool:
        """Whether `normal` convolves."""
        if self.toeplitz != "auto":
            return self.toeplitz
        return cheaper(math.prod(self._samples), self.size, self.eps)

    def points(self) -> Tensor:
        """Return the frequencies in radians per pixel, (M, dimensions) or, with `frames`, (batch, M, dimensions).

        Raises
        ------
        UsageError
            If the data were to bring a trajectory and did not.
        """
        if self._points is not None:
            return self._points
        if self.trajectory is None:
            raise UsageError(
                "NUFFT has no trajectory: give one, or data whose items hold 'trajectory' (*samples, dimensions)"
            )
        return self._radians(cast("Tensor", self.trajectory))

    def cycles(self) -> Tensor:
        """Return the frequencies in cycles per field of view, in the shapes of `points`."""
        points = self.points()
        return points * points.new_tensor([n / (2 * math.pi) for n in self.size])

    def forward(self, x: Tensor) -> Tensor:
        """Measure. Shapes: x (batch, channel or set, *size) -> y (batch, channel or coil, *samples)."""
        y = self._sample(self._expand(x))
        return y.reshape(*y.shape[:2], *self._samples)

    def adjoint(self, y: Tensor) -> Tensor:
        """Sum back without density compensation, for which see the method `gridding`.

        Shapes: y (batch, channel or coil, *samples) -> x (batch, channel or set, *size).
        """
        self.points()
        check_shape(self, y, self.output_shape)
        return self._combine(self._spread(as_complex(y).flatten(2)))

    def normal(self, x: Tensor) -> Tensor:
        """Apply A^H A, as a convolution or by way of the samples, see `toeplitz`."""
        images = self._expand(x)
        if self.convolves:
            return self._combine(apply_toeplitz(self._kept_kernel(images), images))
        return self._combine(self._spread(self._sample(images)))

    def weighted_normal(self, weights: Tensor) -> Callable[[Tensor], Tensor]:
        """Return the map x -> A^H W A x of weighted least squares; what it needs is computed once, here.

        Parameters
        ----------
        weights
            Real weights W, in the precision of images: (*samples), or (batch, 1, *samples) with `frames`.
        """
        flat = weights.flatten(2 if self.frames else 0)
        if self.convolves:
            kernel = self._kernel(as_complex(flat[:0]).dtype, flat[:, 0] if self.frames else flat)
            return lambda x: self._combine(apply_toeplitz(kernel, self._expand(x)))
        return lambda x: self._combine(self._spread(self._sample(self._expand(x)) * flat))

    def with_maps(self, maps: Tensor) -> NUFFT:
        """Return the operator of one image, or of one for each set of maps, seen by all coils.

        Shapes: maps (coil, *size), (batch, coil, *size) or (batch, set, coil, *size).
        """
        return self.with_(maps=maps)

    def _set_trajectory(self, given: TrajectoryLike | None) -> None:
        self.trajectory: Tensor | Trajectory | None
        points: Tensor | None = None
        self._samples: tuple[int, ...] = ()
        if given is None:
            self.trajectory = None
        elif isinstance(given, (Mapping, Radial, Spiral, Kooshball, StackOfStars)):
            if self.frames:
                raise UsageError("frames=True needs a trajectory for each frame, as numbers or with the data")
            self.trajectory = trajectory_from(given)
            cycles = points_of(self.trajectory, self.size)
            self._samples = tuple(cycles.shape[:-1])
            points = to_radians(cycles, self.size, "cycles_per_fov").flatten(0, -2)
        else:
            tensor = given if isinstance(given, Tensor) else torch.as_tensor(given, dtype=torch.float64)
            points = self._radians(tensor)
            self._samples = tuple(tensor.shape[1 if self.frames else 0 : -1])
            if isinstance(tensor, nn.Parameter):
                self.trajectory = tensor
            else:
                self.register_buffer("trajectory", tensor, persistent=False)
            if tensor.requires_grad:
                points = None  # of each call anew, so that gradients pass
        self.register_buffer("_points", points, persistent=False)
        self._points: Tensor | None

    def _radians(self, trajectory: Tensor) -> Tensor:
        if self.frames and trajectory.ndim < 3:
            raise UsageError(f"trajectories of frames are (batch, *samples, dimensions), not {tuple(trajectory.shape)}")
        return to_radians(trajectory, self.size, self.unit).flatten(1 if self.frames else 0, -2)

    def _set_maps(self, given: Tensor | Sequence[Any] | Mapping[str, Any] | None) -> None:
        if isinstance(given, Mapping):
            coils: Any = recon.build("operator", "multicoil_fourier", maps=given, dimensions=self.dimensions)
            given = coils.maps_for(torch.zeros(1, 1, *self.size, dtype=torch.complex128))
        if given is None:
            self.register_buffer("_maps", None, persistent=False)
            return
        maps = as_complex(torch.as_tensor(given)).resolve_conj()
        shape = tuple(maps.shape)
        if maps.ndim - self.dimensions not in (1, 2, 3) or shape[-self.dimensions :] != self.size:
            raise UsageError(
                f"maps of shape {shape} do not fit: they are (coil, *size), (batch, coil, *size) or (batch, set, coil, "
                f"*size) with size {self.size}"
            )
        # Kept as real numbers: nn.Module.to(dtype) would drop the imaginary part of a complex buffer.
        self.register_buffer("_maps", torch.view_as_real(maps), persistent=False)
        self._maps: Tensor | None

    def _maps_for(self, x: Tensor) -> Tensor | None:
        maps = self.maps
        if maps is None:
            return None
        maps = maps.to(x.device, as_complex(x[:0]).dtype)
        return maps.reshape(*_leading(maps.shape[: -self.dimensions]), *self.size)

    def _expand(self, x: Tensor) -> Tensor:
        self.points()
        check_shape(self, x, self.input_shape)
        maps = self._maps_for(x)
        if maps is None:
            return as_complex(x)
        self._check_batch(maps, x)
        return maps[:, 0] * x if maps.shape[1] == 1 else (maps * x[:, :, None]).sum(1)

    def _combine(self, images: Tensor) -> Tensor:
        maps = self._maps_for(images)
        if maps is None:
            return images
        self._check_batch(maps, images)
        return (maps.conj() * images[:, None]).sum(2)

    def _check_batch(self, maps: Tensor, x: Tensor) -> None:
        if len(maps) not in (1, len(x)):
            raise UsageError(f"coil maps of {len(maps)} items do not fit a batch of {len(x)}")

    def _sample(self, images: Tensor) -> Tensor:
        return self._each(partial(to_samples, eps=self.eps, scale=self._scale), images)

    def _spread(self, samples: Tensor) -> Tensor:
        return self._each(partial(to_image, size=self.size, eps=self.eps, scale=self._scale), samples)

    def _each(self, function: Callable[[Tensor, Tensor], Tensor], data: Tensor) -> Tensor:
        """Apply a transform to all items, with `frames` by the points of each."""
        points = self.points()
        if not self.frames:
            return function(data, points)
        if len(points) not in (1, len(data)):
            raise UsageError(f"{len(points)} trajectories do not fit a batch of {len(data)} frames")
        if len(points) == 1:
            return function(data, points[0])
        return torch.stack([function(item, frame) for item, frame in zip(data, points, strict=True)])

    @property
    def _scale(self) -> float:
        return 1 / math.sqrt(math.prod(self.size))

    def _kernel(self, dtype: torch.dtype, weights: Tensor | None = None) -> Tensor:
        points, make = self.points(), partial(toeplitz_kernel, size=self.size, eps=self.eps, dtype=dtype)
        if not self.frames:
            return make(points, weights=weights)
        of_frames: Sequence[Tensor | None] = [None] * len(points) if weights is None else list(weights)
        return torch.stack([make(p, weights=w) for p, w in zip(points, of_frames, strict=True)])[:, None]

    def _kept_kernel(self, images: Tensor) -> Tensor:
        if self._points is None:  # it has gradients
            return self._kernel(images.dtype)
        kept, key = _kernels.setdefault(self, {}), (images.dtype, images.device)
        if key not in kept:
            kept[key] = self._kernel(images.dtype)
        return kept[key]


_kernels: WeakKeyDictionary[NUFFT, dict[tuple[torch.dtype, torch.device], Tensor]] = WeakKeyDictionary()
"""Of operators, which are values: a kernel is computed when it is first needed, and lives as long as its operator."""


def _leading(shape: Sequence[int]) -> tuple[int, int, int]:
    """Return (batch, set, coil) of maps by their leading axes."""
    batch, sets = (shape[0] if len(shape) > 1 else 1), (shape[1] if len(shape) > 2 else 1)
    return batch, sets, shape[-1]
