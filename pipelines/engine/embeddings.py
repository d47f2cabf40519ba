"""Textual inversion: files in `embeddings/` whose names are words of a prompt, each read as a few vectors of its own.

Neither tokenizer nor embedding table is changed. While a prompt is encoded such a word is numbers beyond the
vocabulary, and where these stand the file's vectors take the place of what the table has (arxiv.org/abs/2208.01618).
"""

import contextlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from pipelines.engine.catalog import Catalog
from pipelines.engine.errors import EmbeddingRefused
from pipelines.engine.headers import BrokenFile, read_header
from pipelines.engine.model import identity_of

FOLDER = "embeddings"
BEYOND = 2**24
"""The first number that stands for a vector; no vocabulary is as large."""
MOST_VECTORS = 75
WIDEST = 16_384
"""Numbers of one vector; the widest text encoders have a quarter of it."""
MOST_TENSORS = 16

_BY_ENCODER = (("clip_l", "emb_params"), ("clip_g",))
"""What the tensor for the first and the second text encoder is called where files call it something known."""


@dataclass(frozen=True, slots=True)
class Embedding:
    """A word of one's own. `tensors` are (vectors, width) by the file's names for them."""

    word: str
    identity: str
    tensors: dict[str, torch.Tensor]

    def vectors(self, encoder: Any, number: int) -> torch.Tensor:
        """Those for text encoder `number` (from 0), of its width. Raises `EmbeddingRefused` where there are none."""
        width = encoder.get_input_embeddings().weight.shape[1]
        known = [self.tensors[name] for name in _BY_ENCODER[number] if name in self.tensors]
        fitting = [tensor for tensor in known or self.tensors.values() if tensor.shape[1] == width]
        if not fitting:
            widths = ", ".join(str(tensor.shape[1]) for tensor in self.tensors.values())
            which = "text encoder" if number == 0 else "second text encoder"
            raise EmbeddingRefused(self.word, f"it is {widths} wide, and the checkpoint's {which} reads {width}")
        return fitting[0]


class Embeddings:
    """The files there are now. Belongs to the worker."""

    def __init__(self, catalog: Catalog):
        self._catalog = catalog
        self._known: dict[str, Embedding] = {}

    def named_in(self, text: str) -> tuple[Embedding, ...]:
        """The embeddings whose words stand in `text`, in any case. Raises `EmbeddingRefused`."""
        found = []
        for name, (path, reason) in self._catalog.files(FOLDER).items():
            word = name.rsplit("/", 1)[-1]
            if _pattern([word]).search(text):
                found.append(self._read(word, path, reason))
        return tuple(found)

    def _read(self, word: str, path: Any, reason: str) -> Embedding:
        if reason or path.suffix.lower() != ".safetensors":
            raise EmbeddingRefused(word, reason or "a pickled file can run code; convert it to safetensors")
        try:
            identity = identity_of(iter((path,)))
            if identity not in self._known:
                self._known[identity] = Embedding(word, identity, _tensors(word, path))
            return self._known[identity]
        except BrokenFile as problem:
            raise EmbeddingRefused(word, str(problem)) from problem
        except (OSError, SafetensorError, ValueError) as problem:
            raise EmbeddingRefused(word, "its file cannot be read as safetensors") from problem


def _tensors(word: str, path: Any) -> dict[str, torch.Tensor]:
    shapes = read_header(path).shapes
    fitting = [name for name, shape in shapes.items() if len(shape) in (1, 2)]
    if not fitting or any(len(shapes[name]) == 2 and shapes[name][0] > MOST_VECTORS for name in fitting):
        raise EmbeddingRefused(word, f"it is none: it should hold at most {MOST_VECTORS} vectors")
    if len(fitting) > MOST_TENSORS or any(shapes[name][-1] > WIDEST for name in fitting):
        raise EmbeddingRefused(word, f"it is none: its vectors should have at most {WIDEST:,} numbers")
    with safe_open(path, framework="pt") as file:
        tensors = {name: torch.atleast_2d(file.get_tensor(name)).clone() for name in fitting}
    if not all(bool(torch.isfinite(tensor).all()) for tensor in tensors.values()):
        raise EmbeddingRefused(word, "it holds numbers that are none (NaN or infinity)", code="E-NAN")
    return tensors


def _pattern(words: Sequence[str]) -> re.Pattern[str]:
    """Any of `words` standing alone, the longest first."""
    longest_first = sorted(words, key=len, reverse=True)
    return re.compile(rf"(?<!\w)({'|'.join(map(re.escape, longest_first))})(?!\w)", re.IGNORECASE)


class _Tokenizer:
    """A tokenizer for which the words of `numbers` are those numbers."""

    def __init__(self, tokenizer: Any, numbers: dict[str, list[int]]):
        self._tokenizer = tokenizer
        self._numbers = numbers
        self._words = _pattern(list(numbers))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tokenizer, name)

    def __call__(self, text: str, **options: Any) -> SimpleNamespace:
        tokens: list[int] = []
        for index, part in enumerate(self._words.split(text)):
            is_word = index % 2 == 1
            tokens += self._numbers[part.lower()] if is_word else self._tokenizer(part, **options).input_ids
        return SimpleNamespace(input_ids=tokens)


@contextlib.contextmanager
def standing_in(embeddings: Sequence[Embedding], tokenizer: Any, encoder: Any, number: int) -> Iterator[Any]:
    """A tokenizer to be used instead until the block is left, and until then `encoder` (the `number`th) knows what it
    gives. Raises `EmbeddingRefused`."""
    if not embeddings:
        yield tokenizer
        return
    vectors = [embedding.vectors(encoder, number) for embedding in embeddings]
    table, numbers = torch.cat(vectors), {}
    for embedding, own in zip(embeddings, vectors, strict=True):
        start = BEYOND + sum(len(others) for others in numbers.values())
        numbers[embedding.word.lower()] = list(range(start, start + len(own)))
    with _replaced(encoder, table):
        yield _Tokenizer(tokenizer, numbers)


@contextlib.contextmanager
def _replaced(encoder: Any, table: torch.Tensor) -> Iterator[None]:
    """Until the block is left, `encoder` reads row n of `table` for the token `BEYOND` + n."""
    read: list[torch.Tensor] = []

    def hide(_encoder: Any, arguments: Any) -> Any:
        read[:] = [arguments[0]]
        return arguments[0].where(arguments[0] < BEYOND, 0), *arguments[1:]

    def put(_embedding: Any, _arguments: Any, states: torch.Tensor) -> torch.Tensor:
        own = read[0] >= BEYOND
        states = states.clone()
        states[own] = table.to(states)[read[0][own] - BEYOND]
        return states

    with contextlib.ExitStack() as hooks:
        hooks.callback(encoder.register_forward_pre_hook(hide).remove)
        hooks.callback(encoder.get_input_embeddings().register_forward_hook(put).remove)
        yield
