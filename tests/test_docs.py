"""The documents say what the program does: names and links in them are checked against it."""

import re
from pathlib import Path

import pytest

from pipelines.engine.jobs import ModelInfo
from presets.gallery_search import FIELDS
from presets.preprocessors import PREPROCESSORS
from presets.requests import KINDS
from presets.samplers import SAMPLERS, SCHEDULES
from presets.settings import Settings

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_of_a_page_leads_to_a_file(page):
    links = re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8"))
    missing = [link for link in links if "://" not in link and not (page.parent / link).exists()]
    assert missing == []


def test_use_names_every_setting_sampler_and_schedule():
    text = (ROOT / "docs" / "use.md").read_text(encoding="utf-8")
    assert [name for name in Settings.model_fields if f"`{name}`" not in text] == []
    assert [name for name in (*SAMPLERS, *SCHEDULES) if name not in text] == []


def test_use_names_every_field_of_a_search():
    text = (ROOT / "docs" / "use.md").read_text(encoding="utf-8")
    assert [name for name in (*FIELDS, "deleted") if f"`{name}:" not in text] == []


def test_use_names_every_preprocessor_and_what_it_needs():
    text = (ROOT / "docs" / "use.md").read_text(encoding="utf-8")
    files = {
        name
        for row in PREPROCESSORS.values()
        if row.weights and not row.weights.architecture
        for name in row.weights.names
    }
    sources = {row.weights.repository for row in PREPROCESSORS.values() if row.weights}
    assert [name for name in (*PREPROCESSORS, *sorted(files)) if f"`{name}`" not in text] == []
    assert [source for source in sorted(sources) if source not in text] == []


@pytest.mark.parametrize("kind", KINDS)
def test_api_names_every_endpoint_and_its_parameters_and_errors(kind):
    text = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    assert f"`/{kind.replace('-', '_')}`" in text
    assert [name for name in KINDS[kind].model_fields if name != "kind" and f"`{name}`" not in text] == []
    extras = [field.json_schema_extra for field in KINDS[kind].model_fields.values()]
    codes = {extra["code"] for extra in extras if isinstance(extra, dict)}
    assert [code for code in sorted(codes) if f"`{code}`" not in text] == []


def test_api_names_every_key_of_a_model():
    text = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    assert [name for name in ModelInfo.model_fields if f"`{name}`" not in text] == []


def test_the_readme_names_its_two_commands_exactly():
    lines = [line.strip() for line in (ROOT / "README.md").read_text(encoding="utf-8").splitlines()]
    assert "pip install -e . && python app.py" in lines
    assert "pip install -e '.[test]' && pytest" in lines
