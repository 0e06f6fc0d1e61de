"""Learned primal-dual reconstruction."""

from collections.abc import Iterator

from recon import Component, hookimpl
from recon.plugin import lazy

__getattr__ = lazy(__name__, {"LearnedPrimalDual": ".model", "operator_norm": ".norms"})


@hookimpl
def recon_components() -> Iterator[Component]:
    """Declare the network."""
    yield Component(
        kind="model",
        name="learned_primal_dual",
        target="recon_plugins.learned_primal_dual.model:LearnedPrimalDual",
        summary="Learned primal-dual: small networks between the operator and its adjoint, unrolled; CT and MRI",
        examples="recon_plugins.learned_primal_dual.examples:learned_primal_dual",
        tags=("ct", "mri", "unrolled", "2d", "3d"),
        references=("10.1109/TMI.2018.2799231",),
    )
