"""The operator that a list of operators amounts to."""

from __future__ import annotations

from collections.abc import Sequence

from recon.errors import UsageError
from recon.operators import Operator, compose
from recon.operators.combined import AnyOperator

__all__ = ["chain"]


def chain(*, operators: Sequence[AnyOperator]) -> Operator:
    """Return the composition of operators, linear if all of them are.

    Measurement files keep what several operators have measured as this config. Operators that merge do: a projector
    with views left out becomes the projector of the other views.

    Shapes: the first one's input -> the last one's output.

    Parameters
    ----------
    operators
        The operators in the order in which they act, as in the ``forward`` of an experiment; each is an operator or its
        config.

    Raises
    ------
    UsageError
        If there are none, or one does not take what the one before gives.
    """
    if not operators:
        raise UsageError("a chain needs at least one of its operators")
    return compose(*reversed(operators))
