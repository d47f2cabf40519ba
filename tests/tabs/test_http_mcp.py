"""Each kind of request as a tool, through the real client of the Model Context Protocol."""

import asyncio
import base64
import io
from collections.abc import Awaitable, Callable, Iterator
from datetime import timedelta
from typing import Any

import httpx
import mcp
import pytest
from mcp.client.streamable_http import streamable_http_client
from PIL import Image
from pydantic import SecretStr

from presets.requests import KINDS
from presets.settings import Settings
from tests.fake_engine import FakeEngine
from tests.served import served
from tests.waiting import wait_until


@pytest.fixture(scope="module")
def tools(engine: FakeEngine) -> Iterator[str]:
    """The address of the tools of a page that ann may use."""
    settings = Settings(home=engine.folder, mcp=True, auth=(SecretStr("ann:open sesame"),))
    with served(engine, engine.folder, settings) as address:
        yield f"{address}mcp"


def asked(tools: str, question: Callable[[Any], Awaitable[Any]]) -> Any:
    """What a client that signed in as ann is answered."""

    async def ask() -> Any:
        async with (
            httpx.AsyncClient(auth=("ann", "open sesame"), timeout=30) as signed_in,
            streamable_http_client(tools, http_client=signed_in) as (reading, writing, _),
            mcp.ClientSession(reading, writing) as session,
        ):
            await session.initialize()
            return await question(session)

    return asyncio.run(ask())


def test_each_tab_is_a_tool_with_its_parameters_told(tools: str):
    listed = {tool.name: tool for tool in asked(tools, lambda session: session.list_tools()).tools}
    assert set(listed) == {*(kind.replace("-", "_") for kind in KINDS), "models"}
    drawing = listed["text_to_image"]
    assert drawing.description and drawing.inputSchema["required"] == ["prompt"]
    steps = drawing.inputSchema["properties"]["steps"]
    assert (steps["default"], steps["minimum"], bool(steps["description"])) == (20, 1, True)
    assert listed["inpaint"].inputSchema["properties"]["mask"]["contentEncoding"] == "base64"
    assert "$ref" not in str([tool.inputSchema for tool in listed.values()])


def test_a_tool_draws_tells_its_steps_and_answers_with_pictures_and_what_made_them(tools: str):
    steps: list[tuple[float, float | None]] = []

    async def told(progress: float, total: float | None, _: str | None) -> None:
        steps.append((progress, total))

    values = {"prompt": "a boat", "steps": 3, "seed": 7, "count": 2}
    answer = asked(tools, lambda session: session.call_tool("text_to_image", values, progress_callback=told))
    *pictures, text = answer.content
    sizes = [Image.open(io.BytesIO(base64.b64decode(picture.data))).size for picture in pictures]
    assert sizes == [(128, 128)] * 2 and text.type == "text" and steps[-1] == (6, 6)
    assert [made["request"]["seed"] for made in answer.structuredContent["pictures"]] == [7, 8]
    mine = httpx.get(tools.replace("mcp", "api/jobs"), auth=("ann", "open sesame")).json()
    assert answer.structuredContent["job"] in [job["id"] for job in mine]


def test_a_picture_is_given_in_base64(tools: str):
    file = io.BytesIO()
    Image.new("RGB", (64, 64), "teal").save(file, "PNG")
    values = {"prompt": "a boat", "image": base64.b64encode(file.getvalue()).decode(), "steps": 4}
    answer = asked(tools, lambda session: session.call_tool("image_to_image", values))
    assert not answer.isError and answer.structuredContent["pictures"][0]["request"]["image"]["width"] == 64


@pytest.mark.parametrize(
    ("tool", "values", "sentence"),
    [
        ("text_to_image", {"prompt": "x", "steps": 0}, "E-STEPS"),
        ("text_to_image", {"prompt": "x", "kind": "upscale", "colour": 1}, "colour"),
        ("image_to_image", {"prompt": "x", "image": "/etc/passwd"}, "base64"),
        ("image_to_image", {"prompt": "x", "image": "http://127.0.0.1/x.png"}, "E-IMAGE"),
        ("draw", {}, "There is no such tool"),
        ("models", {"name": "x"}, "without arguments"),
    ],
)
def test_what_cannot_be_done_is_answered_with_the_sentence(tools: str, tool: str, values: dict, sentence: str):
    answer = asked(tools, lambda session: session.call_tool(tool, values))
    assert answer.isError and sentence in answer.content[0].text


def test_a_call_that_is_given_up_cancels_its_job(tools: str, engine: FakeEngine):
    async def give_up(session: Any) -> None:
        values = {"prompt": "given up", "steps": 149, "count": 8}
        with pytest.raises(mcp.McpError):
            await session.call_tool("text_to_image", values, read_timeout_seconds=timedelta(seconds=0.5))

    asked(tools, give_up)
    (job,) = [job for job in engine.submitted if getattr(job.request, "prompt", "") == "given up"]
    wait_until(lambda: job.done, 20)
    assert job.state == "cancelled"


def test_strangers_and_other_sites_pages_get_nothing(tools: str):
    assert httpx.post(tools, json={}).status_code == 401
    headers = {"origin": "http://evil.example"}
    assert httpx.post(tools, json={}, headers=headers, auth=("ann", "open sesame")).status_code == 403


def test_without_the_switch_there_are_no_tools(address: str):
    assert httpx.post(f"{address}mcp", json={}).status_code in (404, 405)
