"""Any request that is allowed stays what it is on every way that requests take."""

import io

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from presets.library import Library
from presets.metadata import ENCODERS, read_request
from presets.requests import KINDS
from tests.any_request import requests

SOME = settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
PICTURE = Image.new("RGB", (16, 16))

of_any_kind = pytest.mark.parametrize("kind", KINDS)


@of_any_kind
@SOME
@given(data=st.data())
def test_a_request_goes_over_the_wire_and_back(kind, data):
    request = data.draw(requests(kind))
    assert KINDS[kind].model_validate_json(request.model_dump_json()) == request
    assert KINDS[kind].model_validate(request.model_dump(mode="json")) == request


@of_any_kind
@SOME
@given(data=st.data(), ending=st.sampled_from([".png", ".webp", ".jpg"]))
def test_a_request_goes_into_a_picture_and_back(kind, data, ending):
    request = data.draw(requests(kind))
    found = read_request(io.BytesIO(ENCODERS[ending](PICTURE, request, {})))
    assert found and found.request == request


@of_any_kind
@SOME
@given(data=st.data())
def test_a_request_goes_into_a_preset_and_back(tmp_path_factory, kind, data):
    request = data.draw(requests(kind))
    values = request.model_dump(mode="json", exclude={"kind"})
    saved = Library(tmp_path_factory.mktemp("presets")).save(kind, "Mine", values)
    assert KINDS[kind].model_validate(saved.values) == request and not saved.warnings
