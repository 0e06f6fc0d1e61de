"""Downsampling: the forward models of super-resolution."""

from collections.abc import Iterator

from recon import Component, hookimpl
from recon.plugin import lazy

__getattr__ = lazy(__name__, {"Downsample": ".operators"})


@hookimpl
def recon_components() -> Iterator[Component]:
    """Declare the downsampling operator."""
    yield Component(
        kind="operator",
        name="downsample",
        target="recon_plugins.downsample.operators:Downsample",
        summary="Downsampling by averages over r x r pixels, or bicubic as MATLAB's imresize",
        examples="recon_plugins.downsample.examples:downsample",
        tags=("super-resolution", "linear"),
        references=("10.1109/TASSP.1981.1163711",),
    )
