"""Pickled checkpoints (.ckpt, .pt, .pth), read as a table of tensors. Nothing in them is ever unpickled.

A file of PyTorch since 1.6 is a zip of stored (not compressed) members: the bytes of each tensor, and `data.pkl`, a
program for pickle's machine that builds the dictionary of tensors. That program is followed here on values alone:
what it would call is looked up in a short list, and anything else ends the reading. What is left is where the bytes of
each tensor lie in the file, as in a safetensors header.
"""

import contextlib
import io
import math
import pickletools
import struct
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.engine.headers import BrokenFile, Header, IncompleteFile, Place

PICKLE_LIMIT = 4 * 2**20
"""Bytes of `data.pkl`. Those of Stable Diffusion have under one million."""
MEMBER_LIMIT = 25_000
_DIRECTORY_LIMIT = 8 * 2**20
_STEP_LIMIT = 500_000
_MOST_ARGUMENTS = 16
"""Of a call that makes a tensor: it can be made many times with the same ones."""


class UnsafeFile(Exception):
    """The file would do something besides holding tensors. The text says what, as the end of a sentence."""


@dataclass(frozen=True, slots=True)
class _Name:
    """Something that would be imported."""

    name: str


@dataclass(frozen=True, slots=True)
class _Storage:
    dtype: str
    member: str


@dataclass(frozen=True, slots=True)
class _Tensor:
    storage: _Storage
    start: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


_STORAGES = {
    "torch.FloatStorage": "F32",
    "torch.HalfStorage": "F16",
    "torch.BFloat16Storage": "BF16",
    "torch.DoubleStorage": "F64",
    "torch.LongStorage": "I64",
    "torch.IntStorage": "I32",
    "torch.ShortStorage": "I16",
    "torch.CharStorage": "I8",
    "torch.ByteStorage": "U8",
    "torch.BoolStorage": "BOOL",
}
_BYTES = {"F64": 8, "I64": 8, "F32": 4, "I32": 4, "F16": 2, "BF16": 2, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1}
_TENSOR = "torch._utils._rebuild_tensor_v2"
_PARAMETER = "torch._utils._rebuild_parameter"
_DICTIONARY = "collections.OrderedDict"
_HARMLESS = {
    _TENSOR,
    _PARAMETER,
    _DICTIONARY,
    *_STORAGES,
    # What training leaves beside the tensors; it is passed over.
    "pytorch_lightning.callbacks.model_checkpoint.ModelCheckpoint",
    "pytorch_lightning.callbacks.early_stopping.EarlyStopping",
    "numpy.core.multiarray.scalar",
    "numpy._core.multiarray.scalar",
    "numpy.dtype",
    "_codecs.encode",
    "torch.Size",
}


