"""Coil sensitivities from the centre of k-space: ESPIRiT, Inati, Walsh, low-resolution images."""

from collections.abc import Iterator

from recon import Component, hookimpl
from recon.plugin import lazy

__getattr__ = lazy(
    __name__,
    {
        "Espirit": ".espirit",
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
