"""All samplings, by the kind that a config names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args, get_type_hints

from recon.errors import ParameterError
from recon.registry import suggest
from recon_plugins.fourier.columns import ColumnSampling, FrameSampling
from recon_plugins.fourier.curves import CurveSampling
from recon_plugins.fourier.fastmri_columns import FastMRISampling
from recon_plugins.fourier.plane import PlaneSampling
from recon_plugins.fourier.sampling import Sampling

__all__ = ["KINDS", "as_sampling"]

KINDS: dict[str, type[Sampling]] = {
    kind: family
    for family in (ColumnSampling, FastMRISampling, PlaneSampling, CurveSampling, FrameSampling)
    for kind in get_args(get_type_hints(family)["kind"])
}
"""Which class makes the masks of which kind."""


def as_sampling(config: Sampling | Mapping[str, Any], field: str = "mask") -> Sampling:
    """Make the rule of a config such as ``{"kind": "poisson", "acceleration": 8}``; without a kind, ``random``.

    Raises
    ------
    ParameterError
        If the kind or a name is unknown, or a value is out of its range; `field` names where the config stood.
    """
    if isinstance(config, Sampling):
        return config
    kind = config.get("kind", "random")
    if kind not in KINDS:
        message = f"unknown kind of sampling {kind!r}{suggest(str(kind), KINDS)}; known: {', '.join(KINDS)}"
        raise ParameterError("", [((field, "kind"), message)])
    return KINDS[kind].parse(config, field)
