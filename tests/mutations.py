"""Safetensors files as somebody who means harm would change them: each seed gives another file."""

import json
import random
import struct
from collections.abc import Callable, Mapping
from typing import Any

DTYPES = ["F16", "F32", "BF16", "I64", "U8", "BOOL", "F8_E4M3", "F4", "C64", "F99", "", "f32", 7, None, [], {}, True]
NUMBERS: list[Any] = [
    0, 1, 2, 3, 7, 8, 64, 320, 768, -1, -(2**63), 2**31, 2**32, 2**53, 2**63, 2**64, 10**30, 10**400, 0.5, 1e308,
    float("inf"), float("nan"), True, None, "4", [4], {"a": 4},
]  # fmt: skip
NAMES = [
    "", " ", "..", "../../etc/passwd", "/etc/passwd", "a\0b", "\ud800", "\u202e", "x" * 100_000, "a.b" * 5000,
    "🙂" * 999, "__metadata__", "__class__", "__proto__", "weight", "<script>alert(1)</script>", "%s%n{0}",
    "conv_in.weight",
]  # fmt: skip
METADATA: list[Any] = [
    None, [], 7, "text", {"a": 1}, {"a": {"b": []}}, {"format": "pt" * 10**6}, {"ss_tag_frequency": "[" * 10**5},
    {"ss_tag_frequency": '{"a":{"b":1e999}}'}, {"ss_tag_frequency": '{"a":{"' + "b" * 10**6 + '":1}}'},
    {"ss_tag_frequency": "{" + ",".join(f'"{n}":{{"{n}":{n}}}' for n in range(10**4)) + "}"},
    {"ss_tag_frequency": "[" + "[]," * 600_000 + "[]]"}, {"modelspec.trigger_phrase": "<img src=x onerror=alert(1)>"},
    {"lora_adapter_metadata": '{"unet.lora_alpha": 1e400}'}, {"modelspec.architecture": "\0" * 1000},
    {"ss_sd_model_name": "../../../etc/shadow"}, {"lora_adapter_metadata": '{"text_encoder.lora_alpha": []}'},
]  # fmt: skip


def mutated(content: bytes, seed: int) -> bytes:
    """The safetensors file `content` with one to three changes."""
    chance = random.Random(seed)
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        content = chance.choice(CHANGES)(content, chance)
    return content


def parts_of(content: bytes) -> tuple[dict[str, Any], bytes]:
    """Header and data, as far as there are any."""
    length = int.from_bytes(content[:8], "little")
    try:
        header = json.loads(content[8 : 8 + length])
    except (ValueError, RecursionError):
        header = {}
    return header if isinstance(header, dict) else {}, content[8 + length :] if length < len(content) else b""


def joined(header: str | bytes, data: bytes) -> bytes:
    text = header.encode("utf-8", "surrogatepass") if isinstance(header, str) else header
    return struct.pack("<Q", len(text)) + text + data


def _length(content: bytes, chance: random.Random) -> bytes:
    true = int.from_bytes(content[:8], "little")
    lengths = (0, 1, 7, true - 1, true + 1, true * 2, len(content), len(content) - 8, 2**31, 2**32, 2**63, 2**64 - 1)
    return struct.pack("<Q", chance.choice(lengths) % 2**64) + content[8:]


def _cut(content: bytes, chance: random.Random) -> bytes:
    return content[: chance.choice((0, 1, 7, 8, 9, chance.randrange(len(content) + 1), max(0, len(content) - 1)))]


def _longer(content: bytes, chance: random.Random) -> bytes:
    return content + chance.choice((b"\0", b"x" * 1000, b"\0" * 10**6, content, chance.randbytes(5000)))


def _flipped(content: bytes, chance: random.Random) -> bytes:
    changed = bytearray(content)
    end = min(len(changed), 8 + int.from_bytes(content[:8], "little")) if chance.random() < 0.7 else len(changed)
    for _ in range(chance.choice((1, 2, 8, 64))):
        if end:
            changed[chance.randrange(end)] = chance.randrange(256)
    return bytes(changed)


