"""Measure the speed of an operator or a model on this machine.

Without parameters the component's own small example is used. Times are medians over interleaved repetitions; on a
shared machine read ratios, not absolute values.

  recon bench operator radon --set size=[256,256] --set angles=180 --batch 4
  recon bench model unet --set chans=32 --shape 1,320,320 --dtype bfloat16 --device cuda
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from recon.cli.common import assignment, positive, sizes
from recon.errors import UsageError, is_out_of_memory

if TYPE_CHECKING:
    import torch

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of ``recon bench``."""
    parser.add_argument("kind", choices=["operator", "model"])
    parser.add_argument("name", help="component name")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="constructor parameter (YAML)")
    parser.add_argument("--shape", type=sizes, help="shape of one image without the batch axis, such as 1,320,320")
    parser.add_argument("--batch", type=positive, default=1, help="images at once (default 1)")
    parser.add_argument("--dtype", default="float32", choices=["float32", "float64", "bfloat16", "float16"])
    parser.add_argument("--device", default="cpu", help="torch device (default cpu)")
    parser.add_argument("--repeat", type=positive, default=7, help="timed repetitions (default 7)")
    parser.add_argument("--threads", type=positive, help="CPU threads (default: torch's own choice)")


def run(arguments: argparse.Namespace) -> int:
    """Time the component and print one line per map."""
    import torch

    from recon.building import build
    from recon.engine.distributed import choose_device
    from recon.interfaces import describe
    from recon.registry import registry, resolve_target

    device = choose_device(arguments.device)
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    params = dict(assignment(item) for item in arguments.set)
    shape: list[int] | None = arguments.shape
    component = registry().find(arguments.kind, arguments.name).component
    if not params and shape is None and component.examples:
        example = resolve_target(component.examples)()[0]
        params, shape = dict(example.params), list(example.shape[1:])
    module = build(arguments.kind, arguments.name, **params).to(device)
    if shape is None:
        shape = [1 if size is None else size for size in getattr(module, "input_shape", None) or ()]
    if not shape:
        raise UsageError(f"{arguments.name} takes images of any shape: say which with --shape 1,256,256")

    dtype: torch.dtype = getattr(torch, arguments.dtype)
    x = torch.randn(arguments.batch, *shape, device=device)
    try:
        maps = _operator_maps(module, x, dtype) if arguments.kind == "operator" else _model_maps(module, x, dtype)
        times = _interleaved(maps, arguments.repeat, device.type)
    except (RuntimeError, ValueError) as error:  # torch's ways to say that a tensor does not fit a layer
        if is_out_of_memory(error):
            raise
        raise UsageError(f"{arguments.name} does not take a {describe(x)}: {error}; give another --shape") from error
    print(f"{arguments.kind} {arguments.name}, batch {tuple(x.shape)}, {arguments.dtype}, {device}, ", end="")
    print(f"{torch.get_num_threads()} threads, median of {arguments.repeat}")
    for name, values in times.items():
        median = statistics.median(values)
        print(f"  {name:<12} {median * 1e3:10.3f} ms   {arguments.batch / median:12.1f} images/s")
    return 0


def _operator_maps(operator: Any, x: torch.Tensor, dtype: torch.dtype) -> dict[str, Callable[[], object]]:
    import torch

    from recon.operators import LinearOperator

    x = x.to(dtype.to_complex() if operator.complex_input else dtype)
    if operator.stochastic:
        generator = torch.Generator(x.device).manual_seed(0)
        return {"forward": lambda: operator(x, generator=generator)}
    maps: dict[str, Callable[[], object]] = {"forward": lambda: operator(x)}
    if isinstance(operator, LinearOperator):
        y = operator(x)
        maps |= {"adjoint": lambda: operator.adjoint(y), "normal": lambda: operator.normal(x)}
    return maps


def _model_maps(model: Any, x: torch.Tensor, dtype: torch.dtype) -> dict[str, Callable[[], object]]:
    import torch

    mixed = dtype in (torch.bfloat16, torch.float16)
    if not mixed:
        model, x = model.to(dtype), x.to(dtype)

    def forward() -> torch.Tensor:
        with torch.autocast(x.device.type, dtype, enabled=mixed):
            output: torch.Tensor = model(x)
            return output

    def inference() -> None:
        with torch.inference_mode():
            forward()

    def training() -> None:
        model.zero_grad(set_to_none=True)
        torch.autograd.backward(forward().float().square().mean())

    return {"inference": inference, "training": training}


def _interleaved(maps: dict[str, Callable[[], object]], repeat: int, device: str) -> dict[str, list[float]]:
    import torch

    times: dict[str, list[float]] = {name: [] for name in maps}
    for turn in range(repeat + 1):
        for name, function in maps.items():
            start = time.perf_counter()
            function()
            if device == "cuda":
                torch.cuda.synchronize()
            if turn:  # the first turn warms up
                times[name].append(time.perf_counter() - start)
    return times
