"""Scans of every kind, and how far ASTRA's CUDA kernels are from our projectors there: on stand-ins and on a GPU.

Run on a GPU it prints the figures: python tests/plugins/astra/scans.py
"""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor

from recon.operators import LinearOperator
from recon_plugins.astra import AstraProjection
from recon_plugins.radon import ConeBeam, FanBeam, FanBeamRadon, Parallel3D, Radon, RayTransform, VolumeTransform

VIEWS = tuple(0.13 + 2 * torch.pi * i / 11 for i in range(11))
HELIX = tuple(0.2 + 0.8 * i for i in range(16))
ANISOTROPIC = {"size": (18, 24, 28), "pixel": (1.3, 0.9, 1.1), "centre": (2.0, -1.5, 1.0)}
CUBIC = {"size": (24, 24, 24), "pixel": 0.8}
# Wide cones (up to 30 degrees), so that what rays that meet the detector aslant weigh is seen.
NEAR = {"source_distance": 34.0, "detector_distance": 12.0}

SCANS: dict[str, LinearOperator] = {
    "parallel": VolumeTransform(geometry=Parallel3D(VIEWS, (30, 44), (1.1, 1.0), (0.6, -0.7)), **ANISOTROPIC),
    "parallel, tilted": VolumeTransform(
        geometry=Parallel3D(VIEWS, (40, 46), 1.1, (0.6, -0.7), (0.4, -0.3, 0.2)), **ANISOTROPIC
    ),
    "cone": VolumeTransform(geometry=ConeBeam(VIEWS, (48, 52), 1.1, **NEAR), **CUBIC),
    "cone, shifted and tilted": VolumeTransform(
        geometry=ConeBeam(VIEWS, (50, 72), (1.2, 1.0), **NEAR, offset=(1.0, -2.0), tilt=(0.2, -0.15, 0.1)),
        **ANISOTROPIC,
    ),
    "helix": VolumeTransform(geometry=ConeBeam(HELIX, (22, 72), (1.3, 1.0), **NEAR, pitch=8.0), **ANISOTROPIC),
    "curved": VolumeTransform(
        geometry=ConeBeam(VIEWS, (50, 66), (1.2, 1.0), **NEAR, offset=(1.0, -2.0), detector="curved"), **ANISOTROPIC
    ),
    "images": Radon(size=(28, 36), angles=21, pixel=(0.9, 1.2), bin_size=0.8, centre=(2.0, -1.0), offset=0.3),
    "fan": FanBeamRadon(size=(32, 32), angles=24, pixel=0.9, **NEAR),
    "fan, tilted": RayTransform(
        geometry=FanBeam(VIEWS, 84, 0.9, 34.0, 12.0, offset=-1.4, tilt=0.25), size=(28, 32), pixel=(1.1, 0.8),
        centre=(2.0, 1.0),
    ),
}  # fmt: skip


def blobs(projector: LinearOperator, *, batch: int = 1) -> Tensor:
    """Smooth ellipsoids aside from the centre, which neither turns nor mirrors leave as they are; every one other."""
    axes = [torch.linspace(-1, 1, n) for n in projector.size]
    grid = torch.stack(torch.meshgrid(*axes, indexing="ij"))
    images = []
    for i in range(batch):
        image = torch.zeros(*projector.size)
        for place, widths, value in (
            ((0.3, -0.25, 0.2), (0.4, 0.5, 0.45), 1.0),
            ((-0.35, 0.3, 0.35 - 0.2 * i), (0.35, 0.3, 0.4), -0.6),
            ((0.1, 0.35, -0.4), (0.5, 0.3, 0.3), 0.8 + 0.1 * i),
        ):
            middle, width = (torch.tensor(v[-len(axes) :]).view(-1, *[1] * len(axes)) for v in (place, widths))
            radius = ((grid - middle) / width).square().sum(0).sqrt()
            image += value * torch.sigmoid(6 * (1 - radius))
        images.append(image)
    return torch.stack(images)[:, None]


def waves(projector: LinearOperator) -> Tensor:
    """Smooth projections that are largest towards one corner of the detector."""
    y = torch.ones(projector.sinogram_size)
    for axis, count in enumerate(projector.sinogram_size[1:], 1):
        place = torch.linspace(0, 1, count).view(-1, *[1] * (y.ndim - 1 - axis))
        y = y * (0.1 + place.square()) * torch.sin(torch.pi * (place * 0.98 + 0.01)).sqrt()
    view = torch.arange(projector.sinogram_size[0]).view(-1, *[1] * (y.ndim - 1))
    return (y * (1 + 0.3 * torch.cos(view.float())))[None, None]


@cache
def reference(name: str) -> tuple[Tensor, Tensor]:
    """Our projections of two images, and our back-projection of waves, by sparse matrices in double precision."""
    ours = SCANS[name].with_(backend="sparse")
    return ours(blobs(ours, batch=2).double()), ours.adjoint(waves(ours).double())


def relative(a: Tensor, b: Tensor) -> float:
    a, b = a.detach().double().cpu(), b.double()
    return float(torch.linalg.vector_norm(a - b) / torch.linalg.vector_norm(b))


def inner(x: Tensor) -> Tensor:
    """Means over cells of the inside of an image or volume: an exact adjoint of rays has a texture, others have not."""
    pool = torch.nn.functional.avg_pool3d if x.ndim == 5 else torch.nn.functional.avg_pool2d
    return pool(x[(..., *[slice(3, -3)] * (x.ndim - 2))].double().cpu(), 4)


def scale(theirs: LinearOperator, device: str) -> float:
    """<A x, y> / <x, B y> for smooth x and y: 1 where the back-projection B has the scale of the adjoint."""
    x, y = blobs(theirs.projector).abs().to(device), waves(theirs.projector).to(device)
    return float((theirs(x).double() * y).sum() / (x * theirs.adjoint(y).double()).sum())


def figures(name: str, device: str) -> tuple[float, float, float]:
    """Relative difference of projections and of smoothed back-projections, and the scale of the back-projection."""
    theirs, (y, x) = AstraProjection(projector=SCANS[name], model="cuda"), reference(name)
    forward = relative(theirs(blobs(SCANS[name], batch=2).to(device)), y)
    back = relative(inner(theirs.adjoint(waves(SCANS[name]).to(device))), inner(x))
    return forward, back, scale(theirs, device)


if __name__ == "__main__":
    print(f"{'':26s} forward    back   scale")
    for scan in SCANS:
        try:
            print(f"{scan:26s} {'{:.1e} {:.1e} {:.4f}'.format(*figures(scan, 'cuda'))}", flush=True)
        except Exception as error:  # noqa: BLE001 - the others go on
            print(f"{scan:26s} {type(error).__name__}: {error}", flush=True)
