"""The prompt syntax of AUTOMATIC1111's web UI as text in, values out.

    (word)        weight 1.1; brackets nest, so ((word)) is 1.21
    (word:1.2)    weight 1.2
    [word]        weight 1 / 1.1
    \\( \\) \\[ \\] \\\\   the character itself
    BREAK         what follows begins a new part (an own word in upper case)
    <lora:name:0.8>   a LoRA to apply; taken out of the text
    <lora:name:0.8:0.5>   the same with a strength of its own for the text encoders

Unlike there, a bracket without its partner is plain text, and so is every other syntax ({a|b}, __name__).
"""

import math
import re
from collections.abc import Mapping, Set
from dataclasses import dataclass

from pydantic_core import PydanticCustomError

from presets.errors import UserError, shortened

WEIGHT_LIMIT = 10.0
BRACKET_FACTOR = 1.1
LORA_NAME_LIMIT = 300

_NUMBER = r"[+-]?(?:\.?[0-9][0-9.]*(?:[eE][+-]?[0-9]+)?|nan|inf(?:inity)?)"
_TOKEN = re.compile(rf"(?P<escaped>\\[()\[\]\\])|:\s*(?P<weight>{_NUMBER})\s*\)|[()\[\]]|:|\\|[^\\()\[\]:]+", re.I)
_LORA = re.compile(rf"<lora:(?P<name>[^<>:]{{1,{LORA_NAME_LIMIT}}})(?::(?P<strength>[^<>:]*))?(?::(?P<text>[^<>]*))?>")
_SPACED_LORA = re.compile(f" ?{_LORA.pattern}")
_BREAK = re.compile(r"\bBREAK\b")


class PromptWeight(UserError):
    """A weight in a prompt that is no number from -10 to 10."""

    code = "E-WEIGHT"

    def __init__(self, weight: str):
        self.weight = weight
        super().__init__(
            f"The weight {shortened(weight, 30)} is not a number from {-WEIGHT_LIMIT:g} to {WEIGHT_LIMIT:g}. "
            r"Write \( and \) for brackets that are plain text."
        )


@dataclass(frozen=True, slots=True)
class Fragment:
    """A stretch of text under one weight (-10 to 10)."""

    text: str
    weight: float


@dataclass(frozen=True, slots=True)
class LoraTag:
    """A LoRA named in a prompt; the name is only a name, whatever it looks like.

    `text_encoder_strength` None is the same as `strength`.
    """

    name: str
    strength: float
    text_encoder_strength: float | None = None


@dataclass(frozen=True, slots=True)
class Parsed:
    """A prompt's parts (what BREAK separates, at least one), each of fragments in order, and its LoRA tags.

    Neighbouring fragments differ in weight. A part may be empty.
    """

    parts: tuple[tuple[Fragment, ...], ...]
    loras: tuple[LoraTag, ...]


@dataclass(slots=True)
class _Token:
    """A stretch of the text: plain, or one end of a pair of brackets. `factor` is the pair's, held by its opening."""

    text: str
    closes: str = ""
    factor: float | None = None


def parse(text: str) -> Parsed:
    """`text` as values, in time linear in its length. Raises `PromptWeight` and nothing else."""
    return Parsed(_parts(_paired(_LORA.sub("", text))), tuple(map(_lora_tag, _LORA.finditer(text))))


def with_loras_named(text: str, names: Mapping[str, str]) -> str:
    """`text` with the LoRAs of its tags named anew, where `names` has them and the new name can stand in a tag."""

    def renamed(match: re.Match[str]) -> str:
        name = names.get(match["name"], match["name"])
        tag = f"<lora:{name}{match[0].removeprefix('<lora:' + match['name'])}"
        again = _LORA.fullmatch(tag)
        return tag if again and again["name"] == name else match[0]

    return _LORA.sub(renamed, text)


def without_loras(text: str, names: Set[str]) -> str:
    """`text` without the tags of the LoRAs `names`, and without the space before each."""
    return _SPACED_LORA.sub(lambda match: "" if match["name"] in names else match[0], text)


def check(text: str) -> str:
    """`text` unchanged; for a weight that is refused, the error of a field's validator with the code E-WEIGHT."""
    try:
        parse(text)
    except PromptWeight as error:
        raise PydanticCustomError(
            "prompt_weight",
            "holds the weight {weight}, which is not a number from -10 to 10",
            {"code": PromptWeight.code, "weight": shortened(error.weight, 30)},
        ) from None
    return text


def _lora_tag(match: re.Match[str]) -> LoraTag:
    strength, text = match["strength"], match["text"]
    return LoraTag(
        match["name"], 1.0 if strength is None else _weight(strength), None if text is None else _weight(text)
    )


def _weight(text: str) -> float:
    """The number that `text` spells, if it may be a weight."""
    try:
        value = float(text)
    except ValueError:
        raise PromptWeight(text) from None
    return _allowed(value, text)


def _allowed(value: float, text: str) -> float:
    if not (math.isfinite(value) and abs(value) <= WEIGHT_LIMIT):
        raise PromptWeight(text)
    return value


def _paired(text: str) -> list[_Token]:
    """The tokens of `text`, with brackets marked as such only where they have a partner."""
    tokens: list[_Token] = []
    opened: list[int] = []
    waiting = {"(": 0, "[": 0}
    for match in _TOKEN.finditer(text):
        token = match.group()
        if match["escaped"]:
            tokens.append(_Token(token[1]))
            continue
        tokens.append(_Token(token))
        if token in waiting:
            opened.append(len(tokens) - 1)
            waiting[token] += 1
        opening = {")": "(", "]": "["}.get(token[-1], "")
        if waiting.get(opening):
            start = _pop_until(opening, opened, tokens, waiting)
            tokens[start].factor = _factor(opening, match["weight"])
            tokens[-1].closes = opening
    return tokens


def _pop_until(opening: str, opened: list[int], tokens: list[_Token], waiting: dict[str, int]) -> int:
    """The index of the innermost open `opening`; brackets of the other kind opened after it lose their partner."""
    while True:
        index = opened.pop()
        waiting[tokens[index].text] -= 1
        if tokens[index].text == opening:
            return index


def _factor(opening: str, weight: str | None) -> float:
    if opening == "[":
        return 1 / BRACKET_FACTOR
    return BRACKET_FACTOR if weight is None else _weight(weight)


def _parts(tokens: list[_Token]) -> tuple[tuple[Fragment, ...], ...]:
    """Plain text under the product of the brackets around it, split at BREAK."""
    parts: list[list[Fragment]] = [[]]
    weights = [1.0]
    stretch: list[str] = []

    def flush() -> None:
        first, *others = _BREAK.split("".join(stretch))
        stretch.clear()
        _append(parts[-1], first, weights[-1])
        for other in others:
            parts.append([])
            _append(parts[-1], other, weights[-1])

    for token in tokens:
        if token.factor is not None:
            flush()
            product = weights[-1] * token.factor
            weights.append(_allowed(product, f"{product:.4g}"))
        elif token.closes:
            flush()
            weights.pop()
        else:
            stretch.append(token.text)
    flush()
    return tuple(tuple(part) for part in parts)


def _append(part: list[Fragment], text: str, weight: float) -> None:
    """Add `text` to `part`, to its last fragment where the weight is the same."""
    if not text:
        return
    if part and part[-1].weight == weight:
        part[-1] = Fragment(part[-1].text + text, weight)
    else:
        part.append(Fragment(text, weight))
