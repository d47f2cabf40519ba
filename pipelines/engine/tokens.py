"""Cutting a prompt's tokens into chunks, and counting them for the page. Neither torch nor transformers here."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, normalizers, pre_tokenizers
from tokenizers.models import BPE

from pipelines.engine.errors import ModelCorrupt
from pipelines.engine.jobs import TokenCount
from presets import prompts

MARKERS = 2
"""Tokens of every chunk that are no content: its begin and its end."""
CLIP_LENGTH = 77
COMMA_BACKTRACK = 20

Chunk = list[tuple[int, float]]
"""Content tokens, each with its weight."""

_WORDS = r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"  # CLIP's own


def chunked(parts: Sequence[Chunk], size: int, comma: int | None) -> list[Chunk]:
    """Content tokens cut into chunks of at most `size`; at least one chunk.

    `parts` are what BREAK separates: each but an empty last one begins a chunk. `comma` is the token after which a
    chunk may end early.
    """
    chunks: list[Chunk] = []
    for number, part in enumerate(parts):
        is_last = number == len(parts) - 1
        if part or not is_last or not chunks:
            chunks += list(_cut(part, size, comma)) or [[]]
    return chunks


def _cut(content: Chunk, size: int, comma: int | None) -> Iterator[Chunk]:
    start = 0
    while start < len(content):
        end = min(start + size, len(content))
        if end < len(content) and content[end][0] != comma:
            near = range(end - 1, max(end - 1 - COMMA_BACKTRACK, start - 1), -1)
            end = next((index + 1 for index in near if content[index][0] == comma), end)
        yield content[start:end]
        start = end


class TokenCounter:
    """Counts the tokens that a CLIP tokenizer's folder makes of a prompt.

    Reading the folder takes some tens of milliseconds. Raises what `read_tokenizer` does.
    """

    def __init__(self, folder: Path):
        self._tokenizer = read_tokenizer(folder)
        self._comma = self._tokenizer.token_to_id(",</w>")
        self._size = _model_length(folder) - MARKERS

    def count(self, prompt: str) -> TokenCount:
        """Tokens of `prompt` without its syntax. A prompt whose weights are refused counts as plain text."""
        try:
            parsed = prompts.parse(prompt)
        except prompts.PromptWeight:
            parsed = prompts.Parsed(((prompts.Fragment(prompt, 1.0),),), ())
        parts = [[(token, 1.0) for fragment in part for token in self._tokens(fragment.text)] for part in parsed.parts]
        chunks = chunked(parts, self._size, self._comma)
        return TokenCount(tokens=sum(map(len, parts)), chunks=len(chunks), chunk_size=self._size)

    def _tokens(self, text: str) -> list[int]:
        return self._tokenizer.encode(text, add_special_tokens=False).ids


def read_tokenizer(folder: Path) -> Tokenizer:
    """The tokenizer of a checkpoint's folder "tokenizer": `tokenizer.json`, or `vocab.json` and `merges.txt`.

    Raises `ModelCorrupt` where it holds neither, or what is no tokenizer.
    """
    try:
        tokenizer = _read(folder)
        tokenizer.encode("\N{CIRCLED IDEOGRAPH SECRET}")  # fails where what is not in the vocabulary has no token
    except Exception as problem:  # the tokenizers library raises nothing more precise
        reason = (str(problem).splitlines() or [type(problem).__name__])[0]
        raise ModelCorrupt(folder.parent.name, f"its {folder.name} cannot be read ({reason[:120]})") from problem
    return tokenizer


def _read(folder: Path) -> Tokenizer:
    whole = folder / "tokenizer.json"
    if whole.is_file():
        tokenizer = Tokenizer.from_file(str(whole))
        tokenizer.no_padding()
        tokenizer.no_truncation()
        return tokenizer
    return _clip(folder / "vocab.json", folder / "merges.txt")


def _clip(vocabulary: Path, merges: Path) -> Tokenizer:
    """CLIP's tokenizer as transformers assembles it (`models/clip/tokenization_clip.py`)."""
    if not vocabulary.is_file() or not merges.is_file():
        raise FileNotFoundError("there is neither tokenizer.json nor vocab.json with merges.txt")
    model = BPE.from_file(
        str(vocabulary), str(merges), end_of_word_suffix="</w>", continuing_subword_prefix="", unk_token="<|endoftext|>"
    )
    tokenizer = Tokenizer(model)
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_WORDS), behavior="removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    tokenizer.add_special_tokens(
        [AddedToken(marker, normalized=False) for marker in ("<|startoftext|>", "<|endoftext|>")]
    )
    return tokenizer


def _model_length(folder: Path) -> int:
    """Tokens that the encoder reads at once; files without a bound, or with none that is one, mean CLIP's 77."""
    try:
        config = json.loads((folder / "tokenizer_config.json").read_bytes())
    except (OSError, ValueError, RecursionError):
        config = None
    length = config.get("model_max_length") if isinstance(config, dict) else None
    return length if isinstance(length, int) and MARKERS < length <= 1024 else CLIP_LENGTH
