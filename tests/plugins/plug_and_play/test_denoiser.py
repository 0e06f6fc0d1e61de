"""The denoiser: intensity ranges, noise levels, complex images, volumes; weights from every kind of file."""

import pickle

import pytest
import torch
from torch import nn

import recon
from recon.engine.checkpoint import tensor_bytes
from recon.errors import CheckpointError, UsageError
from recon.operators import Identity
from recon_plugins.dncnn import from_published
from recon_plugins.plug_and_play import Denoiser, load_weights


def rand(*shape, seed=0, dtype=torch.float32):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


class Seen(nn.Module):
    """A network that notes what it sees and halves its distance to 0.5."""

    def __init__(self, dims=2):
        super().__init__()
        self.dims = dims
        self.inputs = []

    def forward(self, z):
        self.inputs.append(z)
        return 0.5 * z[:, :1] + 0.25


def test_range_is_mapped_to_the_networks_and_back():
    model = Seen()
    x = 40 * rand(2, 3, 5, 4) - 10
    y = Denoiser(model=model, value_range=(-10, 30))(x, Identity())
    assert model.inputs[0].shape == (6, 1, 5, 4)  # channels are denoised one by one
    torch.testing.assert_close(model.inputs[0].reshape(x.shape), (x + 10) / 40)
    torch.testing.assert_close(y, 10 + (x - 10) / 2)


def test_automatic_range_is_each_items_own():
    model = Seen()
    x = torch.stack([rand(1, 6, 5), 1 - 3 * rand(1, 6, 5), torch.zeros(1, 6, 5)])
    y = Denoiser(model=model)(x)
    z = model.inputs[0]
    torch.testing.assert_close(z[0], x[0] / x[0].max())  # from 0, though the least value is more
    torch.testing.assert_close(z[1].amin(), torch.tensor(0.0))
    torch.testing.assert_close(z[1].amax(), torch.tensor(1.0))
    assert not z[2].any()
    torch.testing.assert_close(Denoiser(model=model)(100 * x)[:2], 100 * y[:2])


@pytest.mark.parametrize("sigma", [0.05, 0.2])
def test_other_noise_levels_by_scaling(sigma):
    model = Seen()
    x = rand(1, 1, 5, 4)
    y = Denoiser(model=model, noise_level=0.1, value_range=(0, 2)).at(sigma)(x)
    factor = 0.1 / sigma
    torch.testing.assert_close(model.inputs[0], factor * x / 2)
    torch.testing.assert_close(y, 2 * (0.5 * factor * x / 2 + 0.25) / factor)


def test_noise_map_is_a_channel():
    model = Seen()
    x = rand(2, 1, 5, 4)
    denoiser = Denoiser(model=model, noise_level="map", sigma=0.3, value_range=(0, 1))
    torch.testing.assert_close(denoiser.at(0.07)(x), 0.5 * x + 0.25)
    assert model.inputs[0].shape == (2, 2, 5, 4)
    assert torch.equal(model.inputs[0][:, 1], torch.full((2, 5, 4), 0.07))
    assert denoiser.sigma == 0.3  # `at` gives another one


def test_complex_images():
    x = torch.randn(2, 1, 5, 4, dtype=torch.complex64, generator=torch.Generator().manual_seed(0))
    model = Seen()
    parts = Denoiser(model=model, value_range=(-4, 4))(x)
    torch.testing.assert_close(parts, x / 2)  # halved towards the middle of the range, both parts
    model = Seen()
    Denoiser(model=model)(x)
    modulus = torch.view_as_real(x).abs().flatten(1).amax(1).reshape(2, 1, 1, 1)
    torch.testing.assert_close(model.inputs[0], (x.real / modulus + 1) / 2)
    torch.testing.assert_close(model.inputs[1], (x.imag / modulus + 1) / 2)
    magnitude = Denoiser(model=Seen(), value_range=(0, 4), complex_as="magnitude")(x)
    torch.testing.assert_close(magnitude, (x.abs() / 2 + 1) * x / x.abs())


def test_volumes_go_slice_by_slice_unless_the_network_knows_them():
    x = rand(2, 1, 3, 5, 4)
    flat, solid = Seen(), Seen(dims=3)
    torch.testing.assert_close(Denoiser(model=flat)(x), Denoiser(model=solid)(x))
    assert flat.inputs[0].shape == (6, 1, 5, 4)
    assert solid.inputs[0].shape == (2, 1, 3, 5, 4)


