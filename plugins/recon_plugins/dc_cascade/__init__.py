"""A cascade of convolutional networks and data consistency."""

from collections.abc import Iterator

from recon import Component, hookimpl
from recon.plugin import lazy

__getattr__ = lazy(__name__, {"DCCascade": ".model", "state_from_keras": ".keras_weights"})


@hookimpl
def recon_components() -> Iterator[Component]:
    """Declare the network."""
    yield Component(
        kind="model",
        name="dc_cascade",
        target="recon_plugins.dc_cascade.model:DCCascade",
        summary="Cascade of residual networks with data consistency between them; single-coil and SENSE",
        examples="recon_plugins.dc_cascade.examples:dc_cascade",
        tags=("mri", "unrolled", "2d", "3d"),
        references=("10.1109/TMI.2017.2760978",),
    )