def read_pickled(path: Path) -> Header:
    """The tensors of the regular file `path` and where their bytes lie.

    Raises `UnsafeFile` for a file that would run code or unfold, `BrokenFile` for what is no such file, and `OSError`.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(4)
        if start[:2] != b"PK":
            raise _not_zipped(start + file.read(PICKLE_LIMIT))
        with _opened(file, size) as archive:
            members = _members(archive)
            program = archive.read(members["data.pkl"])
        return _header(_tensors(follow(program)), members, file)


def check_zip(path: Path) -> None:
    """Raise `UnsafeFile` for a zip file that could unfold, `BrokenFile` for one that cannot be read, `OSError`."""
    with path.open("rb") as file, _opened(file, path.stat().st_size):
        pass


@contextlib.contextmanager
def _opened(file: io.BufferedReader, size: int) -> Iterator[zipfile.ZipFile]:
    """The zip file of that size, whose members are no larger than it. Raises `UnsafeFile` and `BrokenFile`."""
    _check_directory(file, size)
    try:
        with zipfile.ZipFile(file) as archive:
            _check_members(archive.infolist(), size)
            yield archive
    except (zipfile.BadZipFile, EOFError, NotImplementedError, ValueError, struct.error) as problem:
        raise IncompleteFile("it is cut off or no PyTorch file") from problem
    except KeyError:
        raise BrokenFile("it is a zip file without tensors") from None


def _not_zipped(content: bytes) -> Exception:
    """Why a file that is no zip is not read; the code it would run is named where there is some."""
    try:
        follow(content)
    except UnsafeFile as unsafe:
        return unsafe
    except BrokenFile:
        pass
    if content[:1] == b"\x80":
        return UnsafeFile("it is in PyTorch's oldest format; convert it to safetensors")
    return BrokenFile("it is no PyTorch file")


def _check_directory(file: io.BufferedReader, size: int) -> None:
    """Raise `BrokenFile` for a zip whose table of contents is too large to be read."""
    file.seek(max(0, size - 2**16 - 100))
    tail = file.read()
    end = tail.rfind(b"PK\x05\x06")
    if end < 0 or end + 22 > len(tail):
        raise IncompleteFile("it is cut off or no PyTorch file")
    (length,) = struct.unpack_from("<I", tail, end + 12)
    long_end = tail.rfind(b"PK\x06\x06", 0, end)
    if length == 0xFFFFFFFF and 0 <= long_end <= len(tail) - 56:
        (length,) = struct.unpack_from("<Q", tail, long_end + 40)
    start = max(0, size - len(tail) + end - length - _LONG_ENDS)
    file.seek(start)
    if length > _DIRECTORY_LIMIT or file.read(length + _LONG_ENDS).count(b"PK\x01\x02") > MEMBER_LIMIT:
        raise BrokenFile("it holds more files than any checkpoint")


_LONG_ENDS = 76
"""Bytes between the table of contents and the end that stands last, where the file is longer than 4 GiB."""


def _check_members(found: Sequence[zipfile.ZipInfo], size: int) -> None:
    if any(member.compress_type != zipfile.ZIP_STORED or member.file_size != member.compress_size for member in found):
        raise UnsafeFile("it has compressed members, which could unfold to any size")
    if sum(member.file_size for member in found) > size:
        raise UnsafeFile("its members overlap and could unfold to any size")


def _members(archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    """The members by their names without the first folder."""
    members = {member.filename.partition("/")[2]: member for member in archive.infolist()}
    if members["data.pkl"].file_size > PICKLE_LIMIT:
        raise BrokenFile("its table of tensors is larger than any checkpoint's")
    if "byteorder" in members and archive.read(members["byteorder"]) != b"little":
        raise BrokenFile("its numbers are in another machine's order of bytes")
    return members


_UNDER = ("model_state_dict", "state_dict", "params_ema", "params-ema", "params", "model", "net")
"""Where those who train upscalers put the tensors, the ones to prefer first."""


def _tensors(value: Any) -> dict[str, _Tensor]:
    """The tensors of what the program built: a dictionary, one under a name that such have, or the parts of one, whose
    names come before theirs."""
    for key in _UNDER:
        if isinstance(value, dict) and isinstance(value.get(key), dict):
            value = value[key]
            break
    entries = value if isinstance(value, dict) else {}
    tensors = {name: tensor for name, tensor in entries.items() if isinstance(tensor, _Tensor)}
    return tensors or {
        f"{part}.{name}": tensor
        for part, inner in entries.items()
        if isinstance(inner, dict)
        for name, tensor in inner.items()
        if isinstance(tensor, _Tensor)
    }


def _header(tensors: Mapping[str, _Tensor], members: Mapping[str, zipfile.ZipInfo], file: io.BufferedReader) -> Header:
    starts: dict[str, int] = {}
    places = {}
    for name, tensor in tensors.items():
        member = members.get(f"data/{tensor.storage.member}")
        width = _BYTES[tensor.storage.dtype]
        first, length = tensor.start * width, math.prod(tensor.shape) * width
        if member is None or first + length > member.file_size:
            raise BrokenFile(f"its tensor {name[:60]!r} lies outside of its data")
        if not _is_dense(tensor):
            raise BrokenFile(f"its tensor {name[:60]!r} is not stored in the usual order")
        if member.filename not in starts:
            starts[member.filename] = _data_start(member, file)
        begin = starts[member.filename] + first
        places[name] = Place(tensor.storage.dtype, begin, begin + length)
    return Header({name: tensor.shape for name, tensor in tensors.items()}, {}, places)


def _data_start(member: zipfile.ZipInfo, file: io.BufferedReader) -> int:
    """Where the bytes of `member` begin: behind its own header, whose length differs from the directory's."""
    file.seek(member.header_offset)
    header = file.read(30)
    if len(header) < 30 or header[:4] != b"PK\x03\x04":
        raise BrokenFile("its table of contents does not fit it")
    name, extra = struct.unpack_from("<HH", header, 26)
    return member.header_offset + 30 + name + extra


def _is_dense(tensor: _Tensor) -> bool:
    """Whether the last side varies first; the stride of a side of one does not matter."""
    dense = (math.prod(tensor.shape[place + 1 :]) for place in range(len(tensor.shape)))
    return all(
        side <= 1 or stride == wanted for side, stride, wanted in zip(tensor.shape, tensor.strides, dense, strict=True)
    )


# Pickle's machine, on values alone


def follow(program: bytes) -> Any:
    """What the pickle `program` builds, with stand-ins for tensors and None for what is passed over.

    Only text keeps its place as a key of a dictionary. Raises `UnsafeFile` for what would be imported and is not
    known to be harmless, and `BrokenFile` for a program that cannot be followed.
    """
    machine = _Machine()
    try:
        for step, (opcode, argument, _) in enumerate(pickletools.genops(program)):
            if opcode.name == "STOP":
                return machine.stack.pop()
            if step > _STEP_LIMIT:
                raise BrokenFile("its table of tensors is longer than any checkpoint's")
            machine.do(opcode.name, argument)
    except (ValueError, IndexError, KeyError, TypeError, AttributeError, OverflowError) as problem:
        raise BrokenFile("its table of tensors cannot be read") from problem
    raise BrokenFile("its table of tensors has no end")


