"""Engine overhead: seconds per step above a bare loop of the same work, one thread, interleaved.

Both loops draw the same kind of batch from a resident set, add noise, and take an Adam step. What the engine adds is
keys, the loss window, schedule, hooks and bookkeeping; logging every 50 steps is included.

Run: OMP_NUM_THREADS=1 python tests/benchmarks/engine_overhead.py [--steps 400] [--repeat 9] [--dncnn]
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

from recon.engine import Trainer
from recon.operators import Identity, Operator

COUNT, BATCH, SIZE, SIGMA = 512, 32, 40, 0.1


class Noise(Operator):
    stochastic = True

    def __init__(self, *, sigma: float) -> None:
        super().__init__()
        self.sigma = sigma

    def forward(self, x: Tensor, *, generator: torch.Generator) -> Tensor:
        return x + self.sigma * torch.randn(x.shape, generator=generator)

    @property
    def noiseless(self) -> Operator:
        return Identity()


class OneParameter(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(0.5))

    def forward(self, y: Tensor) -> Tensor:
        return y * self.scale


class Patches:
    def __init__(self) -> None:
        self.images = torch.rand(COUNT, 1, SIZE, SIZE, generator=torch.Generator().manual_seed(0))

    def __len__(self) -> int:
        return COUNT

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return {"image": self.images[index]}


def bare(model: nn.Module, steps: int) -> float:
    """Return CPU seconds per step of the loop that anyone would write."""
    images = Patches().images
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)
    loss_function, generator = nn.MSELoss(), torch.Generator().manual_seed(0)
    began, done = time.process_time(), 0
    while done < steps:
        for indices in torch.randperm(COUNT, generator=generator).split(BATCH)[: steps - done]:
            x = images.index_select(0, indices)
            y = x + SIGMA * torch.randn(x.shape, generator=generator)
            optimizer.zero_grad()
            loss = loss_function(model(y), x)
            loss.backward()
            optimizer.step()
            done += 1
    return (time.process_time() - began) / steps


def engine(model: nn.Module, steps: int) -> float:
    """Return CPU seconds per step of the trainer, without building it."""
    plan = {"steps": steps, "batch_size": BATCH, "optimizer": "adam", "log_every": 50, "device": "cpu"}
    trainer = Trainer(model=model, train_data=Patches(), loss=nn.MSELoss(), operator=Noise(sigma=SIGMA), plan=plan)
    trainer.hooks_began = 0.0
    original = trainer._train

    def timed() -> None:
        trainer.hooks_began = time.process_time()
        original()
        trainer.hooks_began = time.process_time() - trainer.hooks_began

    trainer._train = timed
    trainer.fit()
    return trainer.hooks_began / steps


def compare(name: str, make: Callable[[], nn.Module], steps: int, repeat: int) -> float:
    """Print and return the overhead, in ms."""
    bare(make(), min(steps, 3)), engine(make(), min(steps, 3))
    pairs = [(bare(make(), steps), engine(make(), steps)) for _ in range(repeat)]
    base, ours = (statistics.median(times) * 1e3 for times in zip(*pairs, strict=True))
    added = statistics.median(b - a for a, b in pairs) * 1e3
    print(f"{name:<14} bare {base:8.3f} ms   engine {ours:8.3f} ms   added {added:+.3f} ms a step")
    return added


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--repeat", type=int, default=9)
    parser.add_argument("--dncnn", action="store_true", help="also the published DnCNN, 5 steps a repetition")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    compare("one parameter", OneParameter, arguments.steps, arguments.repeat)
    if arguments.dncnn:
        from recon import build

        compare("dncnn", lambda: build("model", "dncnn"), 5, 3)


if __name__ == "__main__":
    main()
