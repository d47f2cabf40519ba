"""Pickled files that would run code if anything unpickled them, and zips that would unfold to any size.

Whatever a payload would do, it would leave a file in the folder `canary`.
"""

import io
import marshal
import os
import pickle
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any


class Call:
    """Calls `function` with `arguments` when it is unpickled."""

    def __init__(self, function: Any, *arguments: Any):
        self.function, self.arguments = function, arguments

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return self.function, self.arguments


class State:
    """Given to an object of a harmless class when it is unpickled."""

    def __init__(self, what: Any, state: Any):
        self.what, self.state = what, state

    def __reduce__(self) -> tuple[Any, tuple[Any, ...], Any]:
        return self.what, (), self.state


def programs(canary: Path) -> dict[str, bytes]:
    """Name -> a pickle that would run code."""
    return {**_objects(canary), **_texts(canary)}


def _objects(canary: Path) -> dict[str, bytes]:
    import builtins
    import collections
    import functools
    import importlib
    import operator
    import runpy
    import shutil
    import subprocess

    command, code = f"touch {canary}/ran", f"open({str(canary / 'ran')!r}, 'w')"
    compiled = marshal.dumps(compile(code, "<payload>", "exec"))
    objects: dict[str, Any] = {
        "system": Call(os.system, command),
        "popen": Call(subprocess.Popen, ["touch", f"{canary}/ran"]),
        "check-output": Call(subprocess.check_output, command),
        "os-popen": Call(os.popen, command),
        "exec": Call(exec, code),
        "eval": Call(eval, code),
        "open": Call(open, str(canary / "ran"), "w"),
        "import": Call(importlib.import_module, "antigravity"),
        "dunder-import": Call(builtins.__import__, "this"),
        "run-path": Call(runpy.run_path, str(canary / "script.py")),
        "getattr": Call(getattr, Path, "home"),
        "remove-tree": Call(shutil.rmtree, str(canary)),
        "mkdir": Call(os.makedirs, str(canary / "ran")),
        "partial": Call(functools.partial(os.system, command)),
        "attribute": Call(operator.attrgetter, "system"),
        "method": Call(operator.methodcaller("touch"), canary / "ran"),
        "marshal": Call(marshal.loads, compiled),
        "unpickle": Call(pickle.loads, pickle.dumps(Call(os.system, command))),
        "map": Call(list, Call(map, os.system, [command])),
        "bytes-path": Call(Path.write_text, canary / "ran", "x"),
        "in-a-dictionary": {"state_dict": {"weight": Call(os.system, command)}},
        "as-a-key": {Call(str, "a"): Call(os.system, command)},
        "in-a-state": State(collections.OrderedDict, {"x": Call(os.system, command)}),
        "items": State(collections.OrderedDict, [Call(os.system, command)]),
    }
    return {name: pickle.dumps(value, 2) for name, value in objects.items()}


def _texts(canary: Path) -> dict[str, bytes]:
    """Programs that no pickler writes."""
    run = f"touch {canary}/ran".encode()
    short = lambda text: b"\x8c" + bytes([len(text)]) + text  # noqa: E731
    laughs = b")q\x00" + b"".join(b"h%c" % n + b"h%c" % n + b"\x86q%c" % (n + 1) for n in range(60))
    return {
        "global": b"cos\nsystem\n(S'" + run + b"'\ntR.",
        "inst": b"(S'" + run + b"'\nios\nsystem\n.",
        "obj": b"(cos\nsystem\nS'" + run + b"'\no.",
        "stack-global": b"\x80\x04" + short(b"os") + short(b"system") + b"\x93" + short(run) + b"\x85R.",
        "dotted": b"\x80\x04" + short(b"torch") + short(b"serialization.os.system") + b"\x93" + short(run) + b"\x85R.",
        "new-object-ex": b"\x80\x04" + short(b"os") + short(b"system") + b"\x93" + short(run) + b"\x85}\x92.",
        "extension": b"\x80\x02\x82\x01" + short(run) + b"\x85R.",
        "through-a-tensor": b"ctorch._utils\n_rebuild_tensor_v2\n}S'__globals__'\ncos\nsystem\nsb.",
        "persistent": b"Pos.system\n.",
        "laughs": b"\x80\x04" + laughs + b"h\x3ch\x3c\x93.",
        "deep": b"\x80\x04)" + b"\x85" * 50_000 + b"\x8c\x01a\x93.",
        "twice": b"\x80\x02N0.cos\nsystem\n(S'" + run + b"'\ntR.",
    }


def _zipped(program: bytes, **members: bytes) -> bytes:
    """As PyTorch writes since 1.6."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("archive/data.pkl", program)
        archive.writestr("archive/version", b"3\n")
        archive.writestr("archive/byteorder", b"little")
        archive.writestr("archive/data/0", bytes(64))
        for name, content in members.items():
            archive.writestr(f"archive/{name.replace('__', '/')}", content)
    return buffer.getvalue()


def _old(program: bytes) -> bytes:
    """As PyTorch wrote before 1.6: a number, a version and what the machine is, then the program."""
    about = {"protocol_version": 1001, "little_endian": True, "type_sizes": {"short": 2, "int": 4, "long": 4}}
    begin = (0x1950A86A20F9469CFC6C, 1001, about)
    return b"".join(pickle.dumps(value, 2) for value in begin) + program + pickle.dumps([], 2)


def _script(program: bytes) -> bytes:
    """TorchScript: with code of its own beside the pickle."""
    code = b"def forward(self, x):\n  return ops.aten.save(x, 'ran')\n"
    return _zipped(program, **{"code____torch__.py": code, "constants.pkl": program})


def _tarred(program: bytes) -> bytes:
    """PyTorch's very first format."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name in ("storages", "tensors", "pickle"):
            member = tarfile.TarInfo(name)
            member.size = len(program)
            archive.addfile(member, io.BytesIO(program))
    return buffer.getvalue()


