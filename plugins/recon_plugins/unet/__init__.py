"""The U-Net of fastMRI."""

from collections.abc import Iterator

from recon import Component, hookimpl
from recon.plugin import lazy

__getattr__ = lazy(__name__, {"UNet": ".model"})


@hookimpl
def recon_components() -> Iterator[Component]:
    """Declare the network."""
    yield Component(
        kind="model",
        name="unet",
        target="recon_plugins.unet.model:UNet",
        summary="fastMRI's U-Net, loading its published weights; one to three dimensions",
        examples="recon_plugins.unet.examples:unet",
        tags=("mri", "ct", "1d", "2d", "3d"),
        references=("10.1007/978-3-319-24574-4_28", "10.48550/arXiv.1811.08839"),
    )
