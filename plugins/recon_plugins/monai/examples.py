"""Small cases for the conformance kit, one function a class, made from the catalogue."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from recon.testing import Example
from recon_plugins.monai.catalogue import LOSSES, NETWORKS, Listed

__all__ = [*NETWORKS, *LOSSES]


def __getattr__(name: str) -> Callable[[], list[Example]]:
    listed = (NETWORKS | LOSSES).get(name)
    if listed is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return lambda: [_example(name, listed)]


def _example(name: str, listed: Listed) -> Example:
    if name in NETWORKS:
        return Example(params=listed.params, shape=listed.shape)

    def inputs(generator: torch.Generator, dtype: torch.dtype) -> Mapping[str, Tensor]:
        import inspect

        import monai.losses

        first, second = list(inspect.signature(getattr(monai.losses, name).forward).parameters)[1:3]
        prediction = torch.randn(listed.shape, generator=generator, dtype=dtype)
        if listed.labels:
            batch, classes, *space = listed.shape
            return {first: prediction, second: torch.randint(0, classes, (batch, 1, *space), generator=generator)}
        return {first: prediction, second: torch.randn(listed.shape, generator=generator, dtype=dtype)}

    return Example(params=listed.params, inputs=inputs)
