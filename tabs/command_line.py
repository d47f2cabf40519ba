"""The command line: the app's options from `Settings`, and one subcommand for each kind of request from its fields."""

import argparse
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from pydantic import BaseModel, ValidationError

from presets.checks import allowed_values, field_extra, field_schemas
from presets.errors import UserError, shortened
from presets.parts import part_of
from presets.request import Request
from presets.requests import KINDS, AnyRequest
from presets.settings import SECRETS, Settings, load_settings

if TYPE_CHECKING:
    from pipelines.engine.jobs import Engine

_PAGE_ONLY = frozenset(
    {
        *("host", "port", "root_path", "trusted_hosts", "share", "mcp", "manage_models"),
        *("auth", "auth_file", "sign_in", "ssl_certfile", "ssl_keyfile", "ssl_keyfile_password"),
        *("user_limit", "work_limit", "left_jobs", "patience", "shutdown_grace"),
        *("private_gallery", "trash_hours"),
    }
)
"""Settings that mean nothing to a subcommand."""

_WHOLE = re.compile(r"[+-]?[0-9]{1,30}")
_PART_SHAPE = "KEY=VALUE,..."
_NEXT_KEY = re.compile(r",(?=[a-z][a-z_-]*=)")
_SWITCHES = {"true": True, "false": False}
_LORA_SHAPE = "NAME[:STRENGTH[:TEXT_ENCODER_STRENGTH]]"
_REAL = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,4})?")


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
    from tabs.command_run import tell_of_picture

    return tell_of_picture(engine, arguments.picture or "")


def tell_of_preprocessors(engine: "Engine") -> int:
    """Print which preprocessors there are, what each needs and whether that is here, as JSON; the exit code."""
    from tabs.command_run import tell_of_preprocessors

    return tell_of_preprocessors(engine)


class _Parser(argparse.ArgumentParser):
    """Complains in one line, as everything else here does."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"easel: {message}; see {self.prog} --help [E-API-ARGS]\n")


def build_parser() -> argparse.ArgumentParser:
    """Options that are not given leave nothing behind; names are `before.`, `after.` or `request.` and the field."""
    description = "Easel, a Stable Diffusion studio in a browser tab. Without a command it serves the page."
    parser = _Parser(prog="easel", description=description, allow_abbrev=False, argument_default=argparse.SUPPRESS)
    _add_options(parser.add_argument_group("settings"), Settings, Settings.model_fields, "before.")
    parser.add_argument("--debug", action="store_true", help="Show where in the program an error came from.")
    commands = parser.add_subparsers(title="commands", dest="command", metavar="COMMAND")
    for name, kind in KINDS.items():
        about = (kind.__doc__ or kind.title).strip()
        command = commands.add_parser(
            name, help=about, description=about, allow_abbrev=False, argument_default=argparse.SUPPRESS
        )
        _add_command_options(command, kind)
    _add_picture_info(commands)
    _add_preprocessors(commands)
    return parser


def _add_picture_info(commands: Any) -> None:
    about = "Tell what a picture was made with, whichever program wrote it, as JSON."
    command = commands.add_parser(
        "picture-info", help=about, description=about, allow_abbrev=False, argument_default=argparse.SUPPRESS
    )
    command.add_argument("picture", metavar="FILE", help="A PNG, JPEG or WebP file.")
    settings = ("home", "models_dir")
    _add_options(command.add_argument_group("settings"), Settings, settings, "after.")


def _add_preprocessors(commands: Any) -> None:
    about = "List what makes control pictures, what each needs and whether that is here, as JSON."
    command = commands.add_parser(
        "preprocessors", help=about, description=about, allow_abbrev=False, argument_default=argparse.SUPPRESS
    )
    _add_options(command.add_argument_group("settings"), Settings, ("home", "models_dir"), "after.")


def _add_command_options(command: argparse.ArgumentParser, kind: type[Request]) -> None:
    command.add_argument(
        "--preset", metavar="NAME", help="A preset to begin with; options that are given stand in for its settings."
    )
    fields = [name for name in kind.model_fields if name != "kind"]
    for title in ("basic", "advanced"):
        names = [name for name in fields if field_extra(kind, name).get("group") == title]
        _add_options(command.add_argument_group(title), kind, names, "request.")
    output = command.add_argument_group("output")
    output.add_argument(
        "--output",
        metavar="PATH",
        help="A .png, .webp or .jpg file (several pictures: name-1.png, name-2.png ...), or an existing folder to copy "
        "into.",
    )
    output.add_argument("--quiet", action="store_true", help="Show no progress.")
    output.add_argument("--json", action="store_true", help="Print the resolved request and timings as JSON.")
    settings = [name for name in Settings.model_fields if name not in _PAGE_ONLY]
    _add_options(command.add_argument_group("settings"), Settings, settings, "after.")


def _add_options(group: Any, model: type[BaseModel], names: Iterable[str], prefix: str) -> None:
    """One option for each of the model's fields `names`, its help from the field."""
    for name in names:
        schema = field_schemas(model)[name]
        option, help_text = "--" + name.replace("_", "-"), _help(model, name, schema)
        if schema.get("type") == "boolean":
            group.add_argument(option, dest=prefix + name, help=help_text, action=argparse.BooleanOptionalAction)
        elif name == "loras":
            group.add_argument(
                "--lora", dest=prefix + name, help=help_text, action="append", metavar=_LORA_SHAPE, type=_lora
            )
        elif part := schema.get("part"):
            option, keys = "--" + part.split()[-1], ", ".join(part_of(model, name).model_fields)
            group.add_argument(
                option, dest=prefix + name, help=f"{help_text} Keys: {keys}.", action="append", metavar=_PART_SHAPE,
                type=_part,
            )  # fmt: skip
        else:
            action = "append" if schema.get("type") == "array" else "store"
            reader = _number if _is_number(schema) else str
            group.add_argument(
                option, dest=prefix + name, help=help_text, action=action, type=reader, metavar=_placeholder(schema)
            )


