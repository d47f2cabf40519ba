"""The parser of the command line: an option for each setting and for each field of each kind of request."""

import argparse
from collections.abc import Iterable, Mapping
from typing import Any, NoReturn

from pydantic import BaseModel

from presets.checks import allowed_values, field_extra, field_schemas
from presets.parts import part_of
from presets.request import Request
from presets.requests import KINDS
from presets.settings import Settings
from tabs.command_values import LORA_SHAPE, PART_SHAPE, as_lora, as_number, as_part

_PAGE_ONLY = frozenset(
    {
        *("host", "port", "root_path", "trusted_hosts", "share", "mcp", "manage_models"),
        *("auth", "auth_file", "sign_in", "ssl_certfile", "ssl_keyfile", "ssl_keyfile_password"),
        *("user_limit", "work_limit", "left_jobs", "patience", "shutdown_grace"),
        *("private_gallery", "trash_hours", "zero_gpu", "zero_gpu_seconds"),
    }
)
"""Settings that mean nothing to a subcommand."""


SEVERAL = " Several files, or a folder of them: each in its turn."


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
                "--lora", dest=prefix + name, help=help_text, action="append", metavar=LORA_SHAPE, type=as_lora
            )
        elif part := schema.get("part"):
            option, keys = "--" + part.split()[-1], ", ".join(part_of(model, name).model_fields)
            group.add_argument(
                option, dest=prefix + name, help=f"{help_text} Keys: {keys}.", action="append", metavar=PART_SHAPE,
                type=as_part,
            )  # fmt: skip
        elif name == "image" and getattr(model, "takes_several", False):
            group.add_argument(option, dest=prefix + name, help=help_text + SEVERAL, nargs="+", metavar="FILE")
        else:
            action = "append" if schema.get("type") == "array" else "store"
            reader = as_number if _is_number(schema) else str
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