_VALUES = {
    "BININT", "BININT1", "BININT2", "INT", "LONG", "LONG1", "LONG4", "BINFLOAT", "FLOAT",
    "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "STRING", "BINSTRING", "SHORT_BINSTRING",
    "BINBYTES", "SHORT_BINBYTES", "BINBYTES8",
}  # fmt: skip
_PASSED_OVER = {"PROTO", "FRAME"}
_CONSTANTS: dict[str, Callable[[], Any]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_TUPLE": tuple,
    "EMPTY_LIST": list,
    "EMPTY_DICT": dict,
}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


class _Machine:
    """The stack and memory of a program that is followed."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self._below: list[list[Any]] = []
        self._memory: dict[int, Any] = {}

    def do(self, name: str, argument: Any) -> None:
        if name in _VALUES:
            self.stack.append(argument)
        elif name in _CONSTANTS:
            self.stack.append(_CONSTANTS[name]())
        elif name in _TUPLES:
            self.stack[-_TUPLES[name] :] = [tuple(self.stack[-_TUPLES[name] :])]
        elif name in ("BINPUT", "LONG_BINPUT", "PUT"):
            self._memory[argument] = self.stack[-1]
        elif name in ("BINGET", "LONG_BINGET", "GET"):
            self.stack.append(self._memory[argument])
        elif name not in _PASSED_OVER:
            step = getattr(self, f"_{name.lower()}", None)
            if step is None:
                raise UnsafeFile(f"it contains an instruction that no tensor needs ({name})")
            step(argument)

    def _above_mark(self) -> list[Any]:
        values, self.stack = self.stack, self._below.pop()
        return values

    def _mark(self, _: Any) -> None:
        self._below.append(self.stack)
        self.stack = []

    def _memoize(self, _: Any) -> None:
        self._memory[len(self._memory)] = self.stack[-1]

    def _pop(self, _: Any) -> None:
        self.stack.pop()

    def _tuple(self, _: Any) -> None:
        values = self._above_mark()
        self.stack.append(tuple(values))

    def _append(self, _: Any) -> None:
        value = self.stack.pop()
        self.stack[-1].append(value)

    def _appends(self, _: Any) -> None:
        values = self._above_mark()
        self.stack[-1].extend(values)

    def _setitem(self, _: Any) -> None:
        key, value = self.stack[-2:]
        del self.stack[-2:]
        self._set(key, value)

    def _setitems(self, _: Any) -> None:
        values = self._above_mark()
        for key, value in zip(values[::2], values[1::2], strict=True):
            self._set(key, value)

    def _set(self, key: Any, value: Any) -> None:
        if isinstance(key, str) and isinstance(self.stack[-1], dict):
            self.stack[-1][key] = value

    def _global(self, argument: str) -> None:
        self.stack.append(_allowed(argument.replace(" ", ".")))

    def _stack_global(self, _: Any) -> None:
        module, name = self.stack[-2:]
        if not (isinstance(module, str) and isinstance(name, str)):  # else its text could be of any length
            raise BrokenFile("its table of tensors names something that is no text")
        self.stack[-2:] = [_allowed(f"{module}.{name}")]

    def _inst(self, argument: str) -> None:
        _allowed(argument.replace(" ", "."))
        self._above_mark()
        self.stack.append(None)

    def _reduce(self, _: Any) -> None:
        what, arguments = self.stack[-2:]
        self.stack[-2:] = [_called(what, arguments)]

    def _newobj(self, _: Any) -> None:
        self.stack[-2:] = [None]

    def _build(self, _: Any) -> None:
        self.stack.pop()

    def _binpersid(self, _: Any) -> None:
        kind, storage, member, *_rest = _few(self.stack[-1])
        if kind != "storage" or not isinstance(storage, _Name) or not isinstance(member, str):
            raise BrokenFile("its table of tensors names something that is no tensor")
        self.stack[-1] = _Storage(_STORAGES[storage.name], member)


def _allowed(name: str) -> _Name:
    if name not in _HARMLESS:
        raise UnsafeFile(f"it contains code ({name[:80]})")
    return _Name(name)


def _called(what: Any, arguments: Any) -> Any:
    """The stand-in for what a call would give: None where it is passed over."""
    name = what.name if isinstance(what, _Name) else ""
    if name == _DICTIONARY:
        return {}
    if name == _PARAMETER:
        return arguments[0]
    if name != _TENSOR:
        return None
    storage, start, shape, strides, *_ = _few(arguments)
    if len(shape) > 8 or len(shape) != len(strides):
        raise BrokenFile("its table describes a tensor wrongly")
    sizes = (start, *shape, *strides)
    if not isinstance(storage, _Storage) or not all(type(size) is int and 0 <= size < 2**48 for size in sizes):
        raise BrokenFile("its table describes a tensor wrongly")
    return _Tensor(storage, start, tuple(shape), tuple(strides))


def _few(arguments: Any) -> tuple[Any, ...]:
    if not isinstance(arguments, tuple) or len(arguments) > _MOST_ARGUMENTS:
        raise BrokenFile("its table describes a tensor wrongly")
    return arguments
