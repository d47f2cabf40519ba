import threading
from pathlib import Path

import gradio as gr
import pytest

from pipelines.engine.jobs import EngineStatus, Loading, MemoryReport, ModelInfo, Resident, Tier
from presets.requests import KINDS
from tabs.badges import badge, label, size_in_words
from tabs.model_tables import checkpoints, details, memory, problems
from tabs.models import Parts, state_line, state_of
from tabs.page import build_page
from tests.fake_engine import FakeEngine


def info(name: str, **changes: object) -> ModelInfo:
    return ModelInfo(
        name=name, family="Stable Diffusion 1.x", native_size=(128, 128), size_bytes=27_000_000
    ).model_copy(update=changes)


@pytest.fixture
def engine(tmp_path: Path) -> FakeEngine:
    return FakeEngine(tmp_path, checkpoints=[info("storybook"), info("night")])


@pytest.fixture
def parts() -> Parts:
    with gr.Blocks():
        return Parts(manage=True)


def test_a_badge_says_where_what_how_large_and_how_quick():
    assert badge(info("storybook")) == "disk · SD 1.x · 27 MB"
    loaded = info("storybook", residence="ram", switch_seconds=0.04)
    assert badge(loaded) == "RAM · SD 1.x · 27 MB · switch 0.0 s"
    assert label(loaded)[0].startswith("storybook")
    assert label(loaded)[1] == "storybook"


@pytest.mark.parametrize(
    ("size", "words"),
    [(0, "0 bytes"), (999, "999 bytes"), (99_999, "100 KB"), (2_132_000_000, "2.1 GB"), (9_999_999_999, "10 GB")],
)
def test_sizes_are_told_as_file_managers_do(size: int, words: str):
    assert size_in_words(size) == words


def test_each_models_share_of_the_budget_is_as_wide_as_it_is_large():
    residents = (
        Resident(name="a", tier="ram", bytes=25, switch_seconds=0, kept=True),
        Resident(name="b", tier="gpu", bytes=50, switch_seconds=0),
    )
    tiers = (Tier(name="gpu", used_bytes=50, budget_bytes=200), Tier(name="ram", used_bytes=25, budget_bytes=50))
    gpu, ram = memory(MemoryReport(tiers=tiers, residents=residents)).split("</section>")[:2]
    assert ("GPU memory" in gpu, "width:25.00%" in gpu) == (True, True)
    assert ("Main memory" in ram, "width:50.00%" in ram, "a · 25 bytes · kept" in ram) == (True, True, True)


def test_what_is_over_the_budget_stays_in_the_bar_with_a_mark_where_the_budget_ends():
    resident = Resident(name="a", tier="ram", bytes=400, switch_seconds=0)
    report = MemoryReport(tiers=(Tier(name="ram", used_bytes=400, budget_bytes=100),), residents=(resident,))
    assert "width:100.00%" in memory(report)
    assert '<i style="left:25.00%">' in memory(report)


def test_what_no_model_accounts_for_is_shown_beside_them():
    resident = Resident(name="a", tier="gpu", bytes=60, switch_seconds=0)
    tiers = (Tier(name="gpu", used_bytes=60, budget_bytes=100), Tier(name="ram", used_bytes=40, budget_bytes=100))
    gpu, ram = memory(MemoryReport(tiers=tiers, residents=(resident,))).split("</section>")[:2]
    assert "other weights" not in gpu
    assert ("other weights · 40 bytes" in ram, "width:40.00%" in ram) == (True, True)


def test_an_empty_memory_and_one_of_no_worker_have_words():
    assert "No model is loaded" in memory(MemoryReport(tiers=(Tier(name="ram", used_bytes=0, budget_bytes=0),)))
    assert "once the engine is ready" in memory(MemoryReport())


def test_names_of_files_are_shown_literally():
    model = info('"><script>x</script>', duplicate_of="<b>", note="<i>")
    shown = checkpoints([model], model) + details(model) + problems(["<u>: no"])
    assert not any(tag in shown for tag in ("<script", "<b>", "<i>", "<u>"))
    assert 'data-model="&quot;&gt;&lt;script&gt;x&lt;/script&gt;"' in shown


def test_the_table_tells_hash_and_duplicates():
    twin = info("copy", sha256="ab" * 32, duplicate_of="night", kept=True)
    table = checkpoints([info("night"), twin], twin)
    assert ("<code>ababababab</code>" in table, "same content as <bdi>night</bdi>" in table) == (True, True)
    assert table.count('aria-selected="true"') == 1
    assert "ab" * 32 in details(twin)


def test_a_folder_full_of_unusable_files_is_told_in_bounds():
    assert problems([]) == ""
    assert "and 150 more" in problems([f"file {number}" for number in range(200)])


def test_the_first_model_is_chosen_until_a_person_chooses(engine: FakeEngine, parts: Parts):
    assert parts.shown(engine, "")[parts.selected] == "storybook"
    assert parts.shown(engine, "night")[parts.selected] == "night"
    assert parts.shown(engine, "vanished")[parts.selected] == "storybook"


def test_the_buttons_offer_what_can_be_done(engine: FakeEngine, parts: Parts):
    engine.load("night")
    engine.keep("night", True)
    for name, loaded in (("storybook", False), ("night", True)):
        updates = parts.shown(engine, name)
        assert updates[parts.buttons["load"]]["interactive"] is not loaded
        assert updates[parts.buttons["unload"]]["interactive"] is loaded
        assert updates[parts.buttons["keep"]]["value"] == ("Stop keeping" if loaded else "Keep in memory")


def test_a_load_can_be_stopped_while_it_goes_on(engine: FakeEngine, parts: Parts):
    engine.load_gate = threading.Event()
    engine.load("night")
    assert parts.shown(engine, "night")[parts.buttons["stop"]]["visible"]
    assert "Loading night: unet" in state_line(engine.status())
    engine.stop_loading()
    assert not parts.shown(engine, "night")[parts.buttons["stop"]]["visible"]


def test_what_is_shown_changes_with_the_engine_and_only_then(engine: FakeEngine):
    before = state_of(engine)
    assert state_of(engine) == before
    engine.load("night")
    assert state_of(engine) != before


def test_the_line_of_state_tells_the_most_urgent():
    loading = Loading(what="night", fraction=0.5)
    assert "width:50.0%" in state_line(EngineStatus(state="ready", loading=loading, notice="no", hashing="x"))
    assert "night is torn" in state_line(EngineStatus(state="ready", notice="night is torn", hashing="x"))
    assert "Reading x for its hash" in state_line(EngineStatus(state="ready", hashing="x"))
    assert state_line(EngineStatus(state="ready")) == ""


def test_where_visitors_may_not_manage_models_they_can_still_look(engine: FakeEngine):
    pages = [build_page(engine, manage_models=allowed) for allowed in (True, False)]
    identifiers = [{getattr(block, "elem_id", None) for block in page.blocks.values()} for page in pages]
    assert "model-load" in identifiers[0] - identifiers[1]
    assert "models-table" in identifiers[0] & identifiers[1]
    assert len(pages[0].fns) == len(pages[1].fns) + 5 + 6 * len(KINDS)  # those of each kind's own presets


def test_where_the_gpu_is_lent_the_tab_says_so_and_has_no_dead_buttons(engine: FakeEngine, parts: Parts):
    engine.lent = True
    shown = parts.shown(engine, "storybook")
    assert "ZeroGPU lends a GPU to each job" in shown[parts.memory]
    assert [name for name, button in parts.buttons.items() if shown[button]["visible"]] == ["rescan"]
