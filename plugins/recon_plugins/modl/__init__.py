"""Model-based deep learning: a denoiser and data consistency by conjugate gradients, in turns."""

from collections.abc import Iterator

from recon import Component, hookimpl
from recon.plugin import lazy

__getattr__ = lazy(__name__, {"MoDL": ".model", "regularised_solution": ".implicit"})


@hookimpl
def recon_components() -> Iterator[Component]:
    """Declare the network."""
    yield Component(
        kind="model",
        name="modl",
        target="recon_plugins.modl.model:MoDL",
        summary="MoDL: a denoising network and conjugate gradients in turns, with an implicit gradient",
        examples="recon_plugins.modl.examples:modl",
        tags=("mri", "ct", "unrolled", "2d", "3d"),
        references=("10.1109/TMI.2018.2865356",),
    )
