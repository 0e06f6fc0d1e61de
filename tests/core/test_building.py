"""From configs to components."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import pytest
import torch
from annotated_types import Gt
from torch import nn

import recon
from recon.building import construct
from recon.errors import ComponentError, ParameterError
from recon.schema import Part


class Owner:
    def __init__(
        self,
        *,
        noise: Annotated[recon.Operator, Part("operator")],
        others: Sequence[Annotated[recon.Operator, Part("operator")]] = (),
        model: Annotated[nn.Module, Part("model")] | None = None,
        gain: Annotated[float, Gt(0)] = 1.0,
    ) -> None:
        self.noise, self.others, self.model, self.gain = noise, others, model, gain
        if gain > 100:
            raise ValueError("gain is\n  out of bounds")


def owner(**params):
    return construct(Owner, params, "operator 'owner'")


def problems(**params):
    with pytest.raises(ParameterError) as caught:
        owner(**params)
    return dict(caught.value.problems)


def test_by_name_by_config_and_directly_are_the_same():
    from recon_plugins.gaussian_noise import GaussianNoise

    one = recon.build("operator", "gaussian_noise", sigma=0.5)
    two = recon.build("operator", {"use": "gaussian_noise", "sigma": 0.5})
    three = recon.build("operator", "gaussian_noise/gaussian_noise", sigma=0.5)
    assert type(one) is type(two) is type(three) is GaussianNoise
    assert one.sigma == two.sigma == three.sigma == 0.5


def test_keyword_arguments_win_over_the_config_and_leave_it_alone():
    config = {"use": "gaussian_noise", "sigma": 0.5}
    assert recon.build("operator", config, sigma=0.1).sigma == 0.1
    assert config == {"use": "gaussian_noise", "sigma": 0.5}


def test_what_is_built_already_is_returned():
    operator = recon.build("operator", "gaussian_noise", sigma=0.5)
    assert recon.build("operator", operator) is operator
    with pytest.raises(ParameterError, match="go with a name"):
        recon.build("operator", operator, sigma=1.0)


@pytest.mark.parametrize("value", [None, 3, 0.5, True, b"radon"])
def test_plain_values_are_no_component(value):
    with pytest.raises(ComponentError, match="a name or as"):
        recon.build("operator", value)


def test_config_without_a_name():
    with pytest.raises(ComponentError, match="'use' is missing"):
        recon.build("operator", {"sigma": 1})


def test_names_are_never_dotted_paths():
    for name in ("torch.nn:ReLU", "recon_plugins.gaussian_noise.operators:GaussianNoise", "os.system"):
        with pytest.raises(ComponentError, match="unknown operator"):
            recon.build("operator", name)


def test_unknown_parameters_get_a_suggestion():
    with pytest.raises(ParameterError, match="sigmaa: unknown parameter; did you mean 'sigma'") as caught:
        recon.build("operator", "gaussian_noise", sigmaa=1)
    assert str(caught.value).startswith("operator 'gaussian_noise': ")
    assert caught.value.exit_code == 2


def test_parts_are_built_from_names_and_configs_at_any_depth():
    built = owner(
        noise={"use": "gaussian_noise", "sigma": 0.5},
        others=[{"use": "gaussian_noise", "sigma": 1}, recon.build("operator", "gaussian_noise", sigma=2.0)],
    )
    assert built.noise.sigma == 0.5
    assert [operator.sigma for operator in built.others] == [1, 2.0]
    assert built.model is None


def test_problems_in_parts_have_the_whole_path():
    found = problems(noise={"use": "gaussian_noise", "sigma": -1})
    assert list(found) == [("noise", "sigma")]
    assert "operator 'gaussian_noise'" in found["noise", "sigma"]
    found = problems(noise="gausian_noise")
    assert "did you mean 'gaussian_noise'" in found["noise",]
    good = {"use": "gaussian_noise", "sigma": 1}
    assert list(problems(noise=good, others=[good, {**good, "sgima": 1}])) == [("others", 1, "sgima")]
    assert list(problems(noise=good, others=[good, 7])) == [("others", 1)]


def test_errors_of_a_constructor_become_one_line():
    with pytest.raises(ParameterError) as caught:
        owner(noise={"use": "gaussian_noise", "sigma": 1}, gain=101)
    assert str(caught.value) == "operator 'owner': gain is out of bounds"
    assert isinstance(caught.value.__cause__, ValueError)


def test_parameter_errors_cross_process_borders():
    import pickle

    error = ParameterError("operator 'x'", [(("a", 1), "wrong")])
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.problems) == (str(error), error.problems)


def test_weights_do_not_depend_on_how_a_model_is_named():
    torch.manual_seed(0)
    one = recon.build("model", "srcnn")
    torch.manual_seed(0)
    two = recon.build("model", {"use": "srcnn/srcnn"})
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))
