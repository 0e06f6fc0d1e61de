"""Forward operators: what turns an image into a measurement, and back."""

from recon.operators.base import LinearOperator, Operator, Shape
from recon.operators.combined import (
    Adjoint,
    Composition,
    Identity,
    LinearComposition,
    Normal,
    Scaled,
    Stack,
    Sum,
    stack,
)

__all__ = [
    "Adjoint",
    "Composition",
    "Identity",
    "LinearComposition",
    "LinearOperator",
    "Normal",
    "Operator",
    "Scaled",
    "Shape",
    "Stack",
    "Sum",
    "stack",
]
