"""MoDL: its turns written out with dense matrices, the implicit gradient, memory, precision."""

import pytest
import torch
from torch import nn

import recon
from recon_plugins.modl import MoDL, regularised_solution

COLUMNS = [1, 0, 1, 1, 0, 1, 1]


def rand(*shape, seed=0, dtype=torch.complex128):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def maps(coils=3, size=(6, 7)):
    values = rand(coils, *size, seed=5)
    return values / torch.linalg.vector_norm(values, dim=0)


def sense(**params):
    return recon.build("operator", "multicoil_fourier", maps=maps(), mask=COLUMNS, **params)


def denoiser(seed=0):
    torch.manual_seed(seed)
    network = {"use": "dncnn", "channels": 2, "layers": 3, "features": 4, "batch_norm": False}
    return recon.build("model", "complex_channels", model=network).double()


def build(**params):
    return MoDL(**{"model": denoiser(), "iterations": 3, "cg_iterations": 45} | params).double()


def solve_dense(operator, right, weight):
    matrix = operator.matrix()
    normal = matrix.mH @ matrix + weight * torch.eye(matrix.shape[1], dtype=matrix.dtype)
    return torch.linalg.solve(normal, right.flatten(1).T).T.reshape(right.shape)


@pytest.mark.parametrize("kind", ["sense", "rays"])
def test_turns_written_out_give_the_same(kind):
    if kind == "sense":
        operator, model, dtype = sense(), build(weight=0.3), torch.complex128
    else:
        operator = recon.build("operator", "radon", size=(6, 5), angles=4)
        network = recon.build("model", "dncnn", layers=3, features=4, batch_norm=False).double()
        model, dtype = build(model=network, weight=3.0), torch.float64
    x = rand(2, 1, *(operator.input_shape[1:]), dtype=dtype)
    y = operator(x)
    b = operator.adjoint(y)
    scale = b.abs().amax((1, 2, 3), keepdim=True)
    b = b / scale
    expected = b
    for _ in range(3):
        expected = solve_dense(operator, b + model.weight * model.model(expected), model.weight)
    torch.testing.assert_close(
        model(y, operator), expected * scale, rtol=1e-6, atol=1e-7
    )  # the weight is single precision's


def test_solution_is_that_of_least_squares():
    operator, b, weight = sense(), rand(2, 1, 6, 7), torch.tensor(0.2, dtype=torch.float64)
    x = regularised_solution(operator, b, weight, iterations=80)
    torch.testing.assert_close(x, solve_dense(operator, b, 0.2), rtol=1e-10, atol=1e-10)


def test_gradient_of_the_solution():
    """By finite differences: with respect to the right-hand side and the weight."""
    operator = recon.build("operator", "multicoil_fourier", maps=maps(2, (3, 4)), mask=[1, 0, 1, 1])
    b = rand(1, 1, 3, 4).requires_grad_()
    weight = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda b, w: regularised_solution(operator, b, w, iterations=14), (b, weight))


def test_gradient_reaches_what_the_operator_is_made_of():
    given = maps(2, (2, 4)).requires_grad_()
    b, weight = rand(1, 1, 2, 4), torch.tensor(0.5, dtype=torch.float64)

    def solution(given):
        operator = recon.build("operator", "multicoil_fourier", maps=given, mask=[1, 0, 1, 1])
        return regularised_solution(operator, b, weight, iterations=10)

    assert torch.autograd.gradcheck(solution, (given,))


def test_implicit_gradient_is_the_unrolled_one_where_the_steps_converge():
    operator, b = sense(), rand(2, 1, 6, 7)
    gradients = []
    for implicit in (True, False):
        right, weight = b.clone().requires_grad_(), torch.tensor(0.4, dtype=torch.float64, requires_grad=True)
        if implicit:
            x = regularised_solution(operator, right, weight, iterations=60)
        else:

            def normal(x, weight=weight):
                return operator.normal(x) + weight * x

            x = recon.solvers.conjugate_gradient(normal, right, iterations=60, tolerance=1e-12)
        (x * rand(2, 1, 6, 7, seed=1)).real.sum().backward()
        gradients.append((right.grad, weight.grad))
    torch.testing.assert_close(*gradients, rtol=1e-7, atol=1e-9)


