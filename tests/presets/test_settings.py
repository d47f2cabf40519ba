import json
import os
from pathlib import Path

import pytest
from pydantic import ValidationError

from presets.settings import SettingRefused, Settings, load_settings


@pytest.fixture
def home(tmp_path, monkeypatch) -> Path:
    for name in Settings.model_fields:
        monkeypatch.delenv(f"EASEL_{name.upper()}", raising=False)
    monkeypatch.setenv("EASEL_HOME", str(tmp_path))
    return tmp_path


def write(home: Path, /, **values: object) -> None:
    (home / "settings.json").write_text(json.dumps(values), encoding="utf-8")


def test_without_anything_the_defaults_hold(home):
    settings = load_settings({})
    assert (settings.home, settings.port, settings.device, settings.share) == (home, None, "auto", False)


@pytest.mark.usefixtures("home")
def test_on_a_space_visitors_manage_no_models_unless_that_is_set(monkeypatch):
    monkeypatch.delenv("SPACE_ID", raising=False)
    assert load_settings({}).manage_models
    monkeypatch.setenv("SPACE_ID", "owner/name")
    assert not load_settings({}).manage_models
    assert load_settings({"manage_models": True}).manage_models


def test_the_environment_wins_over_the_file_and_arguments_over_both(home, monkeypatch):
    write(home, port=1, threads=1, device="cpu")
    monkeypatch.setenv("EASEL_THREADS", "2")
    monkeypatch.setenv("EASEL_DEVICE", "cuda")
    settings = load_settings({"device": "auto"})
    assert (settings.port, settings.threads, settings.device) == (1, 2, "auto")


def test_an_argument_that_was_not_given_changes_nothing(home):
    write(home, port=8000)
    assert load_settings({"port": None}).port == 8000


def test_the_home_of_the_arguments_holds_the_file(home, tmp_path_factory):
    other = tmp_path_factory.mktemp("other")
    write(home, port=1)
    write(other, port=2)
    settings = load_settings({"home": str(other)})
    assert (settings.home, settings.port) == (other, 2)


def test_home_is_absolute_and_knows_the_tilde(home, monkeypatch):
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("USERPROFILE", str(home))
    assert load_settings({"home": "~/pictures"}).home == home / "pictures"


def test_a_user_who_is_not_known_has_no_home(home):
    with pytest.raises(ValueError, match="no user"):
        load_settings({"home": "~nobody-of-that-name/Easel"})
    write(home, models_dir=["~nobody-of-that-name"])
    with pytest.raises(ValidationError, match="no user"):
        load_settings({})


def test_folders_of_models_know_the_tilde_wherever_they_come_from(home, monkeypatch):
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("USERPROFILE", str(home))
    write(home, models_dir=["~"])
    assert load_settings({}).models_dir == (home,)
    monkeypatch.setenv("EASEL_MODELS_DIR", "~")
    assert load_settings({}).models_dir == load_settings({"models_dir": ["~"]}).models_dir == (home,)


def test_a_folder_of_models_that_does_not_exist_is_refused(home):
    with pytest.raises(SettingRefused, match="nowhere' does not exist") as refused:
        load_settings({"models_dir": [str(home), str(home / "nowhere")]})
    assert (refused.value.code, refused.value.field) == ("E-SETTINGS", "models_dir")


def test_folders_of_models_are_the_homes_own_and_those_given(home, monkeypatch):
    monkeypatch.chdir(home)
    for name in ("models a", "b", "c"):
        Path(name).mkdir()
    monkeypatch.setenv("EASEL_MODELS_DIR", os.pathsep.join(("models a", "b")))
    assert load_settings({}).model_roots == (home / "models", Path("models a"), Path("b"))
    assert load_settings({"models_dir": ["c"]}).model_roots == (home / "models", Path("c"))
    monkeypatch.setenv("EASEL_MODELS_DIR", "")
    assert load_settings({}).model_roots == (home / "models",)


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize(
    ("name", "value"), [("port", "70000"), ("device", "tpu"), ("threads", "0"), ("share", "7"), ("root_path", "easel/")]
)
def test_a_value_that_is_not_allowed_is_refused(monkeypatch, name, value):
    with pytest.raises(ValidationError, match=name):
        load_settings({name: value})
    monkeypatch.setenv(f"EASEL_{name.upper()}", value)
    with pytest.raises(ValidationError, match=name):
        load_settings({})


@pytest.mark.parametrize("content", ["[]", "{", "7"])
def test_a_file_that_is_no_json_object_is_refused(home, content):
    (home / "settings.json").write_text(content)
    with pytest.raises(ValueError):
        load_settings({})


@pytest.mark.parametrize(
    ("name", "sentence"),
    [("prot", "no setting 'prot'. Did you mean 'port'?"), ("x" * 999, "no setting 'xxx"), ("home", "use --home")],
)
def test_a_name_in_the_file_that_is_no_setting_is_refused(home, name, sentence):
    write(home, **{name: 1})
    with pytest.raises(SettingRefused) as refused:
        load_settings({})
    assert sentence in refused.value.message
