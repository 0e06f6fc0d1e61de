"""MONAI's networks and losses by name: ``monai/BasicUNet``, ``monai/DiceLoss``."""

from collections.abc import Iterator

from recon import Component, hookimpl
from recon.spec import Kind
from recon_plugins.monai.catalogue import LOSSES, NETWORKS, Listed


@hookimpl
def recon_components() -> Iterator[Component]:
    """Declare what the catalogue lists."""
    for name, listed in NETWORKS.items():
        yield _component("model", "monai.networks.nets", name, listed)
    for name, listed in LOSSES.items():
        yield _component("loss", "monai.losses", name, listed)


def _component(kind: Kind, module: str, name: str, listed: Listed) -> Component:
    return Component(
        kind=kind,
        name=name,
        target=f"{module}:{name}",
        summary=listed.summary,
        examples=f"recon_plugins.monai.examples:{name}",
        requires=listed.requires,
        extra=listed.requires[0] if listed.requires else None,
        dtypes=listed.dtypes,
        expected_failures=listed.expected_failures,
        foreign=True,
        namespaced=True,
        tags=("monai",),
        licence="Apache-2.0",
    )