def test_mode_of_a_given_network_stays_and_gradients_are_off():
    model = recon.build("model", "dncnn", layers=3, features=2).train()
    y = Denoiser(model=model, value_range=(0, 1))(rand(1, 1, 6, 6, dtype=torch.float64).requires_grad_())
    assert model.training
    assert y.dtype == torch.float64
    assert not y.requires_grad


@pytest.fixture
def network():
    torch.manual_seed(3)
    return recon.build("model", "dncnn", layers=4, features=3).eval()


def test_weights_from_files(network, tmp_path):
    """Of our own names, of another project's names in the same order, and pickled: the same denoiser."""
    state = network.state_dict()
    (tmp_path / "own.safetensors").write_bytes(tensor_bytes(state))
    torch.save(state, tmp_path / "own.pt")
    foreign = {f"net.{number}.{key.rpartition('.')[2]}": value for number, (key, value) in enumerate(state.items())}
    torch.save({"state_dict": foreign}, tmp_path / "foreign.pth")
    x = rand(1, 1, 7, 6)
    expected = Denoiser(model=network)(x)
    for name in ("own.safetensors", "own.pt", "foreign.pth"):
        fresh = recon.build("model", "dncnn", layers=4, features=3)
        before = {key: value.clone() for key, value in fresh.state_dict().items()}
        denoiser = Denoiser(model=fresh, weights=tmp_path / name)
        assert torch.equal(denoiser(x), expected)
        assert torch.equal(pickle.loads(pickle.dumps(denoiser))(x), expected)
        assert all(torch.equal(value, before[key]) for key, value in fresh.state_dict().items())


def test_weights_that_do_not_fit_are_refused(network, tmp_path):
    state = network.state_dict()
    model = recon.build("model", "dncnn", layers=4, features=3)
    keys = list(state)
    swapped = {f"x.{key}": state[key] for key in [keys[1], keys[0], *keys[2:]]}
    cases = {
        "short.pt": ({key: state[key] for key in keys[:-1]}, "Missing key"),
        "swapped.pt": (swapped, "stands where the model has"),
        "few.pt": ({f"x.{key}": state[key] for key in keys[:3]}, "3 tensors"),
        "object.pt": ({"a": 1}, "no state dict"),
    }
    for name, (content, message) in cases.items():
        torch.save(content, tmp_path / name)
        with pytest.raises(CheckpointError, match=message):
            load_weights(model, tmp_path / name)
    (tmp_path / "text.pt").write_text("weights")
    with pytest.raises(CheckpointError, match="not a state dict"):
        load_weights(model, tmp_path / "text.pt")
    with pytest.raises(CheckpointError, match="does not exist"):
        load_weights(model, tmp_path / "none.pt")
    with pytest.raises(UsageError, match="leave out the model"):
        load_weights(model, tmp_path)
    with pytest.raises(UsageError, match="need the model"):
        load_weights(None, tmp_path / "short.pt")


def test_files_with_code_are_not_run(tmp_path):
    class Code:
        def __reduce__(self):
            return (tmp_path.joinpath("ran").touch, ())

    (tmp_path / "evil.pt").write_bytes(pickle.dumps({"weight": Code()}))
    with pytest.raises(CheckpointError):
        load_weights(recon.build("model", "dncnn", layers=2, features=1), tmp_path / "evil.pt")
    assert not (tmp_path / "ran").exists()


def test_published_weights_load_by_order(shared_data):
    path = shared_data / "weights" / "dncnn_kair" / "dncnn_25.pth"
    denoiser = recon.build(
        "method", "denoiser", model={"use": "dncnn", "batch_norm": False}, weights=str(path), value_range=[0, 1]
    )
    published = from_published(torch.load(path, map_location="cpu", weights_only=True))
    x = rand(1, 1, 12, 11)
    with torch.no_grad():
        assert torch.equal(denoiser(x), published(x))


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({}, "needs a model"),
        ({"model": nn.Identity(), "sigma": 0.1}, "needs noise_level"),
        ({"model": nn.Identity(), "noise_level": "map"}, "needs sigma"),
        ({"model": nn.Identity(), "value_range": (1, 1)}, "must rise"),
    ],
)
def test_wrong_arguments(params, message):
    with pytest.raises(UsageError, match=message):
        Denoiser(**params)


def test_measurements_and_operator_models_are_refused():
    with pytest.raises(UsageError, match="use plug_and_play"):
        Denoiser(model=Seen())(rand(1, 1, 4, 4), recon.build("operator", "fourier"))
    with pytest.raises(UsageError, match="with an operator"):
        Denoiser(model=recon.build("model", "learned_primal_dual", iterations=1, features=1))
    with pytest.raises(UsageError, match="noise_level"):
        Denoiser(model=Seen()).at(0.1)
