"""Weights that others published, as models."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from recon.errors import CheckpointError
from recon_plugins.dncnn.model import DnCNN

__all__ = ["from_published"]


def from_published(state: Mapping[str, Tensor], *, bn_eps: float = 1e-4) -> DnCNN:
    """Make the model that a published state dict belongs to; width, depth and colours are read off its tensors.

    Understood are plain sequences of convolutions, or of convolutions each but the first and last followed by batch
    normalisation, whatever the prefix of their keys ``PREFIX.NUMBER.weight``: KAIR's files and the PyTorch ports.

    Parameters
    ----------
    state
        The state dict, loaded with ``torch.load(path, map_location="cpu", weights_only=True)``.
    bn_eps
        Number that the published network adds to the variance; state dicts do not hold it. 1e-4 in the authors' code,
        1e-5 where torch's default was kept.

    Raises
    ------
    CheckpointError
        If the state dict is not of such a network.
    """
    modules: dict[int, dict[str, Tensor]] = {}
    for key, value in state.items():
        *_, number, name = ["", *key.split(".")]
        if not number.isdigit():
            raise CheckpointError(f"key {key!r} is not of a DnCNN; expected keys like 'model.0.weight'")
        modules.setdefault(int(number), {})[name] = value
    parts = [modules[number] for number in sorted(modules)]
    convolutions = [part for part in parts if "weight" in part and part["weight"].ndim == 4]
    norms = [part for part in parts if "running_var" in part]
    if len(convolutions) < 2 or len(parts) != len(convolutions) + len(norms):
        raise CheckpointError("the state dict is not a sequence of convolutions and batch normalisations")
    if norms and len(norms) != len(convolutions) - 2:
        raise CheckpointError(f"{len(norms)} batch normalisations do not fit {len(convolutions)} convolutions")

    features, channels = convolutions[0]["weight"].shape[:2]
    model = DnCNN(channels=channels, layers=len(convolutions), features=features, batch_norm=bool(norms), bn_eps=bn_eps)
    own: dict[str, Tensor] = {}
    for index, part in enumerate(convolutions):
        own |= {f"body.{index}.conv.{name}": value for name, value in part.items()}
    for index, part in enumerate(norms, start=1):
        own |= {f"body.{index}.adn.N.{name}": value for name, value in part.items()}
    # Published networks that differ only in biases they do without, or in counters, are the same function.
    for key, value in model.state_dict().items():
        if key not in own and key.endswith(("bias", "num_batches_tracked")):
            own[key] = value.zero_()
    try:
        model.load_state_dict(own)
    except RuntimeError as error:
        raise CheckpointError(f"the state dict is not of a DnCNN: {' '.join(str(error).split())}") from error
    return model.eval()
