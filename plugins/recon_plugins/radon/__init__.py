"""Radon transform: computed tomography with parallel and fan beams."""

from collections.abc import Iterator

from recon import Component, hookimpl
from recon.plugin import lazy

__getattr__ = lazy(
    __name__,
    {
        "FBP": ".fbp",
        "FanBeam": ".geometry",
        "FanBeamRadon": ".operators",
        "Grid": ".grid",
        "LimitedAngle": ".sampling",
        "ParallelBeam": ".geometry",
        "Radon": ".operators",
        "RayTransform": ".ray_transform",
        "SparseViews": ".sampling",
    },
)


@hookimpl
def recon_components() -> Iterator[Component]:
    """Offer the operators and filtered back-projection."""
    yield Component(
        kind="operator",
        name="radon",
        target="recon_plugins.radon.operators:Radon",
        summary="Line integrals along parallel beams (computed tomography), in mm, with a matched adjoint",
        examples="recon_plugins.radon.examples:radon",
        tags=("ct", "linear"),
        references=("10.1109/TMI.1982.4307572",),
    )
    yield Component(
        kind="operator",
        name="fan_beam",
        target="recon_plugins.radon.operators:FanBeamRadon",
        summary="Line integrals from a turning source to a flat or curved detector, in mm, with a matched adjoint",
        examples="recon_plugins.radon.examples:fan_beam",
        tags=("ct", "linear"),
        references=("10.1109/TMI.1982.4307572",),
    )
    yield Component(
        kind="operator",
        name="ray_transform",
        target="recon_plugins.radon.ray_transform:RayTransform",
        summary="Line integrals along the rays of any parallel or fan beam, in mm, with a matched adjoint",
        examples="recon_plugins.radon.examples:ray_transform",
        tags=("ct", "linear"),
        references=("10.1109/TMI.1982.4307572",),
    )
    yield Component(
        kind="operator",
        name="sparse_views",
        target="recon_plugins.radon.sampling:SparseViews",
        summary="Keep every k-th view of a sinogram, so many equispaced ones, or listed ones",
        examples="recon_plugins.radon.examples:sparse_views",
        tags=("ct", "linear"),
    )
    yield Component(
        kind="operator",
        name="limited_angle",
        target="recon_plugins.radon.sampling:LimitedAngle",
        summary="Keep the views of a sinogram whose angles lie on an arc",
        examples="recon_plugins.radon.examples:limited_angle",
        tags=("ct", "linear"),
    )
    yield Component(
        kind="method",
        name="fbp",
        target="recon_plugins.radon.fbp:FBP",
        summary="Filtered back-projection of parallel- and fan-beam sinograms, short scans among them",
        examples="recon_plugins.radon.examples:fbp",
        tags=("ct", "classical"),
        references=("10.1137/1.9780898719277",),
    )
