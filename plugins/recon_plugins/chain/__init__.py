"""Operators one after the other as one config, which files can keep."""

from collections.abc import Iterator

from recon import Component, hookimpl
from recon.plugin import lazy

__getattr__ = lazy(__name__, {"chain": ".chain"})


@hookimpl
def recon_components() -> Iterator[Component]:
    """Declare the operator."""
    yield Component(
        kind="operator",
        name="chain",
        target="recon_plugins.chain.chain:chain",
        summary="Operators one after the other, the first of the list first",
        examples="recon_plugins.chain.examples:chain",
        tags=("linear",),
    )