def test_gradient_of_the_network_by_finite_differences():
    """Through all turns: of the weight w and of a bias of the denoiser."""
    operator, model = sense(), build(iterations=2)
    y = operator(rand(1, 1, 6, 7))
    weights = rand(1, 1, 6, 7, seed=3)

    def loss():
        return (model(y, operator) * weights).real.sum()

    loss().backward()
    parameters = [model.log_weight, *(p for p in model.model.parameters() if p.ndim == 1)][:3]
    for parameter in parameters:
        place = (0,) * parameter.ndim
        with torch.no_grad():
            values = []
            for step in (1e-5, -2e-5):
                parameter[place] += step
                values.append(float(loss()))
            parameter[place] += 1e-5
        difference = (values[0] - values[1]) / 2e-5
        assert float(parameter.grad[place]) == pytest.approx(difference, rel=1e-5, abs=1e-8)


def test_nothing_of_the_conjugate_gradients_is_kept():
    """What autograd keeps does not grow with their number."""
    operator, kept = sense(), []
    y = operator(rand(1, 1, 6, 7))
    for steps in (2, 40):
        total = 0

        def pack(x):
            nonlocal total
            total += x.nbytes
            return x

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
            build(cg_iterations=steps)(y, operator)
        kept.append(total)
    assert kept[0] == kept[1]


def test_every_turn_has_the_same_weights():
    count = {n: sum(p.numel() for p in build(iterations=n).parameters()) for n in (1, 7)}
    assert count[1] == count[7]
    plain = sum(p.numel() for p in denoiser().parameters())
    assert count[1] == plain + 1


def test_checkpoints_change_no_gradient():
    operator, gradients = sense(), []
    y = operator(rand(2, 1, 6, 7))
    for checkpoint in (False, True):
        model = build(checkpoint=checkpoint)
        model(y, operator).abs().square().sum().backward()
        gradients.append([p.grad for p in model.parameters()])
    for plain, again in zip(*gradients, strict=True):
        torch.testing.assert_close(again, plain, rtol=1e-9, atol=1e-12)


def test_units_do_not_matter_and_an_empty_slice_gives_zeros():
    operator, model = sense(), build()
    y = operator(rand(2, 1, 6, 7))
    torch.testing.assert_close(model(1e-6 * y, operator), 1e-6 * model(y, operator), rtol=1e-9, atol=1e-18)
    x = model(torch.zeros_like(y), operator)
    x.abs().sum().backward()
    assert not x.any()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters())


def test_sensitivities_are_estimated_for_operators_that_bring_none():
    phantom = recon.build("dataset", "multicoil_phantom", size=(48, 40), coils=4)
    k = phantom[0]["measurement"][None]
    mask = torch.zeros(40, dtype=torch.bool)
    mask[::2] = mask[12:28] = True
    coils = recon.build("operator", "fourier", mask=mask)
    y = torch.where(mask, k, 0)
    model = MoDL(model=nn.Identity(), iterations=4, weight=1e-3, maps={"use": "espirit"}, output="magnitude")
    truth = phantom[0]["image"][None].abs()
    error = torch.linalg.vector_norm(model(y, coils).detach() - truth) / torch.linalg.vector_norm(truth)
    assert float(error) < 0.06
    given = recon.build("operator", "multicoil_fourier", mask=mask, maps=phantom[0]["maps"])
    untouched = MoDL(model=nn.Identity(), iterations=4, weight=1e-3, maps={"use": "espirit"})
    none = MoDL(model=nn.Identity(), iterations=4, weight=1e-3)
    assert torch.equal(untouched(y, given), none(y, given))


def test_operator_stays_in_single_precision_under_autocast():
    operator = recon.build("operator", "multicoil_fourier", maps=maps().to(torch.complex64), mask=COLUMNS)
    model = MoDL(model=denoiser().float(), iterations=2, cg_iterations=5)
    y = operator(rand(1, 1, 6, 7, dtype=torch.complex64))
    with torch.no_grad():
        full = model(y, operator)
        with torch.autocast("cpu", torch.bfloat16):
            half = model(y, operator)
    assert half.dtype == torch.complex64
    assert float((half - full).abs().max() / full.abs().max()) < 0.03


def test_crop_and_magnitude():
    operator = sense()
    y = operator(rand(1, 1, 6, 7))
    whole = build(output="magnitude")(y, operator)
    assert torch.equal(build(output="magnitude", crop=(4, 99))(y, operator), whole[..., 1:5, :])
