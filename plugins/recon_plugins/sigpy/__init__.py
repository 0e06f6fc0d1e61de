"""SigPy's linear operators, reconstruction apps, calibrations, trajectories and Poisson masks: ``sigpy/Sense`` ..."""

from collections.abc import Iterator

from recon import Component, hookimpl
from recon.plugin import lazy
from recon.spec import Kind

__getattr__ = lazy(
    __name__,
    {
        "EspiritCalib": ".calibrations",
        "FFT": ".operators",
        "FiniteDifference": ".operators",
        "JsenseRecon": ".calibrations",
        "L1WaveletRecon": ".methods",
        "NUFFT": ".operators",
        "PoissonDisc": ".sampling",
        "RadialTrajectory": ".sampling",
        "Sense": ".operators",
        "SenseRecon": ".methods",
        "SpiralTrajectory": ".sampling",
        "TotalVariationRecon": ".methods",
        "Wavelet": ".operators",
        "wrap": ".linop",
    },
)


@hookimpl
def recon_components() -> Iterator[Component]:
    """Offer them under SigPy's own names."""
    fourier, sense = ("mri", "linear"), ("mri", "iterative")
    yield _component(
        "operator", "FFT", "operators", "SigPy's centred Fourier transform of each coil, undersampled", fourier
    )
    yield _component("operator", "NUFFT", "operators", "SigPy's non-uniform Fourier transform of each coil", fourier)
    yield _component("operator", "Sense", "operators", "SigPy's SENSE model, Cartesian or along a trajectory", fourier)
    yield _component("operator", "Wavelet", "operators", "SigPy's orthogonal wavelet transform", ("linear",))
    yield _component("operator", "FiniteDifference", "operators", "SigPy's periodic differences", ("linear",))
    yield _component("method", "SenseRecon", "methods", "SigPy's SENSE by conjugate gradients", sense)
    yield _component("method", "L1WaveletRecon", "methods", "SigPy's SENSE with sparse wavelets (FISTA)", sense)
    yield _component("method", "TotalVariationRecon", "methods", "SigPy's SENSE with total variation (PDHG)", sense)
    yield _component(
        "method", "EspiritCalib", "calibrations", "SigPy's ESPIRiT, one set of maps", ("mri", "calibration")
    )
    yield _component(
        "method",
        "JsenseRecon",
        "calibrations",
        "SigPy's joint estimate of image and maps (JSENSE)",
        ("mri", "calibration"),
    )


def _component(kind: Kind, name: str, module: str, summary: str, tags: tuple[str, ...]) -> Component:
    return Component(
        kind=kind,
        name=name,
        target=f"recon_plugins.sigpy.{module}:{name}",
        summary=summary,
        examples=f"recon_plugins.sigpy.examples:{name}",
        requires=("sigpy", "pywt", "numba"),
        extra="sigpy",
        namespaced=True,
        tags=("sigpy", *tags),
        licence="BSD-3-Clause",
    )
