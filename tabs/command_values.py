"""Text on the command line as numbers, LoRAs and parts of requests."""

import re
from typing import Any

PART_SHAPE = "KEY=VALUE,..."
LORA_SHAPE = "NAME[:STRENGTH[:TEXT_ENCODER_STRENGTH]]"
_WHOLE = re.compile(r"[+-]?[0-9]{1,30}")
_NEXT_KEY = re.compile(r",(?=[a-z][a-z_-]*=)")
_SWITCHES = {"true": True, "false": False}
_REAL = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,4})?")


def as_number(text: str) -> int | float | str:
    """`text` as a number if it looks like one; the request refuses the rest by the field's own rule."""
    stripped = text.strip()
    if _WHOLE.fullmatch(stripped):
        return int(stripped)
    return float(stripped) if _REAL.fullmatch(stripped) else text


def as_lora(text: str) -> dict[str, Any]:
    """As in `LORA_SHAPE`. A name may have colons in it, as long as what follows them is no number."""
    name, colon, last = text.rpartition(":")
    if not colon:
        return {"name": text}
    shorter, colon, strength = name.rpartition(":")
    if colon and not isinstance(as_number(strength), str):
        return {"name": shorter, "strength": as_number(strength), "text_encoder_strength": as_number(last)}
    return {"name": name, "strength": as_number(last)}


def as_part(text: str) -> dict[str, Any]:
    """As in `PART_SHAPE`. A value may have commas in it, as long as no key follows them."""
    pairs = (pair.partition("=") for pair in _NEXT_KEY.split(text))
    return {key.strip().replace("-", "_"): _SWITCHES.get(value.lower(), as_number(value)) for key, _, value in pairs}
