"""Upsampling."""

from collections.abc import Iterator

from recon import Component, hookimpl
from recon.plugin import lazy

__getattr__ = lazy(__name__, {"Upsample": ".operators"})


@hookimpl
def recon_components() -> Iterator[Component]:
    """Declare the upsampling operator."""
    yield Component(
        kind="operator",
        name="upsample",
        target="recon_plugins.upsample.operators:Upsample",
        summary="Upsampling: nearest, bilinear, or bicubic as MATLAB's imresize",
        examples="recon_plugins.upsample.examples:upsample",
        tags=("super-resolution", "linear"),
        references=("10.1109/TASSP.1981.1163711",),
    )
