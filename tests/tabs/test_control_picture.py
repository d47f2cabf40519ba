"""The tab and the endpoint of control pictures over an engine that draws flat colours."""

from pathlib import Path

import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError, ValidationError

from presets.preprocessors import PREPROCESSORS
from tests.bad_pictures import REFUSED
from tests.fake_engine import FakeEngine
from tests.scenes import house

ENDPOINT = "/control_picture"


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    house().save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


def test_a_picture_is_all_that_is_needed(client: Client, photo: Path):
    _, record = client.predict(image=handle_file(photo), api_name=ENDPOINT)
    (picture,) = record["pictures"]
    assert (record["state"], record["count"], picture["request"]["preprocessor"]) == ("finished", 1, "canny")


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"preprocessor": "cany"}, "Did you mean 'canny'.* \\[E-PREPROCESSOR\\]"),
        ({"low_threshold": 200}, "the low one must be the smaller.*\\[E-PREPROCESSOR\\]"),
        ({"blur_radius": 65.0}, "Blur radius cannot be 65.*\\[E-PREPROCESSOR\\]"),
        ({"shuffle_seed": -1}, "\\[E-SEED\\]"),
        ({"resolution": 32}, "Resolution cannot be 32.*\\[E-SIZE\\]"),
    ],
)
def test_a_value_that_cannot_be_is_refused_at_once(client: Client, engine: FakeEngine, photo: Path, values, sentence):
    before = len(engine.submitted)
    with pytest.raises(ValidationError, match=sentence):
        client.predict(image=handle_file(photo), **values, api_name=ENDPOINT)
    assert len(engine.submitted) == before


@pytest.mark.parametrize("name", REFUSED)
def test_a_file_that_is_no_picture_or_too_large_is_refused(client: Client, tmp_path: Path, name: str):
    content, code, words = REFUSED[name]
    (tmp_path / "picture.png").write_bytes(content)
    with pytest.raises(ValidationError, match=rf"{words}.*\[{code}\]"):
        client.predict(image=handle_file(tmp_path / "picture.png"), api_name=ENDPOINT)


def test_missing_weights_are_told_by_the_call(client: Client, photo: Path):
    with pytest.raises(AppError, match="E-PREPROCESSOR-MISSING"):
        client.predict(image=handle_file(photo), preprocessor="mlsd", api_name=ENDPOINT)


def test_the_preprocessors_are_listed_with_what_they_need(client: Client):
    rows = client.predict(api_name="/preprocessors")
    assert [row["name"] for row in rows] == list(PREPROCESSORS)
    assert next(row for row in rows if row["name"] == "depth")["needs"] == ["Depth-Anything-V2-Small-hf"]
