"""What a process does that it should not, told by Python's own audit events (PEP 578), and what it costs."""

import os
import site
import sys
import sysconfig
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

RUNNING = frozenset(
    {
        "os.system", "os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "os.spawn", "subprocess.Popen", "pty.spawn",
        "pickle.find_class", "ctypes.dlopen", "ctypes.dlsym", "webbrowser.open", "code.__new__", "function.__new__",
        "socket.connect", "socket.getaddrinfo", "urllib.Request", "ftplib.connect", "smtplib.connect",
    }
)  # fmt: skip
"""Events of code that runs something or asks somebody."""
CHANGING = frozenset({"os.remove", "os.rename", "os.rmdir", "os.mkdir", "os.chmod", "os.link", "os.symlink",
                      "os.truncate", "shutil.rmtree", "shutil.move", "shutil.copyfile"})  # fmt: skip
"""Events of code that changes files, the first argument being one."""
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


@dataclass
class Watch:
    """What happened that is not allowed: files outside of `readable` that are opened, files outside of `writable` that
    are changed, and whatever runs something. Notes only while `is_on`."""

    readable: Sequence[Path]
    writable: Sequence[Path] = ()
    is_on: bool = False
    seen: list[str] = field(default_factory=list)

    def install(self) -> "Watch":
        """For good: such hooks cannot be removed."""
        self.readable = [Path(os.path.realpath(path)) for path in (*self.readable, *self.writable, *libraries())]
        self.writable = [
            Path(os.path.realpath(path)) for path in (*self.writable, "/dev/null", "/proc/self/clear_refs")
        ]
        sys.addaudithook(self._note)
        return self

    @contextmanager
    def noting(self) -> Iterator[list[str]]:
        """What is not allowed and happens within the block."""
        self.seen.clear()
        self.is_on = True
        try:
            yield self.seen
        finally:
            self.is_on = False

    def _note(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.is_on:
            return
        self.is_on = False
        try:
            if event in RUNNING or (event == "exec" and _is_written_on_the_fly(arguments[0])):
                self.seen.append(f"{event} {str(arguments)[:120]}")
            elif event == "open" and not self._may_open(*arguments):
                self.seen.append(f"open {str(arguments)[:120]}")
            elif event in CHANGING and not _is_inside(arguments[0], self.writable):
                self.seen.append(f"{event} {str(arguments)[:120]}")
        finally:
            self.is_on = True

    def _may_open(self, path: Any, mode: Any, flags: Any) -> bool:
        is_written = bool(flags & _WRITING) if isinstance(flags, int) else any(mark in str(mode) for mark in "wax+")
        return _is_inside(path, self.writable if is_written else self.readable)


def libraries() -> list[Path]:
    """Where the interpreter and its packages lie, and what the system tells of itself."""
    paths = {*sysconfig.get_paths().values(), *site.getsitepackages(), sys.prefix, sys.base_prefix}
    return [
        *map(Path, paths),
        Path("/proc"),
        Path("/sys"),
        Path("/dev/null"),
        Path("/dev/urandom"),
        Path("/etc/localtime"),
    ]


def _is_inside(path: Any, roots: Sequence[Path]) -> bool:
    if isinstance(path, int):
        return True  # opened before
    real = Path(os.path.realpath(os.fsdecode(path)))
    return any(real.is_relative_to(root) for root in roots)


def _is_written_on_the_fly(code: Any) -> bool:
    return getattr(code, "co_filename", "") in ("<payload>", "<string>")


@dataclass
class Cost:
    """Of a block: seconds that passed and that this process computed, and bytes by which its memory grew at most."""

    seconds: float = 0.0
    processor_seconds: float = 0.0
    bytes: int = 0


@contextmanager
def costing() -> Iterator[Cost]:
    """Linux: the highest mark of the resident set is set back first."""
    cost = Cost()
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    before, began, computed = _status("VmRSS"), time.perf_counter(), time.process_time()
    try:
        yield cost
    finally:
        cost.seconds, cost.processor_seconds = time.perf_counter() - began, time.process_time() - computed
        cost.bytes = _status("VmHWM") - before


def _status(name: str) -> int:
    lines = Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))
