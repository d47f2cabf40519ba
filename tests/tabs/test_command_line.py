import io
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from PIL import Image

from pipelines.engine.errors import OutOfMemory
from pipelines.engine.jobs import Job
from presets.checks import parse
from presets.drawing import LoraUse
from presets.errors import UserError
from presets.metadata import encode_png, read_request
from presets.requests import KINDS, TextToImage
from presets.settings import Settings
from tabs.command_line import Arguments, parse_arguments, read_settings, run_request, tell_of_picture
from tabs.command_options import build_parser
from tests.fake_engine import FakeEngine


@pytest.fixture
def engine(tmp_path) -> FakeEngine:
    return FakeEngine(tmp_path / "pictures")


def run(engine: FakeEngine, *more: str) -> int:
    return run_request(engine, parse_arguments(["text-to-image", "--prompt", "a house", "--steps", "2", *more]))


def request_of(*more: str) -> TextToImage:
    return parse(TextToImage, parse_arguments(["text-to-image", "--prompt", "a house", *more]).values)


def test_a_request_is_written_with_options_named_as_its_fields():
    line = "--negative-prompt blurry --steps 9 --width 128 --guidance-scale 2.5 --clip-skip 2 --schedule karras"
    assert request_of(*line.split(), "--sampler", "DPM++ 2M") == TextToImage(
        prompt="a house",
        negative_prompt="blurry",
        steps=9,
        width=128,
        guidance_scale=2.5,
        clip_skip=2,
        sampler="DPM++ 2M",
        schedule="karras",
    )


def test_what_is_not_given_is_left_to_the_request():
    assert parse_arguments(["text-to-image"]).values == {}
    assert request_of() == TextToImage(prompt="a house")


@pytest.mark.parametrize("prompt", ["20", "-1", "- a list", "nan", "", "a=b", "%s", "@file", "дом\nу моря"])
def test_a_prompt_stays_the_text_that_was_typed(prompt):
    assert parse_arguments(["text-to-image", f"--prompt={prompt}"]).values["prompt"] == prompt


def test_loras_are_given_one_by_one_with_or_without_strength():
    loras = request_of("--lora", "ink:0.5", "--lora", "wool", "--lora", "a:b:-1", "--lora", "oil:1:.5").loras
    oil = LoraUse(name="oil", text_encoder_strength=0.5)
    assert loras == (LoraUse(name="ink", strength=0.5), LoraUse(name="wool"), LoraUse(name="a:b", strength=-1), oil)


def test_every_kind_has_a_command_and_every_field_an_option(capsys):
    for name, kind in KINDS.items():
        with pytest.raises(SystemExit):
            parse_arguments([name, "--help"])
        shown = capsys.readouterr().out
        for field in kind.model_fields.keys() - {"kind"}:
            assert f"--{field.replace('_', '-').removesuffix('s')}" in shown


@pytest.mark.parametrize("argv", [["--help"], ["text-to-image", "--help"]])
def test_help_says_bounds_and_defaults_of_the_fields(argv, capsys):
    with pytest.raises(SystemExit) as ended:
        parse_arguments(argv)
    assert ended.value.code == 0
    expected = "127.0.0.1" if argv == ["--help"] else "1 to 150. Default: 20."
    assert expected in " ".join(capsys.readouterr().out.split())


