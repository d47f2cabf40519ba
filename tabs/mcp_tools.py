"""Each kind of request as a tool that assistants are told of."""

from collections.abc import Mapping
from typing import Any

from mcp import types  # pyright: ignore[reportMissingImports]

from presets.parts import parts_with_pictures, picture_fields
from presets.requests import AnyRequest
from tabs.api import ENDPOINTS
from tabs.api_schemas import inlined

MODELS = "models"
_PICTURE = {"type": "string", "contentEncoding": "base64"}


def _tool(name: str, kind: type[AnyRequest]) -> types.Tool:
    about = f"{kind.__doc__} Answers with the pictures (PNG, with their settings inside) and the settings of each."
    return types.Tool(name=name, title=kind.title, description=about, inputSchema=_schema(kind))


def _schema(kind: type[AnyRequest]) -> dict[str, Any]:
    """JSON schema of a kind's arguments, in one piece, with pictures as base64."""
    whole = kind.model_json_schema()
    properties = inlined(whole["properties"], whole.get("$defs", {}))
    properties.pop("kind")
    for name in picture_fields(kind):
        properties[name] = _picture(properties[name])
    for name, fields in parts_with_pictures(kind).items():
        own = properties[name]["items"]["properties"]
        own |= {field: _picture(own[field]) for field in fields}
    required = [name for name in whole.get("required", ()) if name != "kind"]
    return {"type": "object", "properties": properties, "required": required}


def _picture(schema: Mapping[str, Any]) -> dict[str, Any]:
    return {**_PICTURE, "description": f"{schema.get('description', '')} In base64, or as a data: URL.".strip()}


TOOLS = [
    *(_tool(name, kind) for name, kind in ENDPOINTS.items()),
    types.Tool(name=MODELS, description="The checkpoints there are.", inputSchema={"type": "object", "properties": {}}),
]
