"""Radon transform: computed tomography with parallel and fan beams."""

from collections.abc import Iterator, Mapping

from recon import Component, hookimpl
from recon.plugin import lazy

__getattr__ = lazy(
    __name__,
    {
        "ConeBeam": ".cone_geometry",
        "ConeBeamRadon": ".cone_operators",
        "FBP": ".fbp",
        "FDK": ".fdk",
        "FanBeam": ".geometry",
        "FanBeamRadon": ".operators",
        "Grid": ".grid",
        "LimitedAngle": ".sampling",
        "Parallel3D": ".cone_geometry",
        "ParallelBeam": ".geometry",
        "Radon": ".operators",
        "Radon3D": ".cone_operators",
        "RayTransform": ".ray_transform",
        "SparseViews": ".sampling",
        "VolumeTransform": ".volume_transform",
        "from_astra": ".conventions",
        "from_deepinv": ".conventions",
        "from_odl": ".conventions",
        "from_skimage": ".conventions",
        "from_torch_radon": ".conventions",
        "astra_projections": ".cone_conventions",
        "astra_volume": ".cone_conventions",
        "odl_image": ".conventions",
        "odl_volume": ".cone_conventions",
        "to_astra": ".conventions",
        "volume_from_astra": ".cone_conventions",
        "volume_from_odl": ".cone_conventions",
        "unseen": ".field_of_view",
        "warn_if_unseen": ".field_of_view",
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
        kind="operator",
        name="parallel_3d",
        target="recon_plugins.radon.cone_operators:Radon3D",
        summary="Line integrals through volumes along parallel beams, in mm, with a matched adjoint",
        examples="recon_plugins.radon.cone_examples:parallel_3d",
        tags=("ct", "linear"),
        references=("10.1109/TMI.1982.4307572",),
    )
    yield Component(
        kind="operator",
        name="cone_beam",
        target="recon_plugins.radon.cone_operators:ConeBeamRadon",
        summary="Line integrals through volumes from a source on a circle or helix, in mm, with a matched adjoint",
        examples="recon_plugins.radon.cone_examples:cone_beam",
        tags=("ct", "linear"),
        references=("10.1109/TMI.1982.4307572",),
    )
    yield Component(
        kind="operator",
        name="volume_transform",
        target="recon_plugins.radon.volume_transform:VolumeTransform",
        summary="Line integrals through volumes along any parallel or cone beam, in mm, with a matched adjoint",
        examples="recon_plugins.radon.cone_examples:volume_transform",
        tags=("ct", "linear"),
        references=("10.1109/TMI.1982.4307572",),
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
    yield Component(
        kind="method",
        name="fdk",
        target="recon_plugins.radon.fdk:FDK",
        summary="Filtered back-projection of cone-beam projections, by Feldkamp, Davis and Kress",
        examples="recon_plugins.radon.cone_examples:fdk",
        tags=("ct", "classical"),
        references=("10.1364/JOSAA.1.000612",),
    )


@hookimpl
def recon_environment() -> Mapping[str, str]:
    """Tell which projector serves each device, and why."""
    from recon_plugins.radon.backends import in_use

    return in_use()
