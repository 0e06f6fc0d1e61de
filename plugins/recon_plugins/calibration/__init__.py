"""Coil sensitivities from the centre of k-space: ESPIRiT, Inati, Walsh, low-resolution images."""

from collections.abc import Iterator

from recon import Component, hookimpl
from recon.plugin import lazy

__getattr__ = lazy(
    __name__,
    {
        "Espirit": ".espirit",
        "Inati": ".inati",
        "LowResolutionMaps": ".low_resolution",
        "Walsh": ".walsh",
    },
)


@hookimpl
def recon_components() -> Iterator[Component]:
    """Offer the calibrations."""
    yield Component(
        kind="method",
        name="espirit",
        target="recon_plugins.calibration.espirit:Espirit",
        summary="Coil sensitivities as eigenvectors of the calibration data's structure (ESPIRiT), one or several sets",
        examples="recon_plugins.calibration.examples:espirit",
        tags=("mri", "calibration"),
        references=("10.1002/mrm.24751",),
    )
    yield Component(
        kind="method",
        name="inati",
        target="recon_plugins.calibration.inati:Inati",
        summary="Coil sensitivities by a smooth rank-one model of the coils' images, in a few quick steps",
        examples="recon_plugins.calibration.examples:inati",
        tags=("mri", "calibration"),
    )
    yield Component(
        kind="method",
        name="walsh",
        target="recon_plugins.calibration.walsh:Walsh",
        summary="Coil sensitivities as the strongest direction of the coils' values about each pixel",
        examples="recon_plugins.calibration.examples:walsh",
        tags=("mri", "calibration"),
        references=("10.1002/(SICI)1522-2594(200005)43:5<682::AID-MRM10>3.0.CO;2-G",),
    )
    yield Component(
        kind="method",
        name="low_resolution_maps",
        target="recon_plugins.calibration.low_resolution:LowResolutionMaps",
        summary="Coil sensitivities as low-resolution images over their root sum of squares",
        examples="recon_plugins.calibration.examples:low_resolution_maps",
        tags=("mri", "calibration"),
    )