FORMATS: Mapping[str, Callable[[bytes], bytes]] = {
    "zip": _zipped,
    "old": _old,
    "bare": bytes,
    "script": _script,
    "tar": _tarred,
}
ENDINGS = (".ckpt", ".pt", ".pth", ".bin", ".safetensors")


def payload_files(canary: Path) -> Iterator[tuple[str, bytes]]:
    """Each program in each format and under an ending, as file names and contents."""
    for place, (name, program) in enumerate(programs(canary).items()):
        for shift, (form, packed) in enumerate(FORMATS.items()):
            yield f"{name}-{form}{ENDINGS[(place + shift) % len(ENDINGS)]}", packed(program)


def zip_bombs() -> dict[str, Callable[[], bytes]]:
    """Name -> what makes a zip that is small and would unfold, or be listed, to any size."""
    table = pickle.dumps({}, 2)
    return {
        "deflated": lambda: _compressed({"data.pkl": table, "data/0": bytes(100 * 2**20)}, zipfile.ZIP_DEFLATED),
        "deflated-table": lambda: _compressed({"data.pkl": table + bytes(100 * 2**20)}, zipfile.ZIP_DEFLATED),
        "bzip2": lambda: _compressed({"data.pkl": table, "data/0": bytes(30 * 2**20)}, zipfile.ZIP_BZIP2),
        "lzma": lambda: _compressed({"data.pkl": table, "data/0": bytes(30 * 2**20)}, zipfile.ZIP_LZMA),
        "overlapping": lambda: _overlapping(2000, 2**20),
        "lying-sizes": lambda: _lying(_zipped(table)),
        "long-table": lambda: _zipped(b"\x80\x02" + b"]0" * (3 * 2**20) + b"}."),
        "many-members": lambda: _many(400_000),
        "million-steps": lambda: _zipped(b"\x80\x02}" + b"N0" * 1_500_000 + b"."),
        "zips-in-zips": lambda: _nested(6),
        "calls": lambda: _zipped(_quadratic()),
        "long-names": lambda: _named("n" * 60_000, 100),
    }


def _compressed(members: Mapping[str, bytes], how: int) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", how) as archive:
        for name, content in members.items():
            archive.writestr(f"archive/{name}", content)
    return buffer.getvalue()


def _overlapping(count: int, size: int) -> bytes:
    """`count` members that all are the same bytes of the file, stored."""
    content = bytes(size)
    head = struct.pack("<4sHHHHHIIIHH", b"PK\x03\x04", 20, 0, 0, 0, 0, zlib.crc32(content), size, size, 9, 0)
    names = [b"archive/%d" % number for number in range(count)]
    directory = b"".join(
        struct.pack("<4sHHHHHHIIIHHHHHII", b"PK\x01\x02", 20, 20, 0, 0, 0, 0, zlib.crc32(content), size, size,
                    len(name), 0, 0, 0, 0, 0, 0) + name
        for name in names
    )  # fmt: skip
    body = head + b"archive/0" + content
    return body + directory + _end(count, len(directory), len(body))


def _end(count: int, length: int, start: int) -> bytes:
    return struct.pack("<4sHHHHIIH", b"PK\x05\x06", 0, 0, count & 0xFFFF, count & 0xFFFF, length, start, 0)


def _lying(content: bytes) -> bytes:
    """The directory gives the table a size of four gigabytes."""
    place = content.index(b"PK\x01\x02")
    return content[: place + 20] + struct.pack("<II", 2**32 - 2, 2**32 - 2) + content[place + 28 :]


def _many(count: int) -> bytes:
    """A directory of `count` entries without names, of nothing."""
    entry = struct.pack("<4sHHHHHHIIIHHHHHII", b"PK\x01\x02", 20, 20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
    directory = entry * min(count, 8 * 2**20 // len(entry) - 1)
    return b"PK\x03\x04" + bytes(26) + directory + _end(count, len(directory), 30)


def _named(name: str, count: int) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for number in range(count):
            archive.writestr(f"{name}{number}", b"")
    return buffer.getvalue()


def _nested(levels: int) -> bytes:
    content = bytes(10 * 2**20)
    for _ in range(levels):
        content = _compressed({"data.pkl": content}, zipfile.ZIP_DEFLATED)
    return content


def _quadratic() -> bytes:
    """One tuple of many values, given to very many calls."""
    many = b"(" + b"K\x01" * 60_000 + b"tq\x00"
    return b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\nq\x01" + many + b"0" + b"h\x01h\x00R0" * 60_000 + b"}."