def _help(model: type[BaseModel], name: str, schema: Mapping[str, Any]) -> str:
    parts = [schema.get("description", "")]
    allowed = allowed_values(model, name)
    if allowed:
        parts.append(f"Allowed: {allowed}.")
    if schema.get("type") == "array":
        parts.append("Can be given several times.")
    default = schema.get("default")
    if default not in (None, "", []) and schema.get("type") != "boolean":
        parts.append(f"Default: {default}.")
    return " ".join(parts).replace("%", "%%")


def _placeholder(schema: Mapping[str, Any]) -> str:
    if _is_number(schema):
        return "NUMBER"
    if schema.get("picture"):
        return "FILE"
    if "path" in (schema.get("format"), schema.get("items", {}).get("format")):
        return "FOLDER"
    return "NAME" if "enum" in schema else "TEXT"


def _is_number(schema: Mapping[str, Any]) -> bool:
    return any(part.get("type") in ("integer", "number") for part in (schema, *schema.get("anyOf", ())))


def _number(text: str) -> int | float | str:
    """`text` as a number if it looks like one; the request refuses the rest by the field's own rule."""
    stripped = text.strip()
    if _WHOLE.fullmatch(stripped):
        return int(stripped)
    return float(stripped) if _REAL.fullmatch(stripped) else text


def _lora(text: str) -> dict[str, Any]:
    """As in `_LORA_SHAPE`. A name may have colons in it, as long as what follows them is no number."""
    name, colon, last = text.rpartition(":")
    if not colon:
        return {"name": text}
    shorter, colon, strength = name.rpartition(":")
    if colon and not isinstance(_number(strength), str):
        return {"name": shorter, "strength": _number(strength), "text_encoder_strength": _number(last)}
    return {"name": name, "strength": _number(last)}


def _part(text: str) -> dict[str, Any]:
    """As in `_PART_SHAPE`. A value may have commas in it, as long as no key follows them."""
    pairs = (pair.partition("=") for pair in _NEXT_KEY.split(text))
    return {key.strip().replace("-", "_"): _SWITCHES.get(value.lower(), _number(value)) for key, _, value in pairs}


def _under(prefix: str, given: Mapping[str, Any]) -> dict[str, Any]:
    return {name.removeprefix(prefix): value for name, value in given.items() if name.startswith(prefix)}


def _merged(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """Settings before and after the subcommand: the later wins, lists are joined."""
    joined = {name: before[name] + after[name] for name in before if isinstance(after.get(name), list)}
    return {**before, **after, **joined}
