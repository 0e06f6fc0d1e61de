"""Forward operators: what turns an image into a measurement, and back."""

from recon.operators.algebra import Adjoint, Identity, Normal, Scaled
from recon.operators.base import LinearOperator, Operator, Shape, check_shape
from recon.operators.composition import Composition, LinearComposition, compose
from recon.operators.separable import Separable
from recon.operators.sums import Stack, Sum, stack
from recon.operators.table import Table

__all__ = [
    "Adjoint",
    "Composition",
    "Identity",
    "LinearComposition",
    "LinearOperator",
    "Normal",
    "Operator",
    "Scaled",
    "Separable",
    "Shape",
    "Stack",
    "Sum",
    "Table",
    "check_shape",
    "compose",
    "stack",
]
