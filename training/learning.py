"""What all trainings share: averaged weights, the course of the learning rate, and going on after an interruption."""

import copy
import math
import time
from collections.abc import Callable
from pathlib import Path

import torch

KEEP_SECONDS = 180
"""How much work an interruption may cost."""


def tell(message: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {message}", flush=True)


def keep(state: dict, file: Path, step: int) -> None:
    """Write the states of `state` (models, optimizers) after `step` steps; the file appears whole or not at all."""
    partial = file.with_suffix(".part")
    torch.save({"step": step, **{name: part.state_dict() for name, part in state.items()}}, partial)
    partial.replace(file)


def take_up(state: dict, file: Path) -> int:
    """Fill `state` with what `keep` wrote, if there is such a file. The step to go on with."""
    if not file.exists():
        return 0
    saved = torch.load(file, weights_only=True)
    for name, part in state.items():
        part.load_state_dict(saved[name])
    return saved["step"]


def average(averaged: torch.nn.Module, present: torch.nn.Module, decay: float, step: int) -> None:
    """Move `averaged` towards `present` after `step` steps; faster in the beginning than by `decay`."""
    decay = min(decay, (1 + step) / (10 + step))
    for mean, weight in zip(averaged.parameters(), present.parameters(), strict=True):
        mean.lerp_(weight.detach(), 1 - decay)


def share_of_rate(step: int, steps: int, warm_up: int) -> float:
    """Linear over `warm_up` steps, then a half cosine down to a fiftieth."""
    return min(1.0, (step + 1) / warm_up) * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * step / steps)))


class Learner:
    """Models, their averaged copies and the optimizer: all that a checkpoint holds."""

    def __init__(self, models: torch.nn.Module, rate: float, decay: float):
        self.models = models
        self.averaged = copy.deepcopy(models).requires_grad_(False)
        self.optimizer = torch.optim.AdamW(
            models.parameters(), lr=rate, betas=(0.9, 0.99), weight_decay=0.01, fused=True
        )
        self.step = 0
        self._decay = decay

    @property
    def _state(self) -> dict:
        return {"models": self.models, "averaged": self.averaged, "optimizer": self.optimizer}

    def save(self, file: Path) -> None:
        keep(self._state, file, self.step)

    def load(self, file: Path) -> None:
        self.step = take_up(self._state, file)

    def learn(self, loss: torch.Tensor, rate: float) -> float:
        """One step of the optimizer at that learning rate; the loss as a number."""
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.models.parameters(), 1.0)
        self.optimizer.step()
        self.step += 1
        average(self.averaged, self.models, self._decay, self.step)
        return loss.item()


def train(
    learner: Learner, once: Callable[[], float], steps: int, checkpoint: Path, tell: Callable[[str], None]
) -> None:
    """Call `once`, a step that gives its loss, up to `steps`, from `checkpoint` on if it exists; it is renewed as it
    goes."""
    if checkpoint.exists():
        learner.load(checkpoint)
        tell(f"resumed at step {learner.step}")
    began, saved, first, losses = time.monotonic(), time.monotonic(), learner.step, []
    while learner.step < steps:
        losses.append(once())
        if learner.step % 50 == 0:
            pace = (time.monotonic() - began) / (learner.step - first)
            tell(f"step {learner.step}/{steps} loss {sum(losses) / len(losses):.4f} {pace:.3f} s/step")
            losses.clear()
        if time.monotonic() - saved > KEEP_SECONDS:
            learner.save(checkpoint)
            saved = time.monotonic()
    learner.save(checkpoint)
