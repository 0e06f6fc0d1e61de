"""Physics of computed tomography: photons, their noise, the logarithm, flat fields, Hounsfield units, dose."""

from collections.abc import Iterator

from recon import Component, hookimpl
from recon.plugin import lazy

__getattr__ = lazy(
    __name__,
    {
        "Attenuation": ".attenuation",
        "BeerLambert": ".transmission",
        "Corrected": "recon.io.flat_field",
        "LogTransform": ".log_transform",
        "LowDose": ".low_dose",
        "ReducedDose": ".reduced_dose",
        "Transmission": ".transmission",
        "added_variance": ".reduced_dose",
        "find_centre": "recon.io.rotation_centre",
        "flat_field": "recon.io.flat_field",
        "line_integrals": ".log_transform",
        "photons_for_noise": ".reduced_dose",
    },
)


@hookimpl
def recon_components() -> Iterator[Component]:
    """Offer the operators."""
    yield Component(
        kind="operator",
        name="attenuation",
        target="recon_plugins.ct_physics.attenuation:Attenuation",
        summary="Hounsfield units to attenuation in 1/mm, with its inverse (affine, not linear)",
        examples="recon_plugins.ct_physics.examples:attenuation",
        tags=("ct",),
        references=("10.18434/T4D01F",),
    )
    yield Component(
        kind="operator",
        name="beer_lambert",
        target="recon_plugins.ct_physics.transmission:BeerLambert",
        summary="Line integrals to the mean number of photons that pass (Beer-Lambert)",
        examples="recon_plugins.ct_physics.examples:beer_lambert",
        tags=("ct",),
    )
    yield Component(
        kind="operator",
        name="transmission",
        target="recon_plugins.ct_physics.transmission:Transmission",
        summary="Line integrals to counts with Poisson and electronic noise",
        examples="recon_plugins.ct_physics.examples:transmission",
        tags=("ct", "noise", "stochastic"),
        references=("10.1109/TMI.2006.875429",),
    )
    yield Component(
        kind="operator",
        name="log_transform",
        target="recon_plugins.ct_physics.log_transform:LogTransform",
        summary="Counts to line integrals, with a floor for rays that no photon passed",
        examples="recon_plugins.ct_physics.examples:log_transform",
        tags=("ct",),
    )
    yield Component(
        kind="operator",
        name="low_dose",
        target="recon_plugins.ct_physics.low_dose:LowDose",
        summary="Line integrals with the noise of a number of photons and of the electronics",
        examples="recon_plugins.ct_physics.examples:low_dose",
        tags=("ct", "noise", "stochastic"),
        references=("10.1109/TMI.2006.875429", "10.1038/s41597-021-00893-z"),
    )
    yield Component(
        kind="operator",
        name="reduced_dose",
        target="recon_plugins.ct_physics.reduced_dose:ReducedDose",
        summary="CT image as a fraction of its dose would have given it: noise is added, with the scan's texture",
        examples="recon_plugins.ct_physics.examples:reduced_dose",
        tags=("ct", "noise", "stochastic"),
        references=("10.1097/RCT.0b013e318258e891", "10.1118/1.4789628"),
    )