def test_help_loads_neither_torch_nor_gradio():
    script = (
        "import sys; from tabs.command_line import build_parser; build_parser().format_help();"
        "sys.exit(bool({'torch', 'gradio', 'PIL', 'numpy', 'pipelines.engine.jobs'} & sys.modules.keys()))"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def test_every_setting_is_an_option_of_the_app():
    shown = build_parser().format_help()
    assert all(f"--{name.replace('_', '-')}" in shown for name in Settings.model_fields)


def test_settings_stand_before_and_after_the_command():
    arguments = parse_arguments(
        ["--home=a", "--threads=2", "--models-dir=m1", "text-to-image", "--threads=3", "--models-dir=m2", "--offline"]
    )
    assert arguments.settings == {"home": "a", "threads": 3, "models_dir": ["m1", "m2"], "offline": True}


def test_without_a_command_the_page_is_wanted():
    arguments = parse_arguments(["--host", "0.0.0.0", "--port", "8000", "--no-share"])
    assert arguments == Arguments(settings={"host": "0.0.0.0", "port": 8000, "share": False})
    assert parse_arguments(["--debug"]).debug


@pytest.mark.parametrize(
    ("line", "name"),
    [("--port 70000", "port"), ("--port x", "port"), ("--device tpu", "device"), ("--threads 0", "threads")],
)
def test_a_setting_that_is_not_allowed_is_told_by_its_name(tmp_path, line, name):
    with pytest.raises(UserError, match=f"The setting {name} cannot be .* \\[E-SETTINGS\\]"):
        read_settings(parse_arguments(["--home", str(tmp_path), *line.split()]))


def test_a_broken_settings_file_is_told_in_a_sentence(tmp_path):
    (tmp_path / "settings.json").write_text("{")
    with pytest.raises(UserError, match="E-SETTINGS"):
        read_settings(Arguments(settings={"home": str(tmp_path)}))


@pytest.mark.parametrize("line", ["--bogus", "make-coffee", "text-to-image --bogus 1", "text-to-image --prompt"])
def test_a_line_that_cannot_be_read_is_refused_in_one_line(line, capsys):
    with pytest.raises(SystemExit) as ended:
        parse_arguments(line.split())
    shown = capsys.readouterr().err
    assert ended.value.code == 2
    assert shown.startswith("easel: ") and shown.count("\n") == 1


@pytest.mark.parametrize(
    ("option", "code"),
    [
        ("--steps=0", "E-STEPS"),
        ("--steps=2.5", "E-STEPS"),
        ("--steps=" + "9" * 5000, "E-STEPS"),
        ("--guidance-scale=nan", "E-CFG"),
        ("--guidance-scale=abc", "E-CFG"),
        ("--guidance-scale=1e999", "E-CFG"),
        ("--height=65", "E-SIZE"),
        ("--height=", "E-SIZE"),
        ("--seed=1.5", "E-SEED"),
        ("--count=0", "E-BATCH"),
        ("--sampler=Eulr", "E-SCHEDULER"),
        ("--lora=ink:nan", "E-WEIGHT"),
        ("--prompt=" + "x" * 20_001, "E-PROMPT-LONG"),
        ("--prompt=\udcff", "E-TEXT-ENCODING"),
    ],
    ids=lambda option: option[:30].encode("utf-8", "backslashreplace").decode(),
)
def test_bad_values_are_refused_in_one_line_before_anything_runs(engine, option, code, capsys):
    assert run(engine, option) == 2
    shown = capsys.readouterr().err
    assert shown.startswith("easel: ") and shown.endswith(f"[{code}]\n") and shown.count("\n") == 1
    assert engine.submitted == []


def test_a_missing_prompt_is_named(engine, capsys):
    assert run_request(engine, parse_arguments(["text-to-image"])) == 2
    assert "'prompt' is required. [E-API-ARGS]" in capsys.readouterr().err


def test_one_picture_is_copied_to_the_file_named(engine, tmp_path, capsys):
    target = tmp_path / "house.png"
    assert run(engine, "--output", str(target)) == 0
    (saved,) = engine.submitted[0].saved
    assert target.read_bytes() == saved.path.read_bytes()
    assert capsys.readouterr().out == f"{target}\n"


@pytest.mark.parametrize(("ending", "format"), [("webp", "WEBP"), ("jpg", "JPEG"), ("JPEG", "JPEG")])
def test_a_picture_is_written_in_the_format_that_its_name_asks_for(real_engine, tmp_path, ending, format):
    target = tmp_path / f"house.{ending}"
    assert run(real_engine, "--steps", "1", "--seed", "5", "--output", str(target)) == 0
    with Image.open(target) as image:
        assert image.format == format
    recovered = read_request(target)
    assert recovered and recovered.request.seed == 5


def test_what_a_picture_tells_is_printed_as_json(engine, tmp_path, capsys):
    path = tmp_path / "house.png"
    path.write_bytes(encode_png(Image.new("RGB", (8, 8)), TextToImage(prompt="a <house>", checkpoint="gone"), {}))
    assert tell_of_picture(engine, parse_arguments(["picture-info", str(path)])) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["program"], told["request"]["prompt"], told["missing"][0]["name"]) == ("Easel", "a <house>", "gone")


@pytest.mark.parametrize("name", ["missing.png", "page.png", ""])
def test_a_file_that_is_no_picture_is_refused_in_one_sentence(engine, tmp_path, name, capsys):
    (tmp_path / "page.png").write_text("<html>")
    assert tell_of_picture(engine, parse_arguments(["picture-info", str(tmp_path / name)])) == 2
    assert "[E-IMAGE-FORMAT]" in capsys.readouterr().err


def test_several_pictures_are_numbered(engine, tmp_path):
    assert run(engine, "--count", "3", "--output", str(tmp_path / "house.png")) == 0
    assert sorted(path.name for path in tmp_path.glob("*.png")) == ["house-1.png", "house-2.png", "house-3.png"]


def test_pictures_go_into_a_folder_under_names_of_their_own(engine, tmp_path):
    folder = tmp_path / "out"
    folder.mkdir()
    assert run(engine, "--count", "2", "--output", str(folder)) == 0
    assert len(list(folder.iterdir())) == 2


