"""Operator norms, estimated once for each operator."""

from __future__ import annotations

from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from recon.operators import LinearOperator

__all__ = ["operator_norm"]

ITERATIONS = 20
"""Steps of the power iteration; trained weights depend on it, if only by the last percent."""

_known: WeakKeyDictionary[LinearOperator, dict[tuple[tuple[int, ...], torch.dtype], float]] = WeakKeyDictionary()


def operator_norm(operator: LinearOperator, like: Tensor) -> float:
    """Return |A|, as the same steps of the same power iteration give it anywhere.

    Operators are values, so that what was found for one is remembered as long as it lives, wherever it is moved.

    Parameters
    ----------
    operator
        The operator A.
    like
        Images (batch, channel, *space), whose size, dtype and device the estimate is made for; not their values.
    """
    norms = _known.setdefault(operator, {})
    key = (tuple(like.shape[1:]), like.dtype)
    if key not in norms:
        norms[key] = operator.norm(iterations=ITERATIONS, like=like[:1])
    return norms[key]
