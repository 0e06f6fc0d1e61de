"""The catalogue of MONAI's classes against the installed MONAI."""

import importlib.util
import inspect
import subprocess
import sys

import pytest
import torch

import recon
from recon.errors import MissingDependencyError, ParameterError
from recon_plugins.monai.catalogue import LOSSES, NETWORKS

LISTED = [("model", name) for name in NETWORKS] + [("loss", name) for name in LOSSES]


def listed(kind, name):
    entry = (NETWORKS if kind == "model" else LOSSES)[name]
    for module in entry.requires:
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"{module} is not installed")
    return entry


@pytest.mark.parametrize(("kind", "name"), LISTED, ids=[name for _, name in LISTED])
def test_listed_class_builds_and_runs(kind, name):
    entry = listed(kind, name)
    module = recon.build(kind, f"monai/{name}", **entry.params)
    assert type(module).__name__ == name
    assert type(module).__module__.startswith("monai.")
    x = torch.randn(entry.shape, generator=torch.Generator().manual_seed(0)).requires_grad_()
    if kind == "model":
        y = module.eval()(x)
        assert y.shape[2:] == x.shape[2:]
        y.square().mean().backward()
    else:
        labels = torch.randint(0, entry.shape[1], (entry.shape[0], 1, *entry.shape[2:]))
        value = module(x, labels if entry.labels else torch.randn(entry.shape))
        assert value.shape == ()
        value.backward()
    assert x.grad.abs().max() > 0


@pytest.mark.parametrize(("kind", "name"), LISTED, ids=[name for _, name in LISTED])
def test_constructor_names_every_parameter(kind, name):
    listed(kind, name)
    import monai.losses
    import monai.networks.nets

    target = getattr(monai.networks.nets if kind == "model" else monai.losses, name)
    kinds = {parameter.kind for parameter in inspect.signature(target).parameters.values()}
    assert not kinds & {inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL}


def test_every_image_network_of_the_field_is_there():
    assert {"AttentionUnet", "BasicUNet", "DynUNet", "SegResNet", "SwinUNETR", "UNet", "UNETR", "VNet"} <= set(NETWORKS)
    assert {"DiceLoss", "DiceCELoss", "FocalLoss", "SSIMLoss", "TverskyLoss"} <= set(LOSSES)


def test_names_are_never_bare():
    with pytest.raises(recon.errors.ComponentError, match="monai/BasicUNet"):
        recon.build("model", "BasicUNet")


def test_misspelt_parameter_is_named_with_a_suggestion():
    with pytest.raises(ParameterError, match=r"monai/BasicUNet.*feature: unknown parameter; did you mean 'features'"):
        recon.build("model", "monai/BasicUNet", feature=[1, 2])


def test_value_of_a_wrong_type_is_named():
    with pytest.raises(ParameterError, match=r"spatial_dims: .*got 'two'"):
        recon.build("model", {"use": "monai/BasicUNet", "spatial_dims": "two"})


def test_lists_of_a_config_become_what_monai_takes():
    model = recon.build("model", "monai/BasicUNet", spatial_dims=2, act=["LeakyReLU", {"negative_slope": 0.3}])
    assert {m.negative_slope for m in model.modules() if isinstance(m, torch.nn.LeakyReLU)} == {0.3}


def test_missing_module_tells_the_extra(monkeypatch):
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *a: None if name == "einops" else find_spec(name, *a))
    with pytest.raises(MissingDependencyError, match=r"pip install 'recon-toolkit\[einops\]'"):
        recon.build("model", "monai/SwinUNETR", in_channels=1, out_channels=1)


def test_declaration_imports_neither_monai_nor_torch():
    code = (
        "import sys, recon_plugins.monai as p; list(p.recon_components()); print({'monai', 'torch'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
