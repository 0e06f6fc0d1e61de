"""MRI reconstruction without training: SENSE, compressed sensing, GRAPPA, partial Fourier."""

from collections.abc import Iterator

from recon import Component, hookimpl
from recon.plugin import lazy

__getattr__ = lazy(
    __name__,
    {
        "CGSense": ".cg_sense",
        "Grappa": ".grappa",
        "Homodyne": ".homodyne",
        "L1Wavelet": ".l1_wavelet",
        "POCS": ".pocs",
        "RootSumOfSquares": ".rss",
        "TVSense": ".tv_sense",
        "Wavelet": ".wavelets",
    },
)


@hookimpl
def recon_components() -> Iterator[Component]:
    """Offer the methods."""
    yield Component(
        kind="method",
        name="rss",
        target="recon_plugins.mri_methods.rss:RootSumOfSquares",
        summary="Root sum of squares of the zero-filled coil images",
        examples="recon_plugins.mri_methods.examples:rss",
        tags=("mri",),
        references=("10.1002/mrm.1910160203",),
    )
    yield Component(
        kind="method",
        name="cg_sense",
        target="recon_plugins.mri_methods.cg_sense:CGSense",
        summary="Parallel imaging by conjugate gradients with coil sensitivities, estimated or given",
        examples="recon_plugins.mri_methods.examples:cg_sense",
        tags=("mri", "iterative"),
        references=("10.1002/mrm.1241",),
    )
    yield Component(
        kind="method",
        name="l1_wavelet",
        target="recon_plugins.mri_methods.l1_wavelet:L1Wavelet",
        summary="Parallel imaging and compressed sensing with wavelets (L1-ESPIRiT with several sets of maps)",
        examples="recon_plugins.mri_methods.examples:l1_wavelet",
        tags=("mri", "iterative"),
        references=("10.1002/mrm.21391", "10.1137/080716542", "10.1002/mrm.24751"),
    )
    yield Component(
        kind="method",
        name="tv_sense",
        target="recon_plugins.mri_methods.tv_sense:TVSense",
        summary="Parallel imaging and compressed sensing with total variation",
        examples="recon_plugins.mri_methods.examples:tv_sense",
        tags=("mri", "iterative"),
        references=("10.1002/mrm.21236", "10.1007/s10851-010-0251-1"),
    )
    yield Component(
        kind="method",
        name="grappa",
        target="recon_plugins.mri_methods.grappa:Grappa",
        summary="Parallel imaging by kernels that fill in Cartesian k-space, fitted to its centre",
        examples="recon_plugins.mri_methods.examples:grappa",
        tags=("mri",),
        references=("10.1002/mrm.10171",),
    )
    yield Component(
        kind="method",
        name="homodyne",
        target="recon_plugins.mri_methods.homodyne:Homodyne",
        summary="Partial Fourier by homodyne detection",
        examples="recon_plugins.mri_methods.examples:homodyne",
        tags=("mri",),
        references=("10.1109/42.79473",),
    )
    yield Component(
        kind="method",
        name="pocs",
        target="recon_plugins.mri_methods.pocs:POCS",
        summary="Partial Fourier by projection onto convex sets",
        examples="recon_plugins.mri_methods.examples:pocs",
        tags=("mri", "iterative"),
        references=("10.1016/0022-2364(91)90253-P",),
    )
