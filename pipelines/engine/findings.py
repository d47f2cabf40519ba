"""What the headers of files tell, remembered until the files change."""

from collections.abc import Callable, Container, Iterable
from pathlib import Path
from typing import Generic, TypeVar

from pipelines.engine.errors import Unusable
from pipelines.engine.model import identity_of
from presets.errors import UserError

Found = TypeVar("Found")


def _alone(path: Path) -> Iterable[Path]:
    return (path,)


class Findings(Generic[Found]):
    """What was found in the files of one kind. Any thread may call it; a file that has not changed is not read again.

    `inspect` gives, for a name, a path and an identity, the file or what is wrong with it; it may raise `OSError` for
    what vanished. `refused` is the error of a file that is not even looked at. `parts` gives the files that one
    consists of, of which the identity is made.
    """

    def __init__(
        self,
        inspect: Callable[[str, Path, str], Found | UserError],
        refused: type[Unusable],
        parts: Callable[[Path], Iterable[Path]] = _alone,
    ):
        self._inspect = inspect
        self._refused = refused
        self._parts = parts
        self._known: dict[Path, tuple[str, Found | UserError]] = {}

    def __contains__(self, path: Path) -> bool:
        """Whether the file was read before, in whatever state."""
        return path in self._known

    def of(self, name: str, path: Path, reason: str = "") -> Found | UserError:
        """What the file is, or why it cannot be used: `reason`, if there is one, says why it must not be opened."""
        if reason:
            return self._refused(name, reason, "E-MODEL-PATH")
        try:
            identity = identity_of(iter(self._parts(path)))
            known = self._known.get(path)
            if known is None or known[0] != f"{name}|{identity}":
                known = self._known[path] = (f"{name}|{identity}", self._inspect(name, path, identity))
            return known[1]
        except OSError as problem:
            return self._refused(name, f"it cannot be read ({problem.strerror})")

    def mark(self, name: str, path: Path, identity: str, error: UserError) -> None:
        """Have `error` be the answer for the file in that state."""
        self._known[path] = (f"{name}|{identity}", error)

    def keep(self, paths: Container[Path]) -> None:
        """Forget what was found in other files than these."""
        self._known = {path: known for path, known in self._known.items() if path in paths}
