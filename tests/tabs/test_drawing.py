from pathlib import Path

import pytest

from presets.requests import KINDS
from presets.samplers import SCHEDULES_OF
from tabs.drawing import schedules_for, token_line
from tabs.page import build_page
from tests.fake_engine import FakeEngine


@pytest.mark.parametrize("kind", KINDS)
def test_every_field_has_a_widget_on_the_page(tmp_path: Path, kind: str):
    page = build_page(FakeEngine(tmp_path))
    identifiers = {getattr(block, "elem_id", None) for block in page.blocks.values()}
    fields = [name for name in KINDS[kind].model_fields if name != "kind"]
    assert [name for name in fields if f"{kind}-{name.replace('_', '-')}" not in identifiers] == []


def test_no_two_parts_of_the_page_have_one_identifier(tmp_path: Path):
    blocks = build_page(FakeEngine(tmp_path)).blocks.values()
    identifiers = [block.elem_id for block in blocks if getattr(block, "elem_id", None)]
    assert sorted(identifiers) == sorted(set(identifiers))


def test_only_schedules_that_go_with_the_sampler_are_offered():
    update = schedules_for("LCM", "karras")
    assert (update["choices"], update["value"]) == (["automatic"], "automatic")
    assert schedules_for("Euler", "karras")["value"] == "karras"
    assert schedules_for("Euler", "karras")["choices"] == list(SCHEDULES_OF["Euler"])


def test_tokens_are_counted_in_whole_parts(tmp_path: Path):
    engine = FakeEngine(tmp_path)
    assert "2 of 75 tokens" in token_line(engine, "", "red house")
    assert "80 of 150 tokens, read in 2 parts" in token_line(engine, "", "word " * 80)
