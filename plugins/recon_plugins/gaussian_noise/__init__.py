"""Additive Gaussian noise."""

from collections.abc import Iterator

from recon import Component, hookimpl
from recon.plugin import lazy

__getattr__ = lazy(__name__, {"GaussianNoise": ".operators"})


@hookimpl
def recon_components() -> Iterator[Component]:
    """Declare the noise operator."""
    yield Component(
        kind="operator",
        name="gaussian_noise",
        target="recon_plugins.gaussian_noise.operators:GaussianNoise",
        summary="White Gaussian noise of a known standard deviation, or of one drawn for each item",
        examples="recon_plugins.gaussian_noise.examples:gaussian_noise",
        tags=("noise", "stochastic"),
    )
