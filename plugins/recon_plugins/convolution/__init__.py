"""Convolution and blur."""

from collections.abc import Iterator

from recon import Component, hookimpl
from recon.plugin import lazy

__getattr__ = lazy(__name__, {"Convolution": ".operators", "GaussianBlur": ".gaussian_blur"})


@hookimpl
def recon_components() -> Iterator[Component]:
    """Declare the convolutions."""
    yield Component(
        kind="operator",
        name="convolution",
        target="recon_plugins.convolution.operators:Convolution",
        summary="Convolution with a given kernel: strided, padded, one or several channels; adjoint: transposed",
        examples="recon_plugins.convolution.examples:convolution",
        tags=("deblurring", "linear"),
    )
    yield Component(
        kind="operator",
        name="gaussian_blur",
        target="recon_plugins.convolution.gaussian_blur:GaussianBlur",
        summary="Gaussian blur, optionally strided",
        examples="recon_plugins.convolution.examples:gaussian_blur",
        tags=("deblurring", "linear"),
    )
