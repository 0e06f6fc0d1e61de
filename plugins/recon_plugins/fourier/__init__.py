"""Fourier sampling: magnetic resonance with one coil or many."""

from collections.abc import Iterator

from recon import Component, hookimpl
from recon.plugin import lazy

__getattr__ = lazy(
    __name__,
    {
        "Birdcage": ".coils",
        "ColumnSampling": ".columns",
        "Crop": ".crop",
        "CurveSampling": ".curves",
        "FastMRISampling": ".fastmri_columns",
        "Fourier": ".fourier",
        "FrameSampling": ".columns",
        "MulticoilFourier": ".multicoil",
        "PlaneSampling": ".plane",
        "Sampling": ".sampling",
        "as_sampling": ".rules",
        "calibration_region": ".sampling",
    },
)


@hookimpl
def recon_components() -> Iterator[Component]:
    """Offer the operators."""
    yield Component(
        kind="operator",
        name="fourier",
        target="recon_plugins.fourier.fourier:Fourier",
        summary="Centred orthonormal Fourier transform with an undersampling mask (single-coil MRI)",
        examples="recon_plugins.fourier.examples:fourier",
        tags=("mri", "linear"),
    )
    yield Component(
        kind="operator",
        name="multicoil_fourier",
        target="recon_plugins.fourier.multicoil:MulticoilFourier",
        summary="Coil sensitivities, centred orthonormal Fourier transform and undersampling mask (SENSE model of MRI)",
        examples="recon_plugins.fourier.examples:multicoil_fourier",
        tags=("mri", "linear"),
        references=("10.1002/(SICI)1522-2594(199911)42:5<952::AID-MRM16>3.0.CO;2-S",),
    )
    yield Component(
        kind="operator",
        name="crop",
        target="recon_plugins.fourier.crop:Crop",
        summary="Central part of an image or of k-space; the adjoint fills with zeros",
        examples="recon_plugins.fourier.examples:crop",
        tags=("mri", "linear"),
    )
