import io
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some
from PIL import Image

from presets.available import Available, localised
from presets.checks import parse
from presets.drawing import Drawing, LoraUse
from presets.library import BUILTIN, Library, PresetNotFound, thumbnail_of
from presets.partial import accepted
from presets.requests import KINDS, TextToImage
from presets.toml_files import SIZE_LIMIT, FileRefused

KIND = "text-to-image"
HOUSE = TextToImage(prompt="a house", steps=8, width=128, loras=(LoraUse(name="ink", strength=0.5),))
HEAD = 'easel = 1\nkind = "text-to-image"\ntitle = "Mine"\n[settings]\n'


@pytest.fixture
def own(tmp_path: Path) -> Path:
    (tmp_path / KIND).mkdir()
    return tmp_path


@pytest.fixture
def library(own: Path) -> Library:
    return Library(own, builtin=own / "none")


def put(own: Path, text: str | bytes, name: str = "mine.toml") -> Path:
    path = own / KIND / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


@pytest.mark.parametrize("kind", KINDS)
def test_built_in_presets_are_whole_and_there_are_twelve_at_least(kind):
    library = Library()
    presets = library.presets(kind)
    assert library.problems(kind) == []
    assert [preset.title for preset in presets if preset.warnings or not preset.thumbnail] == []
    assert all(preset.title and preset.help and not preset.is_own for preset in presets)
    of_starter = [preset for preset in presets if preset.values.get("checkpoint") == "storybook"]
    if issubclass(KINDS[kind], Drawing):
        assert len(of_starter) >= 6
        assert len(presets) - len(of_starter) >= 6
    else:
        assert len(presets) >= 12


@pytest.mark.parametrize("path", sorted(BUILTIN.rglob("*.webp")), ids=lambda path: path.stem)
def test_thumbnails_are_small_and_stand_beside_their_preset(path):
    with Image.open(path) as image:
        assert max(image.size) == 128
    assert path.stat().st_size < 8_000
    assert path.with_suffix(".toml").exists()


def test_a_saved_form_comes_back_whole(library):
    preset = library.save(KIND, "By the sea", HOUSE.model_dump(), help="Blue.")
    assert (preset.title, preset.help, preset.is_own, preset.warnings) == ("By the sea", "Blue.", True, ())
    assert parse(TextToImage, library.find(KIND, "By the sea").values) == HOUSE


def test_a_preset_is_found_by_its_name_or_title_in_any_case(library):
    library.save(KIND, "By the sea", {"steps": 8})
    assert library.find(KIND, "by-the-sea") == library.find(KIND, "BY THE SEA")


def test_an_unknown_preset_is_refused_with_the_nearest(library):
    library.save(KIND, "By the sea", {})
    with pytest.raises(PresetNotFound, match="Did you mean 'By the sea'"):
        library.find(KIND, "By the see")


@pytest.mark.parametrize("name", ["../../../etc/passwd", "/etc/passwd", "", "mine\0", "x" * 10_000, "\udcff"])
def test_a_name_is_never_a_path(library, name):
    with pytest.raises(PresetNotFound):
        library.find(KIND, name)


@pytest.mark.parametrize("title", ["../../up", "/root", "a/b\\c", "CON", "...", "море", "<b>", "x" * 80, ".hidden"])
def test_whatever_the_title_is_the_file_lies_in_its_folder_and_the_title_is_kept(library, own, title):
    assert library.save(KIND, title, {"steps": 3}).title == title
    (path,) = (own / KIND).iterdir()
    assert path.suffix == ".toml"
    assert library.find(KIND, title).values == {"steps": 3}


@pytest.mark.parametrize("title", ["", "  ", "\n\0", "x" * 81])
def test_a_title_that_is_none_is_refused(library, own, title):
    with pytest.raises(FileRefused, match="E-PRESET"):
        library.save(KIND, title, {})
    assert list((own / KIND).iterdir()) == []


