"""What an adapter adds to a weight, as numbers.

    LoRA, LoCon   up @ down, in between a kernel of its own with Tucker's decomposition      arxiv.org/abs/2106.09685
    LoHa          (a1 @ b1) * (a2 @ b2)                                                      arxiv.org/abs/2108.06098
    LoKr          kron(w1, w2), each whole or a product                                      arxiv.org/abs/2309.14859
    DoRA          any of these, then the sum scaled to a learned length of its rows          arxiv.org/abs/2402.09353

All are times alpha / rank. The letters and axes are those of LyCORIS, whose files these are.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace

import torch

Tensors = Mapping[str, torch.Tensor]
Scale = Callable[[int], float]
"""Rank -> factor, for parts without an alpha."""

LARGEST = 2**28
"""Numbers that one weight's change may have before it is known whether it fits."""

_TUCKER = "i j k l, j r, i p -> p r k l"
_FAST = (torch.float32, torch.bfloat16, torch.float16)
"""Types that a product of matrices can be added to in place."""


class DoesNotFit(Exception):
    """Parts whose shapes do not go together. The text is the end of a sentence."""


@dataclass(frozen=True, slots=True)
class LowRank:
    """`up` (rows, rank) times `down` (rank, columns ...)."""

    up: torch.Tensor
    down: torch.Tensor
    scale: float

    @property
    def shape(self) -> tuple[int, ...]:
        return self.up.shape[0], *self.down.shape[1:]

    def dense(self, device: torch.device) -> torch.Tensor:
        """The difference in float32."""
        return (self.up.to(device).float() @ self.down.to(device).float().flatten(1)) * self.scale


@dataclass(frozen=True, slots=True)
class Hadamard:
    """The product, number by number, of two of low rank."""

    a1: torch.Tensor
    b1: torch.Tensor
    a2: torch.Tensor
    b2: torch.Tensor
    kernel1: torch.Tensor | None
    kernel2: torch.Tensor | None
    scale: float

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.dense(torch.device("meta")).shape)

    def dense(self, device: torch.device) -> torch.Tensor:
        """The difference in float32."""
        first = _product(self.a1, self.b1, self.kernel1, device)
        return first * _product(self.a2, self.b2, self.kernel2, device) * self.scale


@dataclass(frozen=True, slots=True)
class Kronecker:
    """The Kronecker product of two, each whole (`b` None) or a product."""

    a1: torch.Tensor
    b1: torch.Tensor | None
    a2: torch.Tensor
    b2: torch.Tensor | None
    kernel2: torch.Tensor | None
    scale: float

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.dense(torch.device("meta")).shape)

    def dense(self, device: torch.device) -> torch.Tensor:
        """The difference in float32."""
        first = _product(self.a1, self.b1, None, device)
        second = _product(self.a2, self.b2, self.kernel2, device).contiguous()  # which kron needs
        return torch.kron(first.reshape(*first.shape, *[1] * (second.ndim - first.ndim)), second) * self.scale


@dataclass(frozen=True, slots=True)
class Whole:
    """The difference itself."""

    difference: torch.Tensor
    scale: float = 1.0

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.dense(torch.device("meta")).shape)

    def dense(self, device: torch.device) -> torch.Tensor:
        """The difference in float32."""
        return self.difference.to(device).float()


@dataclass(frozen=True, slots=True)
class Slice:
    """The rows from `start` to before `stop` of another difference."""

    whole: "Hadamard | Kronecker | Whole"
    start: int
    stop: int

    @property
    def shape(self) -> tuple[int, ...]:
        return self.stop - self.start, *self.whole.shape[1:]

    def dense(self, device: torch.device) -> torch.Tensor:
        """The difference in float32."""
        return self.whole.dense(device)[self.start : self.stop]


Delta = LowRank | Hadamard | Kronecker | Whole | Slice