def test_without_an_output_the_path_in_the_gallery_is_printed(engine, capsys):
    assert run(engine) == 0
    assert Path(capsys.readouterr().out.strip()).parent == engine.folder


def test_an_older_file_is_replaced(engine, tmp_path):
    target = tmp_path / "house.png"
    target.write_bytes(b"old")
    assert run(engine, "--output", str(target)) == 0
    assert target.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    "place", ["missing/house.png", "missing/", "house.gif", "house", "taken.png/x.png", "x" * 300 + ".png"]
)
def test_an_output_that_cannot_be_is_refused_before_anything_runs(engine, tmp_path, place, capsys):
    (tmp_path / "taken.png").write_text("a file")
    assert run(engine, "--output", f"{tmp_path}/{place}") == 2
    assert "[E-OUTPUT]" in capsys.readouterr().err
    assert engine.submitted == []


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root writes everywhere")
def test_a_folder_that_cannot_be_written_is_refused_before_anything_runs(engine, tmp_path, capsys):
    folder = tmp_path / "locked"
    folder.mkdir(mode=0o500)
    assert run(engine, "--output", str(folder / "house.png")) == 2
    assert "E-OUTPUT" in capsys.readouterr().err


def test_a_copy_that_fails_says_where_the_picture_is_and_ends_the_job(tmp_path, capsys):
    folder = tmp_path / "out"
    folder.mkdir()

    class Engine(FakeEngine):
        def submit(self, request: TextToImage) -> Job:
            folder.rmdir()
            return super().submit(request)

    engine = Engine(tmp_path / "pictures", step_seconds=0.01)
    assert run(engine, "--count", "8", "--output", str(folder / "house.png")) == 1
    assert "is in the gallery as" in capsys.readouterr().err
    assert len(engine.submitted[0].result()) < 8


def test_json_tells_what_was_run_and_how_long_it_took(engine, capsys):
    assert run(engine, "--count", "2", "--seed", "5", "--json") == 0
    content = json.loads(capsys.readouterr().out)
    assert content["request"]["seed"] == 5 and content["request"]["width"] == 128
    assert [picture["request"]["seed"] for picture in content["pictures"]] == [5, 6]
    assert content["timings"] == {"total": 0.5}


def test_a_failed_job_ends_with_its_sentence(tmp_path, capsys):
    engine = FakeEngine(tmp_path, failure=OutOfMemory("Too large."))
    assert run(engine) == 1
    assert capsys.readouterr().err.endswith("easel: Too large. [E-MEMORY]\n")


def test_a_refused_job_ends_with_its_sentence(tmp_path, capsys):
    engine = FakeEngine(tmp_path, refusal=UserError("No.", code="E-NO"))
    assert run(engine) == 2
    assert capsys.readouterr().err == "easel: No. [E-NO]\n"


def test_elsewhere_than_on_a_terminal_progress_is_a_few_plain_lines(engine, capsys):
    run(engine, "--steps", "50", "--prompt", "a house\x00")
    assert capsys.readouterr().err.splitlines() == [
        "waiting, place 1",
        "warning: Control characters were removed from the prompt.",
        "loading Storybook",
        "picture 1 of 1, 50 steps",
    ]


def test_quiet_shows_nothing_but_the_path(engine, capsys):
    run(engine, "--quiet")
    shown = capsys.readouterr()
    assert shown.err == "" and shown.out.count("\n") == 1


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_on_a_terminal_one_line_shows_the_steps_and_is_emptied(engine, monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    run(engine)
    shown = terminal.getvalue()
    assert "[############............] 1/2" in shown and "2/2" in shown
    assert "\n" not in shown and shown.endswith("\r\x1b[K")


def test_names_from_files_cannot_steer_the_terminal(engine, capsys):
    run(engine, "--checkpoint", "\x1b[2Jevil\u202e")
    assert "\x1b" not in capsys.readouterr().err


@pytest.fixture
def interruptible():
    """Ctrl+C is heard even where the tests were started in the background, which ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.skipif(sys.platform == "win32", reason="a signal of POSIX")
def test_ctrl_c_cancels_the_job_and_keeps_what_was_saved(tmp_path, capsys, interruptible):  # noqa: ARG001
    gate = threading.Event()
    gate.set()
    engine = FakeEngine(tmp_path / "pictures", gate=gate, step_seconds=0.01)

    def interrupt_after_the_first_picture() -> None:
        while not (engine.submitted and engine.submitted[0].saved):
            pass
        gate.clear()
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt_after_the_first_picture, daemon=True).start()
    assert run(engine, "--count", "8", "--steps", "20", "--output", str(tmp_path / "house.png")) == 130
    assert engine.submitted[0].done
    assert (tmp_path / "house-1.png").exists()
    assert str(tmp_path / "house-1.png") in capsys.readouterr().out
