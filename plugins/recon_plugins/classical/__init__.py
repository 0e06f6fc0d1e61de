"""Reconstruction methods for any linear operator: classical ones, and the network of a finished run."""

from collections.abc import Iterator

from recon import Component, hookimpl
from recon.plugin import lazy

__getattr__ = lazy(
    __name__, {"AdjointMethod": ".methods", "NetworkMethod": ".network", "PinvMethod": ".methods", "TVMethod": ".tv"}
)


@hookimpl
def recon_components() -> Iterator[Component]:
    """Offer the methods."""
    yield Component(
        kind="method",
        name="adjoint",
        target="recon_plugins.classical.methods:AdjointMethod",
        summary="Adjoint of the operator: zero-filled image of k-space, unfiltered back-projection of sinograms",
        examples="recon_plugins.classical.examples:adjoint",
        tags=("classical",),
    )
    yield Component(
        kind="method",
        name="pinv",
        target="recon_plugins.classical.methods:PinvMethod",
        summary="Least squares by conjugate gradients, with optional damping (CG-SENSE for multi-coil k-space)",
        examples="recon_plugins.classical.examples:pinv",
        tags=("classical", "iterative"),
        references=("10.6028/jres.049.044",),
    )
    yield Component(
        kind="method",
        name="tv",
        target="recon_plugins.classical.tv:TVMethod",
        summary="Least squares with isotropic total variation, optionally of a real or nonnegative image",
        examples="recon_plugins.classical.examples:tv",
        tags=("classical", "iterative"),
        references=("10.1016/0167-2789(92)90242-F", "10.1109/TIP.2009.2028250", "10.1007/s10208-013-9150-3"),
    )
    yield Component(
        kind="method",
        name="network",
        target="recon_plugins.classical.network:NetworkMethod",
        summary="The trained model of a run folder",
        examples="recon_plugins.classical.examples:network",
        dtypes=("float32",),
        tags=("learned",),
    )