@dataclass(frozen=True, slots=True)
class Change:
    """What one layer of an adapter does to one weight. `lengths` are DoRA's, of the weight's rows or, `by_column`, of
    its columns."""

    delta: Delta
    lengths: torch.Tensor | None = None
    by_column: bool = False

    @property
    def tensors(self) -> list[torch.Tensor]:
        """All that it holds."""
        values = [self.lengths, *(getattr(self.delta, field.name) for field in fields(self.delta))]
        return [value for value in values if isinstance(value, torch.Tensor)]

    def check(self, shape: Sequence[int]) -> None:
        """Raises `DoesNotFit` for a weight of another shape."""
        rows, numbers = shape[0], math.prod(shape)
        try:
            own_shape = self.delta.shape
        except RuntimeError:
            raise DoesNotFit("its parts do not go together") from None
        if own_shape[0] != rows or math.prod(own_shape) != numbers:
            raise DoesNotFit(f"its change is of shape {_sides(own_shape)}, the weight {_sides(shape)}")
        if self.lengths is not None and self.lengths.numel() != (shape[1] if self.by_column else rows):
            raise DoesNotFit(f"it has {self.lengths.numel()} lengths for a weight of shape {_sides(shape)}")

    def rows(self, start: int, stop: int) -> "Change":
        """What it does to some rows of the weight, which lie apart in the checkpoint. Raises `DoesNotFit` where that
        depends on the other rows."""
        if self.by_column:
            raise DoesNotFit("it has lengths of columns for a weight that lies in parts")
        lengths = None if self.lengths is None else self.lengths.flatten()[start:stop]
        if isinstance(self.delta, LowRank):
            return Change(replace(self.delta, up=self.delta.up[start:stop]), lengths)
        assert not isinstance(self.delta, Slice)
        return Change(Slice(self.delta, start, stop), lengths)

    def on(self, base: torch.Tensor) -> torch.Tensor:
        """What is added to `base`, the float32 weight without any adapter, at strength 1."""
        delta = self.delta.dense(base.device).reshape(base.shape)
        if self.lengths is None:
            return delta
        changed = base + delta
        rows = (changed.transpose(0, 1) if self.by_column else changed).flatten(1)
        factors = self.lengths.to(base.device).float().flatten() / rows.norm(dim=1)
        sides = [1] * base.ndim
        sides[1 if self.by_column else 0] = -1
        return changed * factors.reshape(sides) - base


def merge(target: torch.Tensor, base: torch.Tensor, changes: Sequence[tuple[Change, float]]) -> None:
    """Fill `target` with `base` and the changes, each times its strength. They may be the same tensor, or else lie in
    the same order in memory; `base` may be of 8 bits where `target` is not."""
    low_rank = [(change.delta, strength) for change, strength in changes if isinstance(change.delta, LowRank)]
    plain = len(low_rank) == len(changes) and all(change.lengths is None for change, _ in changes)
    matrix = _rows(base) if plain and base.dtype == target.dtype in _FAST else None
    if matrix is not None:
        up = torch.cat([_scaled(delta, strength, base) for delta, strength in low_rank], dim=1)
        down = torch.cat([_rows_like(base, delta.down) for delta, _ in low_rank])
        torch.add(matrix, up @ down, out=_rows(target))
        return
    wide = base.float()
    target.copy_(wide + sum(change.on(wide) * strength for change, strength in changes))


def changes_of(parts: Tensors, usual_scale: Scale) -> dict[str, Change]:
    """What the parts of one layer (by role, as in `lora_keys`) do to the layer's "weight" and "bias".

    Raises `DoesNotFit`.
    """
    changes = {}
    delta = _delta(parts, usual_scale)
    if delta is not None:
        lengths = parts.get("magnitude", parts.get("dora_scale"))
        changes["weight"] = Change(delta, lengths, by_column=_is_by_column(parts.get("dora_scale")))
    if "diff_b" in parts:
        changes["bias"] = Change(Whole(parts["diff_b"]))
    return changes


def _is_by_column(lengths: torch.Tensor | None) -> bool:
    """LyCORIS keeps the sides of the weight: (rows, 1, ...) or (1, columns, ...). PEFT only has lengths of rows."""
    return lengths is not None and lengths.ndim > 1 and lengths.shape[0] == 1 and lengths.shape[1] > 1


