"""Adapters: models made of a network and what must happen around it."""

from collections.abc import Iterator

from recon import Component, hookimpl
from recon.plugin import lazy

_WHERE = {
    "ComplexChannels": ".complex_channels",
    "Normalised": ".normalised",
    "GlobalResidual": ".global_residual",
    "Upscaled": ".upscaled",
    "FromAdjoint": ".from_measurement",
    "FromPinv": ".from_measurement",
    "FromMethod": ".from_measurement",
}
_SUMMARIES = {
    "complex_channels": "A real network on complex images: real and imaginary parts as channels",
    "normalised": "A network on images of zero mean and unit deviation, undone at its output",
    "global_residual": "A network that adds to its input: y + f(y)",
    "upscaled": "A network on the image interpolated to its full size, for super-resolution",
    "from_adjoint": "A network on the adjoint's image: zero-filled, back-projected",
    "from_pinv": "A network on the least-squares image, by conjugate gradients",
    "from_method": "A network on the image of a reconstruction method, such as filtered back-projection",
}

__getattr__ = lazy(__name__, _WHERE)


@hookimpl
def recon_components() -> Iterator[Component]:
    """Declare the adapters."""
    for (class_name, module), (name, summary) in zip(_WHERE.items(), _SUMMARIES.items(), strict=True):
        yield Component(
            kind="model",
            name=name,
            target=f"recon_plugins.adapters{module}:{class_name}",
            summary=summary,
            examples=f"recon_plugins.adapters.examples:{name}",
            tags=("adapter",),
        )
