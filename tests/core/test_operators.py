"""The algebra of operators, against dense matrices."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from recon.errors import ParameterError, UsageError
from recon.operators import (
    Adjoint,
    Composition,
    Identity,
    LinearComposition,
    LinearOperator,
    Normal,
    Operator,
    Scaled,
    Separable,
    Stack,
    Sum,
    Table,
    compose,
    stack,
)

# torch warns about itself: on its first forward-mode derivative, and when it traces an autograd.Function.
pytestmark = pytest.mark.filterwarnings(
    "ignore:`torch.jit.script` is deprecated:DeprecationWarning",
    "ignore:.*should not be instantiated:DeprecationWarning",
)


def randn(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


class Dense(LinearOperator):
    """A matrix acting on vectors, as plain torch operations."""

    def __init__(self, *, values: Tensor, offset: int = 0) -> None:
        super().__init__()
        self.register_buffer("values", values)
        self.offset = offset
        self.input_shape, self.output_shape = (values.shape[1],), (values.shape[0],)
        self.complex_output = values.is_complex()

    def forward(self, x: Tensor) -> Tensor:
        return torch.einsum(
            "ij,bj->bi", self.values.to(torch.promote_types(self.values.dtype, x.dtype)), *_cast(self, x)
        )

    def adjoint(self, y: Tensor) -> Tensor:
        return torch.einsum(
            "ij,bi->bj", self.values.conj().to(torch.promote_types(self.values.dtype, y.dtype)), *_cast(self, y)
        )


def _cast(operator: Any, x: Tensor) -> list[Tensor]:
    return [x.to(torch.promote_types(operator.values.dtype, x.dtype))]


class Opaque(LinearOperator, adjoint_as_backward=True):
    """The same in NumPy, which autograd cannot follow."""

    def __init__(self, *, values: Tensor) -> None:
        super().__init__()
        self.register_buffer("values", values)
        self.input_shape, self.output_shape = (values.shape[1],), (values.shape[0],)
        self.complex_output = values.is_complex()

    def forward(self, x: Tensor) -> Tensor:
        """Multiply by the matrix."""
        return torch.from_numpy(x.detach().numpy() @ self.values.numpy().T)

    def adjoint(self, y: Tensor) -> Tensor:
        """Multiply by its conjugate transpose."""
        return torch.from_numpy(y.detach().numpy() @ self.values.numpy().conj())


class Flip(LinearOperator):
    """A random family: the sign of every sample, or a drawn one."""

    def __init__(self, *, signs: Tensor) -> None:
        super().__init__()
        self.register_buffer("signs", signs)
        self.input_shape = self.output_shape = (signs.shape[0],)

    def forward(self, x: Tensor) -> Tensor:
        return self.signs * x

    def adjoint(self, y: Tensor) -> Tensor:
        return self.signs * y

    def sample(self, generator: torch.Generator) -> Operator:
        return self.with_(signs=torch.randint(0, 2, self.signs.shape, generator=generator) * 2.0 - 1)


class Noise(Operator):
    stochastic = True

    def forward(self, x: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
        return x + torch.randn(x.shape, generator=generator, dtype=x.dtype)

    @property
    def noiseless(self) -> Operator:
        return Identity()


MATRIX_A, MATRIX_B, MATRIX_C = randn(4, 3), randn(5, 4, seed=1), randn(4, 3, seed=2, dtype=torch.complex128)
MATRIX_D = randn(2, 5, seed=3)
A, B, C = Dense(values=MATRIX_A), Dense(values=MATRIX_B), Dense(values=MATRIX_C)

ALGEBRA = {
    "composition": (B @ A, MATRIX_B @ MATRIX_A),
    "long composition": (Dense(values=MATRIX_D) @ B @ A, MATRIX_D @ MATRIX_B @ MATRIX_A),
    "complex composition": (B @ C, MATRIX_B.to(torch.complex128) @ MATRIX_C),
    "adjoint": (C.H, MATRIX_C.mH),
    "normal": (C.N, MATRIX_C.mH @ MATRIX_C),
    "folded normal": (C.H @ C, MATRIX_C.mH @ MATRIX_C),
    "adjoint of composition": ((B @ C).H, (MATRIX_B.to(torch.complex128) @ MATRIX_C).mH),
    "sum": (A + A + C, 2 * MATRIX_A + MATRIX_C),
    "difference": (A - C, MATRIX_A - MATRIX_C),
    "negative": (-A, -MATRIX_A),
    "multiple": (3 * A, 3 * MATRIX_A),
    "complex multiple": ((1 - 2j) * A, (1 - 2j) * MATRIX_A),
    "complex multiple of complex": (C * 0.5j, 0.5j * MATRIX_C),
    "tensor multiple": (torch.tensor(0.1, dtype=torch.float64) * A, 0.1 * MATRIX_A),
    "complex tensor multiple": (torch.tensor(1 - 2j, dtype=torch.complex128) * C, (1 - 2j) * MATRIX_C),
    "quotient": (A / 4, MATRIX_A / 4),
    "stack": (stack(A, C), torch.cat([MATRIX_A.to(torch.complex128), MATRIX_C])),
    "identity": (Identity() @ A @ Identity(), MATRIX_A),
    "separable": (
        Separable(matrices=[MATRIX_A[:, :1], MATRIX_A, MATRIX_B]),
        torch.kron(torch.kron(MATRIX_A[:, :1].contiguous(), MATRIX_A), MATRIX_B),
    ),
}


@pytest.mark.parametrize("name", ALGEBRA)
def test_algebra_equals_that_of_matrices(name: str) -> None:
    operator, expected = ALGEBRA[name]
    torch.testing.assert_close(operator.matrix(), expected)
    torch.testing.assert_close(operator.N.matrix(), expected.mH @ expected, check_dtype=False)
    if operator.complex_output:
        # On a complex measurement the adjoint of a real-input operator is that of its complex-linear extension.
        like = torch.zeros(1, *operator.output_shape, dtype=torch.complex128)
        torch.testing.assert_close(operator.H.matrix(like=like), expected.mH.resolve_conj())
    else:
        torch.testing.assert_close(operator.H.matrix(), expected.mH)


@pytest.mark.parametrize("name", ALGEBRA)
@pytest.mark.parametrize("complex_image", [False, True])
def test_every_combination_pickles_copies_and_stays_as_it_is(name: str, complex_image: bool) -> None:
    operator, expected = ALGEBRA[name]
    dtype = torch.complex128 if complex_image else torch.float64
    x = randn(2, *(1 if n is None else n for n in operator.input_shape), dtype=dtype)
    before = x.clone()
    y = operator(x)
    assert torch.equal(x, before)
    product = x.reshape(2, -1).to(torch.promote_types(dtype, expected.dtype)) @ expected.T.to(
        torch.promote_types(dtype, expected.dtype)
    )
    torch.testing.assert_close(y.reshape(2, -1), product)
    for twin in (pickle.loads(pickle.dumps(operator)), copy.deepcopy(operator), operator.with_()):
        assert torch.equal(twin(x), y)
        assert repr(twin) == repr(operator)


def test_compositions_are_flat_and_fold() -> None:
    assert [type(part) for part in (B @ A @ Dense(values=randn(3, 3))).operators] == [Dense] * 3
    assert (B @ A).operators[0] is B
    assert A.H.H is A
    assert A.N.H.H.H is not A
    assert isinstance(A.H @ A, Normal)
    assert (A.H @ A).operator is A
    chain = (B @ A).H @ (B @ A)
    assert [type(part) for part in chain.operators] == [Adjoint, Normal, Dense]
    assert isinstance(A.H @ Dense(values=MATRIX_A), LinearComposition), "equal is not the same"
    assert Identity() @ A is A
    assert isinstance(compose(Identity(), Identity()), Identity)
    assert len((A + A + A).operators) == 3
    normal = A.N
    assert normal.H is normal


def test_normal_of_a_composition_uses_the_fold_of_its_outermost_part() -> None:
    class Folded(Dense):
        calls = 0

        def normal(self, x: Tensor) -> Tensor:
            type(self).calls += 1
            return super().normal(x)

    outer = Folded(values=MATRIX_B)
    for operator in (outer @ A, stack(outer @ A, outer @ A), 2j * (outer @ A)):
        Folded.calls = 0
        x = randn(2, 3)
        torch.testing.assert_close(operator.normal(x), operator.adjoint(operator(x)).real)
        assert Folded.calls > 0


def test_tensor_factors_follow_the_precision_of_the_data_and_learn() -> None:
    factor = torch.tensor(1 / 3, dtype=torch.float64)
    operator = factor * A
    assert "factor" in dict(operator.named_buffers())
    assert operator(randn(2, 3, dtype=torch.float32)).dtype == torch.float64, "the matrix of A is double"
    single = factor * Identity()
    assert single(randn(2, 3, dtype=torch.float32)).dtype == torch.float32
    assert torch.equal(single(randn(2, 3)), randn(2, 3) / 3)
    assert ((2j + factor) * Identity())(randn(2, 3, dtype=torch.float32)).dtype == torch.complex64

    weight = nn.Parameter(torch.tensor(2.0, dtype=torch.float64))
    learnt = weight * A
    assert list(learnt.parameters()) == [weight]
    learnt.normal(randn(1, 3)).sum().backward()
    torch.testing.assert_close(weight.grad, 4 * A.normal(randn(1, 3)).sum())

    step = nn.Parameter(torch.tensor(3.0, dtype=torch.float64))
    (step.exp() * A)(randn(1, 3)).sum().backward()
    torch.testing.assert_close(step.grad, step.exp() * A(randn(1, 3)).sum())


@pytest.mark.parametrize("two", [np.float64(2), np.float32(2), np.int64(2), torch.tensor(2), True + True])
def test_numbers_of_all_kinds_scale_from_both_sides(two: Any) -> None:
    for operator in (two * A, A * two, A / (1 / two)):
        assert isinstance(operator, Scaled)
        torch.testing.assert_close(operator.matrix(), 2 * MATRIX_A)


@pytest.mark.parametrize("factor", ["2", torch.ones(3), None])
def test_other_factors_are_refused(factor: Any) -> None:
    with pytest.raises(UsageError, match="scaled by a number or by a scalar tensor"):
        A * factor


@pytest.mark.parametrize("operator", [A, B @ A, C, (2 - 1j) * C, stack(A, C), A.H, Opaque(values=MATRIX_C)])
def test_norm_is_the_largest_singular_value(operator: LinearOperator) -> None:
    expected = float(torch.linalg.svdvals(operator.matrix())[0])
    assert operator.norm(iterations=200) == pytest.approx(expected, rel=1e-5)
    like = torch.zeros(3, *operator.input_shape, dtype=torch.complex128)
    assert operator.norm(iterations=200, like=like) == pytest.approx(expected, rel=1e-12)
    estimates = [operator.norm(iterations=n, like=like) for n in (1, 2, 5, 20)]
    assert estimates == sorted(estimates)
    assert estimates[-1] <= expected * (1 + 1e-12)


def test_norm_of_zero_is_zero() -> None:
    assert Dense(values=torch.zeros(4, 3)).norm() == 0.0


def test_shapes_of_any_size_need_a_probe() -> None:
    with pytest.raises(UsageError, match="pass like="):
        Identity().norm()
    assert Identity().norm(like=torch.zeros(1, 2, 3)) == pytest.approx(1)
    assert torch.equal(Identity().matrix(like=torch.zeros(1, 2, 3)), torch.eye(6))
    free = Separable(matrices=[MATRIX_A])
    assert free.matrix(free=2).shape == (8, 6)
    with pytest.raises(UsageError, match="too large"):
        Identity().matrix(like=torch.zeros(1, 1, 200, 200))


@pytest.mark.parametrize(
    "matrix", [randn(6, 4), randn(3, 5), randn(6, 4, dtype=torch.complex128), randn(5, 2) @ randn(2, 4)]
)
def test_pinv_is_the_least_squares_solution_of_smallest_norm(matrix: Tensor) -> None:
    operator = Dense(values=matrix)
    y = randn(3, matrix.shape[0], seed=5).to(matrix.dtype)
    torch.testing.assert_close(operator.pinv(y, tolerance=1e-14), y @ torch.linalg.pinv(matrix).T, rtol=1e-7, atol=1e-9)
    # Tikhonov, about a centre, against the stacked least-squares problem.
    x0, damping = randn(3, matrix.shape[1], seed=6).to(matrix.dtype), 0.3
    eye = damping**0.5 * torch.eye(matrix.shape[1], dtype=matrix.dtype)
    solved = torch.linalg.lstsq(torch.cat([matrix, eye]), torch.cat([y, damping**0.5 * x0], 1).T).solution.T
    torch.testing.assert_close(operator.pinv(y, damping=damping, x0=x0, tolerance=1e-14), solved)


def test_with_changes_one_argument_and_leaves_the_operator_alone() -> None:
    operator = Dense(values=MATRIX_A, offset=1).eval()
    changed = operator.with_(offset=2)
    assert (changed.offset, operator.offset, changed.training) == (2, 1, False)
    assert torch.equal(changed.values, operator.values)
    with pytest.raises(
        ParameterError, match=r"Dense: ofset: not an argument; did you mean 'offset'\?; it takes: values, offset"
    ):
        operator.with_(ofset=3)


def test_shapes_that_do_not_fit_are_refused_in_one_line() -> None:
    with pytest.raises(
        UsageError, match=r"cannot compose Dense @ Dense: the first takes \(3,\), the second gives \(5,\)"
    ):
        A @ B
    with pytest.raises(UsageError, match=r"cannot add operators whose input shapes differ: \(3,\) and \(4,\)"):
        A + B
    with pytest.raises(UsageError, match=r"cannot stack operators whose input shapes differ"):
        stack(A, B)
    with pytest.raises(UsageError, match="output sizes along axis 1 are known"):
        stack(Identity(), Identity())
    with pytest.raises(UsageError, match="output sizes along axis 2 are known"):
        stack(A, A, axis=2)
    with pytest.raises(UsageError, match="not 0"):
        stack(A, A, axis=0)
    with pytest.raises(UsageError, match=r"Separable takes a tensor \(batch, any, 3\), got \(2, 1, 4\)"):
        Separable(matrices=[MATRIX_A])(randn(2, 1, 4))
    for wrapper in (lambda op: op.H, lambda op: op.N, lambda op: 2 * op):
        with pytest.raises((UsageError, AttributeError, TypeError)):
            wrapper(Noise())
    with pytest.raises(UsageError, match="Noise is not linear"):
        Sum(operators=[A, Noise()])


def test_shapes_merge_what_each_knows() -> None:
    wide = Separable(matrices=[MATRIX_A])
    total = Sum(operators=[wide, Dense3()])
    assert total.input_shape == (2, 3)
    joined = Stack(operators=[wide, wide], axis=2)
    assert joined.output_shape == (None, 8)
    x = randn(2, 5, 3)
    torch.testing.assert_close(joined(x), torch.cat([wide(x), wide(x)], 2))
    torch.testing.assert_close(joined.adjoint(joined(x)), joined.normal(x))


class Dense3(LinearOperator):
    input_shape, output_shape = (2, 3), (2, 4)

    def forward(self, x: Tensor) -> Tensor:
        return x @ MATRIX_A.T

    def adjoint(self, y: Tensor) -> Tensor:
        return y @ MATRIX_A


def test_incomplete_operators_are_refused() -> None:
    class Half(LinearOperator):
        def forward(self, x: Tensor) -> Tensor:
            return x

    with pytest.raises(TypeError, match="adjoint"):
        Half()


# Noise and random families


def test_noise_composes_and_goes() -> None:
    noisy = Noise() @ B @ A
    assert type(noisy) is Composition
    assert noisy.stochastic
    assert noisy.input_shape == (3,)
    x = randn(2, 3)
    assert torch.equal(noisy(x, generator=generator(1)), noisy(x, generator=generator(1)))
    assert not torch.equal(noisy(x, generator=generator(1)), noisy(x, generator=generator(2)))
    clean = noisy.noiseless
    assert isinstance(clean, LinearComposition)
    assert not clean.stochastic
    torch.testing.assert_close(clean.matrix(), MATRIX_B @ MATRIX_A)
    assert (Noise() @ A).noiseless is A
    assert A.noiseless is A
    # The random numbers of an inner factor are drawn first.
    g = generator(3)
    torch.testing.assert_close(
        (Noise() @ A @ Noise())(x, generator=generator(3)),
        A(x + torch.randn(2, 3, generator=g, dtype=x.dtype)) + torch.randn(2, 4, generator=g, dtype=x.dtype),
    )


def test_families_are_drawn_through_every_combination() -> None:
    family = Flip(signs=torch.ones(4, dtype=torch.float64))
    assert A.sample(generator()) is A
    assert (B @ A).sample(generator()).operators[0] is B
    drawn = family.sample(generator(7))
    assert set(drawn.signs.tolist()) == {-1.0, 1.0}
    x = randn(2, 3)
    for operator, expected in (
        (family @ A, drawn @ A),
        (2 * (family @ A), 2 * (drawn @ A)),
        ((family @ A).N, (drawn @ A).N),
        (A.H @ family, A.H @ drawn),
        ((family @ A) + A, (drawn @ A) + A),
        (stack(family @ A, A), stack(drawn @ A, A)),
    ):
        like = x if operator.input_shape == (3,) else randn(2, 4)
        assert torch.equal(operator.sample(generator(7))(like), expected(like))
    assert torch.equal(family.signs, torch.ones(4, dtype=torch.float64))
    noisy = (Noise() @ family @ A).sample(generator(7))
    assert noisy.stochastic
    assert torch.equal(noisy.noiseless(x), (drawn @ A)(x))


# The adjoint as the backward


@pytest.mark.parametrize("matrix", [MATRIX_A, MATRIX_C], ids=["real", "complex"])
@pytest.mark.parametrize("complex_image", [False, True])
@pytest.mark.parametrize("side", ["forward", "adjoint"])
def test_opaque_operators_differentiate_at_any_order(matrix: Tensor, complex_image: bool, side: str) -> None:
    operator = Opaque(values=matrix)
    size = matrix.shape[1 if side == "forward" else 0]
    x = randn(2, size, seed=3, dtype=torch.complex128 if complex_image else torch.float64).requires_grad_()
    function = getattr(operator, side)
    assert torch.autograd.gradcheck(function, x, check_forward_ad=True)
    assert torch.autograd.gradgradcheck(lambda x: function(x).abs() ** 2, x)


def test_backward_is_the_adjoint() -> None:
    operator = Opaque(values=MATRIX_C)
    x, y = randn(2, 3, dtype=torch.complex128).requires_grad_(), randn(2, 4, seed=1, dtype=torch.complex128)
    (gradient,) = torch.autograd.grad(operator(x), x, y)
    assert torch.equal(gradient, operator.adjoint(y))
    real = randn(2, 3).requires_grad_()
    (gradient,) = torch.autograd.grad(operator(real), real, y)
    assert torch.equal(gradient, operator.adjoint(y).real)


def test_functional_transforms_see_through_opaque_kernels() -> None:
    operator = Opaque(values=MATRIX_A)
    x = randn(1, 3)
    torch.testing.assert_close(torch.func.jacrev(operator)(x)[0, :, 0], MATRIX_A)
    torch.testing.assert_close(torch.func.jacfwd(operator)(x)[0, :, 0], MATRIX_A)
    hessian = torch.func.hessian(lambda x: (operator(x) ** 2).sum() / 2)(x)
    torch.testing.assert_close(hessian[0, :, 0], MATRIX_A.T @ MATRIX_A)
    batches = randn(5, 2, 3)
    torch.testing.assert_close(torch.vmap(operator)(batches), operator(batches.flatten(0, 1)).unflatten(0, (5, 2)))
    torch.testing.assert_close(torch.vmap(operator, in_dims=1, out_dims=1)(batches), torch.vmap(operator)(batches))


def test_subclasses_inherit_the_tie() -> None:
    class Doubled(Opaque):
        def forward(self, x: Tensor) -> Tensor:
            return 2 * super().forward(x)

        def adjoint(self, y: Tensor) -> Tensor:
            return 2 * super().adjoint(y)

    operator = Doubled(values=MATRIX_A)
    x = randn(2, 3).requires_grad_()
    torch.testing.assert_close(torch.func.jacrev(operator)(x[:1])[0, :, 0], 2 * MATRIX_A)
    assert torch.autograd.gradcheck(operator, x)
    assert torch.autograd.gradcheck(operator.adjoint, randn(2, 4).requires_grad_())
    assert Opaque.forward.__doc__ == "Multiply by the matrix."


def test_tied_operators_compile_without_a_graph_break() -> None:
    class Traceable(Dense, adjoint_as_backward=True):
        pass

    operator = Traceable(values=MATRIX_B) @ Traceable(values=MATRIX_A)
    x = randn(2, 3).requires_grad_()
    compiled = torch.compile(operator, backend="eager", fullgraph=True)
    (gradient,) = torch.autograd.grad((compiled(x) ** 2).sum(), x)
    torch.testing.assert_close(gradient, 2 * operator.normal(x))


class SpawnItems(torch.utils.data.Dataset):
    def __init__(self, operator: Operator) -> None:
        self.operator = operator

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> Tensor:
        return self.operator(torch.full((1, 1, 3), float(index), dtype=torch.float64))[0]


@pytest.mark.slow
def test_operators_travel_to_spawned_workers() -> None:
    operator = 2 * (Separable(matrices=[MATRIX_A]) @ Separable(matrices=[torch.eye(3, dtype=torch.float64)]))
    data = [operator(torch.full((1, 1, 3), float(i), dtype=torch.float64))[0] for i in range(4)]
    loader = torch.utils.data.DataLoader(
        SpawnItems(operator), batch_size=2, num_workers=1, multiprocessing_context="spawn"
    )
    torch.testing.assert_close(torch.cat(list(loader)), torch.stack(data))


# Separable operators


@pytest.mark.parametrize("kind", ["dense", "banded", "circular", "empty rows"])
def test_separable_skips_nothing_but_zeros(kind: str) -> None:
    matrix = randn(150, 201)
    if kind != "dense":
        row, column = torch.arange(150)[:, None], torch.arange(201)
        distance = (column - row * 201 / 150).abs()
        matrix[(torch.minimum(distance, 201 - distance) if kind == "circular" else distance) > 5] = 0
    if kind == "empty rows":
        matrix[60:140] = 0
    operator = Separable(matrices=[matrix, MATRIX_A])
    x, y = randn(2, 3, 201, 3), randn(2, 3, 150, 4)
    torch.testing.assert_close(operator(x), matrix @ x @ MATRIX_A.T)
    torch.testing.assert_close(operator.adjoint(y), matrix.T @ y @ MATRIX_A)
    assert operator(x).is_contiguous()
    with pytest.raises(UsageError, match="one real matrix per spatial axis"):
        Separable(matrices=[matrix[0]])


# Tables


def test_tables_are_exact_in_both_precisions() -> None:
    third = torch.tensor([1.0], dtype=torch.float64) / 3
    table = Table(third)
    assert torch.equal(table(torch.zeros(1, dtype=torch.float64)), third)
    assert torch.equal(table(torch.zeros(1, dtype=torch.complex128)), third)
    assert torch.equal(table(torch.zeros(1)), third.float())
    assert table(torch.zeros(1, dtype=torch.complex64)).dtype == torch.float32
    assert table(torch.zeros(1, dtype=torch.bfloat16)).dtype == torch.bfloat16
    assert Table(third * 1j)(torch.zeros(1)).dtype == torch.complex64
    assert not table.state_dict()
    assert torch.equal(pickle.loads(pickle.dumps(table))(torch.zeros(1, dtype=torch.float64)), third)
    # Nothing in double precision moves with the module: some devices have none.
    assert all(buffer.dtype == torch.float32 for buffer in table.buffers())