def _delta(parts: Tensors, usual_scale: Scale) -> Delta | None:
    if "down" in parts:
        up, down = _low_rank_parts(parts)
        return LowRank(up, down, _scale(parts, down.shape[0], usual_scale))
    if "hada_w1_a" in parts:
        a1, b1, a2, b2 = (parts[f"hada_{name}"] for name in ("w1_a", "w1_b", "w2_a", "w2_b"))
        scale = _scale(parts, b1.shape[0], usual_scale)
        return Hadamard(a1, b1, a2, b2, parts.get("hada_t1"), parts.get("hada_t2"), scale)
    if "lokr_w1" in parts or "lokr_w1_a" in parts:
        return _kronecker(parts, usual_scale)
    return Whole(parts["diff"]) if "diff" in parts else None


def _low_rank_parts(parts: Tensors) -> tuple[torch.Tensor, torch.Tensor]:
    up, down, kernel = parts["up"].flatten(1), parts["down"], parts.get("mid")
    rank = down.shape[0]
    if kernel is not None:
        if kernel.ndim != 4 or kernel.shape[1] != down.shape[0] or kernel.numel() * down.numel() > LARGEST * rank:
            raise DoesNotFit("its parts do not go together")
        down = torch.einsum("o j k l, j i -> o i k l", kernel.float(), down.flatten(1).float()).to(down.dtype)
    if up.shape[1] != down.shape[0]:
        raise DoesNotFit(f"its rank is {down.shape[0]} on one side and {up.shape[1]} on the other")
    return up, down


def _kronecker(parts: Tensors, usual_scale: Scale) -> Kronecker:
    a1, b1, a2, b2, kernel = (parts.get(f"lokr_{name}") for name in ("w1_a", "w1_b", "w2_a", "w2_b", "t2"))
    first, second = (a1, b1), (a2, b2)
    if "lokr_w1" in parts:
        first = parts["lokr_w1"], None
    if "lokr_w2" in parts:
        second, kernel = (parts["lokr_w2"], None), None
    rank = next((b.shape[0] for b in (second[1], first[1]) if b is not None), None)
    assert first[0] is not None and second[0] is not None  # `lora_keys.is_whole`
    scale = 1.0 if rank is None else _scale(parts, rank, usual_scale)
    return Kronecker(first[0], first[1], second[0], second[1], kernel, scale)


def _scale(parts: Tensors, rank: int, usual_scale: Scale) -> float:
    if rank < 1:
        raise DoesNotFit("its rank is 0")
    return float(parts["alpha"].flatten()[0]) / rank if "alpha" in parts else usual_scale(rank)


def _product(
    a: torch.Tensor, b: torch.Tensor | None, kernel: torch.Tensor | None, device: torch.device
) -> torch.Tensor:
    a = a.to(device).float()
    if b is None:
        return a
    b = b.to(device).float()
    if kernel is None:
        return a @ b.flatten(1)
    return torch.einsum(_TUCKER, kernel.to(device).float(), b, a)


def _scaled(delta: LowRank, strength: float, weight: torch.Tensor) -> torch.Tensor:
    return (delta.up.to(weight.device).float() * (delta.scale * strength)).to(weight.dtype)


def _rows(weight: torch.Tensor) -> torch.Tensor | None:
    """`weight` as a matrix in the same memory, one row for each output; None where its memory has no such order."""
    if weight.is_contiguous():
        return weight.view(weight.shape[0], -1)
    if weight.ndim == 4 and weight.is_contiguous(memory_format=torch.channels_last):
        return weight.permute(0, 2, 3, 1).view(weight.shape[0], -1)
    return None


def _rows_like(weight: torch.Tensor, down: torch.Tensor) -> torch.Tensor:
    """`down` as a matrix with its columns in the order of `_rows(weight)`."""
    down = down.to(weight.device, weight.dtype).reshape(down.shape[0], *weight.shape[1:])
    return (down if weight.is_contiguous() else down.permute(0, 2, 3, 1)).flatten(1)


def _sides(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))
