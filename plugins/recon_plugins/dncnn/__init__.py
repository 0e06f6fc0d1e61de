"""DnCNN: denoising by a network that predicts the noise."""

from collections.abc import Iterator

from recon import Component, hookimpl
from recon.plugin import lazy

__getattr__ = lazy(__name__, {"DnCNN": ".model", "from_published": ".published", "merge_batch_norm": ".model"})


@hookimpl
def recon_components() -> Iterator[Component]:
    """Declare the network."""
    yield Component(
        kind="model",
        name="dncnn",
        target="recon_plugins.dncnn.model:DnCNN",
        summary="DnCNN: 17 (or, blind to the noise level, 20) convolutions that predict the noise of an image",
        examples="recon_plugins.dncnn.examples:dncnn",
        tags=("denoising", "2d"),
        references=("10.1109/TIP.2017.2662206",),
    )
