"""Plug-and-play reconstruction with any denoiser."""

from collections.abc import Iterator

from recon import Component, hookimpl
from recon.plugin import lazy

__getattr__ = lazy(__name__, {"Denoiser": ".denoiser", "PlugAndPlay": ".plug_and_play", "load_weights": ".weights"})


@hookimpl
def recon_components() -> Iterator[Component]:
    """Offer the methods."""
    yield Component(
        kind="method",
        name="denoiser",
        target="recon_plugins.plug_and_play.denoiser:Denoiser",
        summary="A network with its weights as a denoiser: intensity range, noise level, complex images, volumes",
        examples="recon_plugins.plug_and_play.examples:denoiser",
        dtypes=("float32",),
        tags=("learned", "denoising"),
        references=("10.1109/LSP.2020.3006390",),
    )
    yield Component(
        kind="method",
        name="plug_and_play",
        target="recon_plugins.plug_and_play.plug_and_play:PlugAndPlay",
        summary="Plug-and-play with any denoiser: ADMM, proximal gradients, half-quadratic splitting (DPIR), RED",
        examples="recon_plugins.plug_and_play.examples:plug_and_play",
        tags=("learned", "iterative", "ct", "mri"),
        references=(
            "10.1109/GlobalSIP.2013.6737048",
            "10.1109/LSP.2017.2763583",
            "10.1109/TPAMI.2021.3088914",
            "10.1137/16M1102884",
        ),
    )
