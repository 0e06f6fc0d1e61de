"""Masks: inpainting."""

from collections.abc import Iterator

from recon import Component, hookimpl
from recon.plugin import lazy

__getattr__ = lazy(__name__, {"BoxMask": ".operators", "Mask": ".operators", "RandomMask": ".operators"})


@hookimpl
def recon_components() -> Iterator[Component]:
    """Declare the masks."""
    for name, target, summary in (
        ("mask", "Mask", "Keep the samples under a given mask, zero the others"),
        ("random_mask", "RandomMask", "Keep a random fraction of the pixels; a new draw for each batch if sampled"),
        ("box_mask", "BoxMask", "Cut a box out of the image, fixed or at random"),
    ):
        yield Component(
            kind="operator",
            name=name,
            target=f"recon_plugins.mask.operators:{target}",
            summary=summary,
            examples=f"recon_plugins.mask.examples:{name}",
            tags=("inpainting", "linear"),
        )
