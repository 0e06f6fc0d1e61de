"""VDSR: very deep super-resolution."""

from collections.abc import Iterator

from recon import Component, hookimpl
from recon.plugin import lazy

__getattr__ = lazy(__name__, {"VDSR": ".model", "from_published": ".published"})


@hookimpl
def recon_components() -> Iterator[Component]:
    """Declare the network."""
    yield Component(
        kind="model",
        name="vdsr",
        target="recon_plugins.vdsr.model:VDSR",
        summary="VDSR: 20 convolutions that add the missing detail to an interpolated image",
        examples="recon_plugins.vdsr.examples:vdsr",
        tags=("super-resolution", "2d"),
        references=("10.1109/CVPR.2016.182",),
    )
