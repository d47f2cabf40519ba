"""A picture's request as something that makes it again elsewhere: for the clients, curl and the command line.

Only what differs from a request's defaults is written; the rest is the same everywhere.
"""

import html
import json
import shlex
from collections.abc import Mapping
from typing import Any

import gradio as gr
from gradio.components import Component
from starlette.requests import HTTPConnection

from presets.checks import field_extra
from presets.parts import with_pictures
from presets.requests import AnyRequest
from tabs import markup
from tabs.output import Output, Pictures
from tabs.owners import user_of
from tabs.updates import update

_COPY = """element.addEventListener('click', (event) => {
    const button = event.target.closest('button[data-copy]');
    if (!button) return;
    const code = button.parentElement.querySelector('code'), told = () => { button.innerText = 'Copied'; };
    if (navigator.clipboard) return navigator.clipboard.writeText(code.innerText).then(told);
    getSelection().selectAllChildren(code);
    if (document.execCommand('copy')) told();
});"""
"""Over plain HTTP a browser gives its clipboard to nobody but a selection."""


def build(output: Output) -> None:
    """A part under the pictures of `output`, which shows the selected one's."""
    with output.session, gr.Accordion("Copy as", open=False, elem_classes="copy-panel"):
        place = gr.HTML(elem_classes="copy-as", js_on_load=_COPY)

    def shown(request: gr.Request, pictures: Pictures, selected: int) -> str:
        if selected >= len(pictures):
            return ""
        connection = request.request
        assert connection is not None
        found = snippets(pictures[selected].request, address_of(connection), user_of(connection))
        return "".join(_section(*each) for each in found.items())

    inputs: list[Component] = [output.pictures, output.selected]
    update(output.details.change, shown, inputs, place)


def _section(title: str, code: str) -> str:
    button = '<button type="button" data-copy>Copy</button>'
    return markup.section(title, f"<div>{button}<pre><code>{html.escape(code)}</code></pre></div>")


def address_of(connection: HTTPConnection) -> str:
    """Where the browser finds this page, with a slash at its end."""
    scheme = connection.headers.get("x-forwarded-proto", connection.url.scheme).partition(",")[0].strip()
    host = connection.headers.get("x-forwarded-host", connection.url.netloc).partition(",")[0].strip()
    return f"{connection.base_url.replace(scheme=scheme, netloc=host)}"


def snippets(request: AnyRequest, address: str, user: str = "") -> dict[str, str]:
    """By title: what makes the pictures of a resolved request again on the server at `address`, where `user` signs
    in, if one is named; passwords are asked for."""
    values = request.model_dump(mode="json", exclude_defaults=True, exclude={"kind"})
    endpoint = f"/{request.kind.replace('-', '_')}"
    return {
        "Python": _python(values, endpoint, address, user),
        "JavaScript": _javascript(values, endpoint, address, user),
        "curl": _curl({"kind": request.kind, **values}, address, user),
        "Command line": _command(request, values),
    }


def _python(values: Mapping[str, Any], endpoint: str, address: str, user: str) -> str:
    lines = "".join(f"    {name}={value!r},\n" for name, value in values.items())
    return (
        f"{'from getpass import getpass' if user else ''}\n\n".lstrip() + "from gradio_client import Client\n\n"
        f"client = Client({address!r}{f', auth=({user!r}, getpass())' if user else ''})\n"
        f"pictures, record = client.predict(\n{lines}    api_name={endpoint!r},\n)\n"
        "print(pictures)\n"
    )


def _javascript(values: Mapping[str, Any], endpoint: str, address: str, user: str) -> str:
    options = f", {{ auth: [{json.dumps(user)}, process.env.EASEL_PASSWORD] }}" if user else ""
    return (
        'import { Client } from "@gradio/client";\n\n'
        f"const easel = await Client.connect({json.dumps(address)}{options});\n"
        f"const {{ data }} = await easel.predict({json.dumps(endpoint)}, {json.dumps(values, indent=2)});\n"
        "console.log(data[0].map((picture) => picture.url));\n"
    )


def _curl(body: Mapping[str, Any], address: str, user: str) -> str:
    url = shlex.quote(f"{address}api/jobs?wait=600") + (f" -u {shlex.quote(user)}" if user else "")
    return f"curl {url} -H 'content-type: application/json' -d {shlex.quote(json.dumps(body))}\n"


def _command(request: AnyRequest, values: Mapping[str, Any]) -> str:
    """For the machine that serves: pictures are given by their names there."""
    named = with_pictures(type(request), values, lambda picture, _: picture and picture["sha256"])
    options = [option for name, value in named.items() for option in _options(type(request), name, value)]
    return " ".join(["python app.py", request.kind, *map(shlex.quote, options), "--output=picture.png"]) + "\n"


def _options(kind: type[AnyRequest], name: str, value: Any) -> list[str]:
    option, part = f"--{name.replace('_', '-')}", field_extra(kind, name).get("part")
    if isinstance(value, bool):
        return [option if value else f"--no-{option.removeprefix('--')}"]
    if name == "loras":
        return [f"--lora={_lora(use)}" for use in value]
    if part:
        return [f"--{part.split()[-1]}={','.join(f'{key}={each}' for key, each in one.items())}" for one in value]
    if isinstance(value, list):
        return [f"{option}={each}" for each in value]
    return [f"{option}={value}"]


def _lora(use: Mapping[str, Any]) -> str:
    text = use.get("text_encoder_strength")
    return ":".join(map(str, (use["name"], use.get("strength", 1.0), *([] if text is None else [text]))))
