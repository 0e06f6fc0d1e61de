"""Numerical phantoms."""

from collections.abc import Iterator

from recon import Component, hookimpl
from recon.plugin import lazy

__getattr__ = lazy(
    __name__,
    {
        "Ellipses": ".ellipses",
        "MulticoilPhantom": ".multicoil",
        "RandomEllipses": ".random_ellipses",
        "SheppLogan": ".shepp_logan",
        "coil_maps": ".multicoil",
        "modified_shepp_logan": ".shepp_logan",
    },
)


@hookimpl
def recon_components() -> Iterator[Component]:
    """Offer the datasets."""
    yield Component(
        kind="dataset",
        name="shepp_logan",
        target="recon_datasets.phantoms.shepp_logan:SheppLogan",
        summary="The modified Shepp-Logan phantom, of any size",
        examples="recon_datasets.phantoms.examples:shepp_logan",
        tags=("ct", "mri", "synthetic"),
        references=("10.1109/TNS.1974.6499235",),
    )
    yield Component(
        kind="dataset",
        name="random_ellipses",
        target="recon_datasets.phantoms.random_ellipses:RandomEllipses",
        summary="Random ellipses in a body, drawn by (seed, index)",
        examples="recon_datasets.phantoms.examples:random_ellipses",
        tags=("ct", "mri", "synthetic"),
    )
    yield Component(
        kind="dataset",
        name="multicoil_phantom",
        target="recon_datasets.phantoms.multicoil:MulticoilPhantom",
        summary="Complex phantoms with smooth coil maps and their multi-coil k-space",
        examples="recon_datasets.phantoms.examples:multicoil_phantom",
        tags=("mri", "synthetic"),
    )
