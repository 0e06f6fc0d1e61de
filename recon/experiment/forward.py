"""The forward model of an experiment: operators in the order in which they act."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, Self, cast

import yaml

from recon.building import build
from recon.errors import FileFormatError, UsageError
from recon.experiment.source import parse
from recon.operators import Operator, compose
from recon.registry import registry
from recon.schema import constructor_parameters

__all__ = ["ForwardModel"]


class ForwardModel:
    """Configs of operators, the first of which acts first; noise is one of them.

    An operator whose constructor needs ``size`` and is not given it gets the size of the image that reaches it; one
    that takes ``pixel``, in mm, and is not given it gets that of the image, where it is known.

    Parameters
    ----------
    configs
        ``{use: name, ...parameters}`` each.
    place
        Context that names the config of an index in errors.
    """

    def __init__(
        self,
        configs: Sequence[Mapping[str, Any]],
        *,
        place: Callable[[int], AbstractContextManager[None]] = lambda index: nullcontext(),  # noqa: ARG005
    ) -> None:
        self.configs = list(configs)
        self._place = place

    @classmethod
    def load(cls, text: str) -> Self:
        """Read a forward model: of an experiment (file, run folder, shipped name), a YAML file or text of configs.

        Raises
        ------
        FileFormatError
            If it is none of these.
        """
        from recon.experiment.experiment import Experiment, shipped

        path = Path(text)
        if path.is_dir() or text in shipped():
            return cls(Experiment.load(text).resolved["forward"])
        if not path.is_file() and path.suffix in (".yaml", ".yml"):
            raise FileFormatError(f"file {text} does not exist")
        try:
            value = parse(path.read_text(encoding="utf-8") if path.is_file() else text)
        except UnicodeDecodeError:
            raise FileFormatError(f"{text} is not a YAML file: give {{use: name, ...parameters}}") from None
        except yaml.MarkedYAMLError as error:
            raise FileFormatError(f"{text}: not valid YAML: {error.problem or error.context}") from None
        except yaml.YAMLError as error:
            raise FileFormatError(f"{text}: not valid YAML: {' '.join(str(error).split())}") from None
        if isinstance(value, dict) and "forward" in value:
            return cls(Experiment.load(text).resolved["forward"])
        configs = [{"use": item} if isinstance(item, str) else item for item in _listed(value)]
        if not configs or not all(isinstance(item, dict) and isinstance(item.get("use"), str) for item in configs):
            raise FileFormatError(f"{text}: an operator is {{use: name, ...parameters}}, or a list of them")
        return cls(configs)

    @property
    def sized(self) -> bool:
        """Whether an operator waits for the size of the images."""
        return any(_wants_size(config) for config in self.configs)

    def operators(
        self, size: tuple[int, ...] | None = None, pixel: float | tuple[float, ...] | None = None
    ) -> list[Operator]:
        """Build the operators in the order in which they act, for images of `size` (*space) and `pixel` mm."""
        built: list[Operator] = []
        for index, config in enumerate(self.configs):
            with self._place(index):
                if _wants_size(config):
                    if size is None:
                        raise UsageError(
                            f"operator {config['use']!r} needs the images' size: give size: [height, width]"
                        )
                    config = {**config, "size": list(size)}
                if pixel is not None and self.takes_pixel(config):
                    config = {**config, "pixel": pixel}
                built.append(build("operator", config))
            size = _space_after(built[-1], size)
        return built

    @staticmethod
    def takes_pixel(config: Mapping[str, Any]) -> bool:
        """Whether an operator takes the size of a pixel and is not given it."""
        return "pixel" not in config and "pixel" in constructor_parameters(
            registry().find("operator", config["use"]).load()
        )

    def build(self, size: tuple[int, ...] | None = None) -> Operator:
        """Build the composition of all operators."""
        return compose(*reversed(self.operators(size)))


def _wants_size(config: Mapping[str, Any]) -> bool:
    if "size" in config:
        return False
    parameter = constructor_parameters(registry().find("operator", config["use"]).load()).get("size")
    return parameter is not None and parameter.default is parameter.empty


def _listed(value: object) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _space_after(operator: Operator, size: tuple[int, ...] | None) -> tuple[int, ...] | None:
    """Return the size that an operator leaves, for the next one."""
    if operator.output_shape is None:
        return size
    space = operator.output_shape[1:]
    if size is not None and len(space) == len(size):
        return tuple(old if new is None else new for old, new in zip(size, space, strict=True))
    return None if any(n is None for n in space) else cast("tuple[int, ...]", space)
