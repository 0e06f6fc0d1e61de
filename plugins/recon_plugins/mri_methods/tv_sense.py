"""SENSE with total variation."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal, Self

import torch
from annotated_types import Gt
from torch import Tensor

import recon
from recon.interfaces import CoilOperator
from recon.iteration import Callback, IterativeMethod, Problem, State, Stop, per_item
from recon.methods import Output, finish, linear
from recon.operators import Operator
from recon.schema import Part
from recon.sensitivities import MapsLike, with_sensitivities
from recon_plugins.mri_methods.sense import best_multiple, combined, peaks

__all__ = ["TVSense"]


@dataclass(frozen=True, kw_only=True)
class TVSense:
    """SENSE with isotropic total variation: x = argmin 1/2 |A x - y|^2 + weight scale TV(x).

    `pdhg` (or `tv`) with sensitivities estimated from the data, and a weight that does not depend on the units of
    k-space. Where the operator brings its sensitivities, these are taken.

    Shapes: y (batch, coil, *k) -> x (batch, 1, *space), or what an operator with its own sensitivities takes.

    Parameters
    ----------
    weight
        Weight of TV, as a part of `scale`.
    scale
        What `weight` is relative to, in units of the image and of |A|^2, which is 1 for Cartesian k-space: None takes
        the largest magnitude of the zero-filled image, of each item; 1 makes `weight` absolute.
    solver
        ``pdhg``: primal-dual hybrid gradients; ``tv``: accelerated proximal gradients.
    iterations
        Most steps to take.
    maps
        Calibration that estimates the sensitivities where the operator brings none: a method such as ``espirit``, by
        name or config.
    calibration
        k-space to estimate them from instead of y, of its shape, with zeros where nothing was measured.
    stop
        Rules to stop earlier by; see `recon.iteration.Stop`; the noise is in units of k-space over `scale`.
    output
        What becomes of a complex image: ``as_is``, its ``magnitude`` or its ``real`` part.

    References
    ----------
    Block, Uecker and Frahm, Magn. Reson. Med. 57:1086, 2007, doi:10.1002/mrm.21236;
    Chambolle and Pock, J. Math. Imaging Vis. 40:120, 2011, doi:10.1007/s10851-010-0251-1
    """

    weight: Annotated[float, Gt(0)] = 0.002
    scale: Annotated[float, Gt(0)] | None = None
    solver: Literal["pdhg", "tv"] = "pdhg"
    iterations: Annotated[int, Gt(0)] = 100
    maps: Annotated[MapsLike, Part("method")] = "espirit"
    calibration: Tensor | None = None
    stop: Stop | None = None
    output: Output = "as_is"

    def with_calibration(self, data: Tensor) -> Self:
        """Return the method that takes its sensitivities from `data`, k-space of the shape of the measurement."""
        return replace(self, calibration=data)

    def __call__(self, y: Tensor, operator: Operator, *, callback: Callback | None = None) -> Tensor:
        """Reconstruct; `callback` sees each state of `iterate`, and ends the iteration by returning something true."""
        x = y
        for state, unit in self._iterate(y, operator):
            x = per_item(unit, y) * state.x
            if callback is not None and callback(state):
                break
        return finish(combined(x) if isinstance(linear(operator), CoilOperator) else x, self.output)

    def iterate(self, y: Tensor, operator: Operator) -> Iterator[State]:
        """Yield the state of the start and of each step; images are in units of `scale`."""
        for state, _ in self._iterate(y, operator):
            yield state

    @torch.no_grad()
    def _iterate(self, y: Tensor, operator: Operator) -> Iterator[tuple[State, Tensor]]:
        sense = with_sensitivities(operator, y, self.maps, calibration=self.calibration)
        problem = Problem(y, sense)
        if self.scale is None:
            unit = peaks(best_multiple(problem))
        else:
            unit = torch.full((len(y),), self.scale, device=y.device, dtype=problem.backprojection.real.dtype)
        # Both terms scale with the square of the image, once the weight is relative to it.
        method: Any = recon.build(
            "method", self.solver, weight=self.weight, iterations=self.iterations, stop=self.stop or Stop()
        )
        assert isinstance(method, IterativeMethod)  # noqa: S101 - both are
        for state in method.iterate(problem.y / per_item(unit, y), sense):
            yield state, unit
