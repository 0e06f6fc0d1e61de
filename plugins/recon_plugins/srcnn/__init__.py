"""SRCNN: super-resolution by three convolutions."""

from collections.abc import Iterator

from recon import Component, hookimpl
from recon.plugin import lazy

__getattr__ = lazy(__name__, {"SRCNN": ".model", "from_published": ".published"})


@hookimpl
def recon_components() -> Iterator[Component]:
    """Declare the network."""
    yield Component(
        kind="model",
        name="srcnn",
        target="recon_plugins.srcnn.model:SRCNN",
        summary="SRCNN: three convolutions that sharpen an interpolated image (9-1-5, 9-5-5)",
        examples="recon_plugins.srcnn.examples:srcnn",
        tags=("super-resolution", "2d"),
        references=("10.1109/TPAMI.2015.2439281", "10.1007/978-3-319-10593-2_13"),
    )
