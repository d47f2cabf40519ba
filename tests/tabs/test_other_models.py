"""LoRAs and control models on the page of models."""

from pipelines.engine.jobs import ControlInfo, LoraInfo
from tabs.other_models import controls, loras

INK = LoraInfo(
    name="ink", family="Stable Diffusion 1.x", kind="LoRA", rank=8, size_bytes=2_000_000, trigger_words=("<b>", "pen")
)


def test_a_lora_is_shown_with_what_its_file_tells():
    row = loras([INK], ())
    assert all(words in row for words in ("ink", "LoRA, rank 8", "SD 1.x", "2.0 MB", "disk", "pen"))


def test_a_lora_that_need_not_be_read_again_says_so():
    assert "RAM" in loras([INK], ["ink"])
    assert "disk" not in loras([INK], ["ink"])


def test_words_of_a_file_are_shown_as_they_are():
    assert "<b>" not in loras([INK], ())


def test_what_cannot_be_used_says_why():
    assert "it is empty" in loras([LoraInfo(name="torn", problem="The LoRA 'torn' cannot be used: it is empty.")], ())


def test_control_models_have_a_table_of_their_own():
    table = controls([ControlInfo(name="outline", family="Stable Diffusion 1.x", kind="ControlNet", size_bytes=1000)])
    assert all(words in table for words in ("outline", "ControlNet", "1 KB"))


def test_without_any_there_is_no_table():
    assert loras([], ()) + controls([]) == ""
