"""FBPConvNet: a U-Net that corrects filtered back-projection."""

from collections.abc import Iterator

from recon import Component, hookimpl
from recon.plugin import lazy

__getattr__ = lazy(__name__, {"FBPConvNet": ".model"})


@hookimpl
def recon_components() -> Iterator[Component]:
    """Declare the network."""
    yield Component(
        kind="model",
        name="fbpconvnet",
        target="recon_plugins.fbpconvnet.model:FBPConvNet",
        summary="FBPConvNet: the residual U-Net that removes the artefacts of filtered back-projection",
        examples="recon_plugins.fbpconvnet.examples:fbpconvnet",
        tags=("ct", "2d"),
        references=("10.1109/TIP.2017.2713099",),
    )