def test_a_title_that_is_taken_is_refused_unless_it_is_to_be_replaced(library):
    library.save(KIND, "Mine", {"steps": 3})
    with pytest.raises(FileRefused, match="already"):
        library.save(KIND, "mine", {"steps": 4})
    library.save(KIND, "mine", {"steps": 4}, overwrite=True)
    assert [preset.values for preset in library.presets(KIND)] == [{"steps": 4}]


def test_titles_that_make_the_same_file_name_have_files_of_their_own(library):
    for title in ("a b", "a-b", "a_b", "A/B"):
        library.save(KIND, title, {})
    assert [preset.title for preset in library.presets(KIND)] == ["a b", "a-b", "a_b", "A/B"]


def test_built_in_presets_cannot_be_changed(own):
    library = Library(own)
    name = library.presets(KIND)[0].name
    for change in (lambda: library.delete(KIND, name), lambda: library.rename(KIND, name, "Other")):
        with pytest.raises(FileRefused, match="built in"):
            change()
    with pytest.raises(FileRefused, match="another name"):
        library.save(KIND, library.presets(KIND)[0].title, {}, overwrite=True)


def test_an_own_preset_with_the_file_name_of_a_built_in_one_has_a_name_of_its_own(own):
    library = Library(own)
    first = library.presets(KIND)[0].name
    put(own, HEAD, f"{first}.toml")
    assert library.find(KIND, first).is_own is False
    assert library.find(KIND, f"{first} (2)").is_own is True


def test_renaming_keeps_all_else_in_the_file_and_deleting_removes_it(library, own):
    put(own, HEAD + "steps = 3\nlater = 1\n[more]\nday = 2026-01-01\n")
    assert library.rename(KIND, "mine", "Other").values == {"steps": 3}
    text = (own / KIND / "mine.toml").read_text()
    assert "later = 1" in text and "day = 2026-01-01" in text and 'title = "Other"' in text
    library.delete(KIND, "mine")
    assert library.presets(KIND) == []


def test_an_exported_file_can_be_imported_again(library):
    library.save(KIND, "Mine", HOUSE.model_dump())
    copy = library.add_file(library.exported(KIND, "Mine"))
    assert copy.title == "Mine (2)"
    assert copy.values == library.find(KIND, "Mine").values


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_a_thumbnail_is_made_of_a_picture(mode):
    with Image.open(io.BytesIO(thumbnail_of(Image.new(mode, (900, 600))))) as image:
        assert (image.format, image.size, image.mode) == ("WEBP", (128, 85), mode)


BAD = {
    "no TOML": "easel = ",
    "no UTF-8": b"\xff\xfe",
    "other kind": 'kind = "make-coffee"',
    "settings are no table": "settings = 7",
    "version of the wrong type": 'easel = "1"',
    "version of the past": "easel = 0",
    "50 MB": b"#" * 50_000_000,
    "deep": "a = " + "[" * 100_000,
    "dots": "a." * 100_000 + "a = 1",
    "brackets": "[" + "a." * 100_000 + "a]",
    "quoted dots": "'a' . " * 40_000 + "a = 1",
    "inline dots": "a = { " + "a." * 100_000 + "a = 1 }",
    "letters": "a" * 200_000,
    "digits": "a = " + "9" * 100_000,
    "quotes": '"' * 200_000,
}


@pytest.mark.parametrize("text", BAD.values(), ids=BAD)
def test_a_bad_file_is_skipped_with_its_reason_and_costs_no_other(library, own, text):
    library.save(KIND, "Good", {"steps": 3})
    put(own, text, "bad.toml")
    start = time.process_time()
    assert [preset.title for preset in library.presets(KIND)] == ["Good"]
    (problem,) = library.problems(KIND)
    assert "bad.toml" in problem and len(problem) <= 300
    assert time.process_time() - start < 5


