"""Non-Cartesian MRI: Fourier transforms at arbitrary frequencies, density compensation, off-resonance."""

from collections.abc import Iterator, Mapping

from recon import Component, hookimpl
from recon.plugin import lazy

__getattr__ = lazy(
    __name__,
    {
        "DensityCG": ".density_cg",
        "Gridding": ".gridding",
        "Kooshball": ".trajectories",
        "NUFFT": ".operators",
        "OffResonance": ".off_resonance",
        "Radial": ".trajectories",
        "Spiral": ".trajectories",
        "StackOfStars": ".trajectories",
        "clear_plans": ".plans",
        "pipe_density": ".density",
        "voronoi_density": ".voronoi",
    },
)


@hookimpl
def recon_components() -> Iterator[Component]:
    """Offer the operators and methods."""
    yield Component(
        kind="operator",
        name="nufft",
        target="recon_plugins.nufft.operators:NUFFT",
        summary="Fourier transform at arbitrary frequencies (non-Cartesian MRI), coil by coil or with their maps",
        examples="recon_plugins.nufft.examples:nufft",
        tags=("mri", "linear"),
        references=("10.1137/18M120885X", "10.1109/TSP.2002.807005"),
        requires=("finufft",),
        extra="noncart",
    )
    yield Component(
        kind="operator",
        name="off_resonance",
        target="recon_plugins.nufft.off_resonance:OffResonance",
        summary="Non-Cartesian MRI in a field that is off resonance, by time segmentation",
        examples="recon_plugins.nufft.examples:off_resonance",
        tags=("mri", "linear"),
        references=("10.1109/TMI.2002.808360",),
        requires=("finufft",),
        extra="noncart",
    )
    yield Component(
        kind="method",
        name="gridding",
        target="recon_plugins.nufft.gridding:Gridding",
        summary="Density-compensated adjoint of non-Cartesian data, coils combined by maps or root sum of squares",
        examples="recon_plugins.nufft.examples:gridding",
        tags=("mri", "classical"),
        references=("10.1002/(SICI)1522-2594(199901)41:1<179::AID-MRM25>3.0.CO;2-V",),
        requires=("finufft",),
        extra="noncart",
    )
    yield Component(
        kind="method",
        name="density_cg",
        target="recon_plugins.nufft.density_cg:DensityCG",
        summary="Density-weighted least squares of non-Cartesian data by conjugate gradients",
        examples="recon_plugins.nufft.examples:density_cg",
        tags=("mri", "classical"),
        references=("10.1002/mrm.1241",),
        requires=("finufft",),
        extra="noncart",
    )


@hookimpl
def recon_environment() -> Mapping[str, str]:
    """Tell which library serves each device."""
    from recon_plugins.nufft.plans import in_use

    return in_use()
