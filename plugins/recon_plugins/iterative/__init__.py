"""Iterative reconstruction, step by step: algebraic, by least squares, statistical, with total variation."""

from collections.abc import Iterator

from recon import Component, hookimpl
from recon.plugin import lazy

__getattr__ = lazy(__name__, {"CGLS": ".cgls", "OSSIRT": ".os_sirt", "PDHG": ".pdhg", "PWLS": ".pwls", "SIRT": ".sirt"})


@hookimpl
def recon_components() -> Iterator[Component]:
    """Offer the methods."""
    yield Component(
        kind="method",
        name="sirt",
        target="recon_plugins.iterative.sirt:SIRT",
        summary="Simultaneous iterative reconstruction, weighted by row and column sums, within bounds",
        examples="recon_plugins.iterative.examples:sirt",
        tags=("ct", "iterative"),
        references=("10.1016/0022-5193(72)90180-4", "10.1109/TMI.2008.923696"),
    )
    yield Component(
        kind="method",
        name="os_sirt",
        target="recon_plugins.iterative.os_sirt:OSSIRT",
        summary="SIRT by ordered subsets of the views; SART with a subset for each view",
        examples="recon_plugins.iterative.examples:os_sirt",
        tags=("ct", "iterative"),
        references=("10.1177/016173468400600107", "10.1109/42.363108"),
    )
    yield Component(
        kind="method",
        name="cgls",
        target="recon_plugins.iterative.cgls:CGLS",
        summary="Conjugate gradients for least squares, with damping and warm start",
        examples="recon_plugins.iterative.examples:cgls",
        tags=("iterative",),
        references=("10.6028/jres.049.044", "10.1137/1.9781611971484"),
    )
    yield Component(
        kind="method",
        name="pdhg",
        target="recon_plugins.iterative.pdhg:PDHG",
        summary="Total variation by primal-dual hybrid gradients, weighted or fitted to a noise level",
        examples="recon_plugins.iterative.examples:pdhg",
        tags=("iterative",),
        references=("10.1007/s10851-010-0251-1", "10.1088/0031-9155/57/10/3065"),
    )
    yield Component(
        kind="method",
        name="pwls",
        target="recon_plugins.iterative.pwls:PWLS",
        summary="Penalised weighted least squares (quadratic, Huber, TV) by ordered subsets with momentum",
        examples="recon_plugins.iterative.examples:pwls",
        tags=("ct", "iterative"),
        references=("10.1109/78.193196", "10.1088/0031-9155/44/11/311", "10.1109/TMI.2014.2350962"),
    )
