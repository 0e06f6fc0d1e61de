"""ASTRA Toolbox: its projectors for the scans of recon's own."""

from collections.abc import Iterator, Mapping

from recon import Component, hookimpl
from recon.plugin import lazy

__getattr__ = lazy(__name__, {"AstraProjection": ".operators"})


@hookimpl
def recon_components() -> Iterator[Component]:
    """Offer the operator."""
    yield Component(
        kind="operator",
        name="astra",
        target="recon_plugins.astra.operators:AstraProjection",
        summary="Line integrals by the ASTRA Toolbox, for the scan of any projector of images or, on CUDA, of volumes",
        examples="recon_plugins.astra.examples:astra",
        requires=("astra",),
        extra="astra",
        dtypes=("float32",),
        tags=("ct", "linear"),
        references=("10.1364/OE.24.025129",),
    )


@hookimpl
def recon_environment() -> Mapping[str, str]:
    """Tell which of ASTRA's kernels serve."""
    from recon_plugins.astra.availability import in_use

    return in_use()
