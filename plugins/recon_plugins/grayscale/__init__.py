"""Colour to luminance."""

from collections.abc import Iterator

from recon import Component, hookimpl
from recon.plugin import lazy

__getattr__ = lazy(__name__, {"Grayscale": ".operators"})


@hookimpl
def recon_components() -> Iterator[Component]:
    """Declare the luminance operator."""
    yield Component(
        kind="operator",
        name="grayscale",
        target="recon_plugins.grayscale.operators:Grayscale",
        summary="Luminance of a colour image (BT.601 or BT.709 weights), the forward model of colorization",
        examples="recon_plugins.grayscale.examples:grayscale",
        tags=("colour", "linear"),
    )