def _entry(content: bytes, chance: random.Random) -> bytes:
    """One tensor is described otherwise."""
    header, data = parts_of(content)
    names = [name for name, entry in header.items() if isinstance(entry, dict)]
    if not names:
        return content
    entry = header[chance.choice(names)]
    key, value = chance.choice(
        (
            ("dtype", chance.choice(DTYPES)),
            ("shape", _shape(chance)),
            ("shape", chance.choice(NUMBERS)),
            ("data_offsets", [chance.choice(NUMBERS), chance.choice(NUMBERS)]),
            ("data_offsets", chance.choice(NUMBERS)),
            ("data_offsets", list(reversed(_list(entry.get("data_offsets"))))),
            (chance.choice(NAMES), chance.choice(NUMBERS)),
        )
    )
    entry[key] = value
    if chance.random() < 0.2:
        entry.pop(chance.choice(tuple(entry)))
    return joined(json.dumps(header), data)


def _shape(chance: random.Random) -> list[Any]:
    return [chance.choice(NUMBERS) for _ in range(chance.choice((0, 1, 2, 4, 5, 40, 3000)))]


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _name(content: bytes, chance: random.Random) -> bytes:
    """A tensor has another name, or is there twice under one, or is gone."""
    header, data = parts_of(content)
    entries = [(name, json.dumps(entry)) for name, entry in header.items()]
    if not entries:
        return content
    place = chance.randrange(len(entries))
    what = chance.choice(("rename", "double", "drop", "swap"))
    if what == "rename":
        entries[place] = (chance.choice(NAMES), entries[place][1])
    elif what == "double":
        entries.append(entries[place])
    elif what == "drop":
        entries.pop(place)
    else:
        other = chance.randrange(len(entries))
        entries[place], entries[other] = (entries[place][0], entries[other][1]), (entries[other][0], entries[place][1])
    return joined("{" + ",".join(f"{json.dumps(name)}:{entry}" for name, entry in entries) + "}", data)


def _metadata(content: bytes, chance: random.Random) -> bytes:
    header, data = parts_of(content)
    return joined(json.dumps({"__metadata__": chance.choice(METADATA), **header}), data)


def _text(content: bytes, chance: random.Random) -> bytes:
    """The header's text is another one."""
    header, data = parts_of(content)
    text = json.dumps(header)
    empty = '"%d":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}'
    texts: tuple[Callable[[], str | bytes], ...] = (
        lambda: "[" * 200_000,
        lambda: '{"a":' * 200_000,
        lambda: '{"a":' * 500 + "1" + "}" * 500,
        lambda: "{" + ",".join(empty % number for number in range(chance.choice((20_000, 40_000)))) + "}",
        lambda: '{"a":[' + "[]," * 1_500_000 + "[]]}",
        lambda: '{"a":[' + '"aa",' * 900_000 + '"b"]}',
        lambda: '{"a":' + "9" * 1_000_000 + "}",
        lambda: '{"a":"' + "🙂" * 1_000_000 + '"}',
        lambda: text + " " * 3_000_000,
        lambda: " " + text,
        lambda: text[:-1] + ",}",
        lambda: text.encode("utf-16"),
        lambda: b"\xef\xbb\xbf" + text.encode(),
        lambda: text.replace('"', "'"),
        lambda: chance.choice(("", "{}", "null", "[]", "7", '"text"', "NaN", "{]", '{"a":}', '{"a":NaN}')),
        lambda: text.encode().replace(b"weight", b"wei\xff\xfeht"),
        lambda: text.replace("weight", "\\ud800weight"),
    )
    return joined(chance.choice(texts)(), data)


CHANGES: tuple[Callable[[bytes, random.Random], bytes], ...] = (
    _length, _cut, _longer, _flipped, _flipped, _entry, _entry, _entry, _name, _name, _metadata, _text
)  # fmt: skip


def safetensors(shapes: Mapping[str, tuple[int, ...]], metadata: Mapping[str, str] = {}) -> bytes:  # noqa: B006
    """A sound file of float16 noughts."""
    entries: dict[str, Any] = {"__metadata__": dict(metadata)} if metadata else {}
    end = 0
    for name, shape in shapes.items():
        size = 2
        for side in shape:
            size *= side
        entries[name] = {"dtype": "F16", "shape": list(shape), "data_offsets": [end, end + size]}
        end += size
    return joined(json.dumps(entries), bytes(end))
