"""Style references in the form, and through the endpoint and the command line."""

from pathlib import Path

import gradio as gr
import pytest
from gradio_client import Client, handle_file
from PIL import Image

from pipelines.engine.jobs import ControlInfo
from presets.references import REFERENCES
from presets.requests import TextToImage
from tabs.command_line import parse_arguments, run_request
from tabs.form import Form
from tabs.references import build, look_again, note_of
from tests.fake_engine import FakeEngine


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    Image.new("RGB", (64, 64), "red").save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


@pytest.fixture
def form(tmp_path: Path) -> Form:
    engine = FakeEngine(tmp_path / "own")
    form = Form(TextToImage, engine.inputs)
    with gr.Blocks():
        form.widget("prompt")
        build(engine, form)
    return form


def test_places_without_a_picture_are_left_out_and_values_come_back(form):
    assert form.request(["a", *[None, 0.6, ""] * REFERENCES]).references == ()
    picture = form.store.keep(Image.new("RGB", (64, 64), "blue"))
    request = TextToImage(prompt="a", references=({"picture": picture, "weight": 0.3},))
    values = form.values(request)
    assert values[1].getpixel((0, 0)) == (0, 0, 255) and values[2:4] == [0.3, ""]
    assert values[4] is None  # a place that is not taken loses the picture that it had


def test_only_what_can_be_used_is_offered_and_why_the_rest_is_not():
    engine = FakeEngine(Path("none"))
    engine.stylers = (
        ControlInfo(name="plus", kind="IP-Adapter Plus"),
        ControlInfo(name="encoder", kind="image encoder"),
        ControlInfo(name="lone", kind="IP-Adapter", problem="It lacks <its> encoder."),
    )
    *boxes, note = look_again(engine)
    assert [box["choices"] for box in boxes] == [["", "plus"]] * REFERENCES
    assert "&lt;its&gt; encoder" in note
    assert "put an IP-Adapter" in note_of(())


def test_the_endpoint_takes_them(client: Client, engine: FakeEngine, photo: Path):
    references = [{"picture": handle_file(photo), "weight": 0.4}]
    client.predict(prompt="a boat", steps=2, references=references, api_name="/text_to_image")
    (reference,) = engine.submitted[-1].request.references
    assert (reference.picture.size, reference.weight, reference.adapter) == ((64, 64), 0.4, "manner")


def test_the_command_line_takes_them(tmp_path: Path, photo: Path):
    engine = FakeEngine(tmp_path / "pictures")
    line = ["text-to-image", "--prompt", "a", "--steps", "2", "--reference", f"picture={photo},weight=0.4,adapter=plus"]
    assert run_request(engine, parse_arguments(line)) == 0
    (reference,) = engine.submitted[-1].request.references
    assert (reference.weight, reference.adapter) == (0.4, "plus")
