"""The command line: the app's options from `Settings`, and one subcommand for each kind of request from its fields."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from presets.errors import UserError, shortened
from presets.requests import KINDS, AnyRequest
from presets.settings import SECRETS, Settings, load_settings
from tabs.command_options import build_parser

if TYPE_CHECKING:
    from pipelines.engine.jobs import Engine


@dataclass(frozen=True, slots=True)
class Arguments:
    """What stood on the command line: only what was given, and requests' values not checked yet. They are laid over
    those of the `preset`.

    `kind` is None where the page is wanted, what a `picture` tells, or a list. `output` is the text after `--output`.
    """

    settings: Mapping[str, Any]
    kind: type[AnyRequest] | None = None
    picture: str | None = None
    preset: str | None = None
    lists_preprocessors: bool = False
    values: Mapping[str, Any] = field(default_factory=dict)
    output: str | None = None
    quiet: bool = False
    json: bool = False
    debug: bool = False


def parse_arguments(argv: Sequence[str]) -> Arguments:
    """`argv` (without the program's name) taken apart. Exits with a sentence where it cannot be, and after `--help`."""
    given = vars(build_parser().parse_args(argv))
    kind = KINDS.get(given.get("command", ""))
    return Arguments(
        settings=_merged(_under("before.", given), _under("after.", given)),
        kind=kind,
        picture=given.get("picture"),
        preset=given.get("preset"),
        lists_preprocessors=given.get("command") == "preprocessors",
        values=_under("request.", given),
        output=given.get("output"),
        quiet=given.get("quiet", False),
        json=given.get("json", False),
        debug=given.get("debug", False),
    )


def read_settings(arguments: Arguments) -> Settings:
    """The settings that file, environment and arguments give together. Raises `UserError` for one not allowed."""
    try:
        return load_settings(arguments.settings)
    except ValidationError as error:
        detail = error.errors(include_url=False)[0]
        name = str(detail["loc"][0]) if detail["loc"] else ""
        reason = detail["msg"][0].lower() + detail["msg"][1:]
        value = "that" if name in SECRETS else shortened(detail["input"])
        message = f"The setting {name} cannot be {value}: {reason}."
        raise UserError(message, code="E-SETTINGS", field=name) from None
    except (OSError, ValueError) as error:
        raise UserError(f"The settings cannot be read: {error}", code="E-SETTINGS") from None


def run_request(engine: "Engine", arguments: Arguments, own_presets: Path | None = None) -> int:
    """Run the request that stands on the command line to its end; the exit code. Own presets lie in `own_presets`."""
    from presets.library import Library  # these two are not needed to answer --help, which should be quick
    from tabs.command_run import run

    return run(engine, arguments, Library(own_presets))


def tell_of_picture(engine: "Engine", arguments: Arguments) -> int:
    """Print what the picture of `arguments` tells of itself, as JSON; the exit code."""
    from tabs.command_telling import tell_of_picture

    return tell_of_picture(engine, arguments.picture or "")


def tell_of_preprocessors(engine: "Engine") -> int:
    """Print which preprocessors there are, what each needs and whether that is here, as JSON; the exit code."""
    from tabs.command_telling import tell_of_preprocessors

    return tell_of_preprocessors(engine)


def _under(prefix: str, given: Mapping[str, Any]) -> dict[str, Any]:
    return {name.removeprefix(prefix): value for name, value in given.items() if name.startswith(prefix)}


def _merged(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """Settings before and after the subcommand: the later wins, lists are joined."""
    joined = {name: before[name] + after[name] for name in before if isinstance(after.get(name), list)}
    return {**before, **after, **joined}