def test_what_is_no_file_is_skipped(library, own):
    (own / KIND / "folder.toml").mkdir()
    (own / KIND / "gone.toml").symlink_to(own / "nowhere")
    assert library.presets(KIND) == []
    assert len(library.problems(KIND)) == 2


def test_a_wrong_type_and_an_unknown_key_cost_only_themselves(library, own):
    put(own, "odd = 1\n" + HEAD + 'steps = "many"\nseed = 2026-01-01\nbrush = 3\ncount = 2\nguidance_scale = nan\n')
    (preset,) = library.presets(KIND)
    assert preset.values == {"count": 2}
    assert len(preset.warnings) == 5


def test_a_newer_preset_is_used_but_not_changed(library, own):
    put(own, HEAD.replace("easel = 1", "easel = 2") + "steps = 3\n")
    preset = library.find(KIND, "Mine")
    assert (preset.values, preset.is_newer) == ({"steps": 3}, True)
    assert "newer Easel" in preset.warnings[0]
    with pytest.raises(FileRefused, match="newer"):
        library.delete(KIND, "Mine")


def test_a_title_and_help_of_the_wrong_type_or_length_break_nothing(library, own):
    put(own, f'title = 7\nhelp = "{"x" * 10_000}"\n')
    (preset,) = library.presets(KIND)
    assert (preset.title, len(preset.help)) == ("mine", 200)


@pytest.mark.parametrize("text", ["", "kind = 7", 'kind = "make-coffee"', "x = ", 'kind = "text-to-image"\neasel = 0'])
def test_an_import_that_is_no_preset_is_refused_with_a_sentence(library, tmp_path, text):
    (tmp_path / "given.toml").write_text(text)
    with pytest.raises(FileRefused, match="given.toml"):
        library.add_file(tmp_path / "given.toml")
    assert library.presets(KIND) == []


def test_more_than_fits_into_a_preset_is_refused(library):
    with pytest.raises(FileRefused, match="at most"):
        library.save(KIND, "Long", {"prompt": "x" * SIZE_LIMIT})
    assert library.presets(KIND) == []


def test_without_a_folder_of_ones_own_nothing_is_saved():
    with pytest.raises(FileRefused):
        Library().save(KIND, "Mine", {})


texts = some.text(some.characters(exclude_categories=["Cs", "Cc"]), max_size=40)


@given(prompt=texts, checkpoint=texts, title=texts.filter(str.strip), strength=some.floats(-10, 10))
@settings(max_examples=60, deadline=None)
def test_any_request_survives_its_preset(tmp_path_factory, prompt, checkpoint, title, strength):
    values = {"prompt": prompt.replace("(", "").replace("<", ""), "checkpoint": checkpoint}
    request = TextToImage(**values, loras=(LoraUse(name="ink", strength=strength),), height=640)
    library = Library(tmp_path_factory.mktemp("own"), builtin=Path("none"))
    preset = library.save(KIND, title, request.model_dump())
    assert parse(TextToImage, preset.values) == request


@given(text=some.text(max_size=200), head=some.sampled_from(["", HEAD]))
@settings(max_examples=150, deadline=None)
def test_whatever_a_file_holds_it_is_a_preset_or_skipped(tmp_path_factory, text, head):
    own = tmp_path_factory.mktemp("own")
    (own / KIND).mkdir()
    put(own, (head + text).encode("utf-8", "replace"))
    library = Library(own, builtin=own / "none")
    assert len(library.presets(KIND)) + len(library.problems(KIND)) == 1


def test_what_a_preset_needs_and_is_missing_is_told_and_the_rest_stays():
    lcm = Library().find(KIND, "30-lcm")
    values, missing = localised(lcm.values, Available({"storybook": ""}, ("lcm-lora-sdv1-4",)))
    assert [(lora.what, lora.near) for lora in missing] == [("LoRA", ("lcm-lora-sdv1-4",))]
    assert (values["loras"], values["steps"]) == ([], 6)
    assert accepted(TextToImage, values) == (values, [])
