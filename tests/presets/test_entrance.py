"""Who may come in and over which certificate is known, or refused with a sentence, before anything is started."""

import pytest
from pydantic import SecretStr

from presets.entrance import HUB_VARIABLES, accounts_of, check, key_of
from presets.settings import SettingRefused, Settings, load_settings
from tests.certificates import certificate


def settings(*pairs: str, **others) -> Settings:
    return Settings(auth=tuple(map(SecretStr, pairs)), **others)


def test_accounts_come_from_the_setting_and_the_file(tmp_path):
    file = tmp_path / "accounts"
    file.write_text("# who may draw\n\nann:one:with colon\n bob : two\n", encoding="utf-8")
    found = accounts_of(settings("eve:three", auth_file=file))
    assert found == {"eve": "three", "ann": "one:with colon", "bob": " two"}
    assert accounts_of(Settings()) == {}


@pytest.mark.parametrize("pair", ["ann", "ann:", ":secret", " :secret"])
def test_an_account_without_name_or_password_is_refused_without_showing_it(pair):
    with pytest.raises(SettingRefused, match="Entry 2 of auth must be name:password") as refused:
        check(settings("bob:x", pair))
    assert "secret" not in str(refused.value)


def test_a_file_that_lets_nobody_or_everybody_in_is_refused(tmp_path):
    (tmp_path / "empty").write_text("# nobody yet\n")
    for name, sentence in (("empty", "names nobody"), ("missing", "cannot be read")):
        with pytest.raises(SettingRefused, match=sentence):
            check(Settings(auth_file=tmp_path / name))
    (tmp_path / "bytes").write_bytes(b"ann:\xff\xfe")
    with pytest.raises(SettingRefused, match="no text in UTF-8") as refused:
        check(Settings(auth_file=tmp_path / "bytes"))
    assert "xff" not in str(refused.value)
    with pytest.raises(SettingRefused, match="'ann' stands twice"):
        check(settings("ann:1", "ann:2"))


def test_several_accounts_stand_in_the_environment_line_by_line_and_are_shown_nowhere(monkeypatch, tmp_path):
    monkeypatch.setenv("EASEL_AUTH", "ann:pass,word\nbob:2")
    found = load_settings({"home": str(tmp_path)})
    assert accounts_of(found) == {"ann": "pass,word", "bob": "2"}
    assert "pass,word" not in repr(found) + str(found) + found.model_dump_json()


def test_signing_in_with_the_hub_needs_a_spaces_secret_and_no_other_accounts(monkeypatch):
    for name in HUB_VARIABLES:
        monkeypatch.setenv(name, "x")
    check(Settings(sign_in="hub"))
    with pytest.raises(SettingRefused, match="not both"):
        check(settings("ann:1", sign_in="hub"))
    monkeypatch.delenv("OAUTH_CLIENT_SECRET")
    with pytest.raises(SettingRefused, match="hf_oauth: true; here is no OAUTH_CLIENT_SECRET"):
        check(Settings(sign_in="hub"))


def test_a_certificate_is_taken_with_its_key_and_password_or_refused_by_name(tmp_path):
    file, key = certificate(tmp_path, password="open sesame")
    given = {"ssl_certfile": file, "ssl_keyfile": key}
    assert key_of(Settings(**given, ssl_keyfile_password=SecretStr("open sesame"))) == key
    for wrong in ({}, {"ssl_keyfile_password": SecretStr("wrong")}):
        with pytest.raises(SettingRefused, match="cannot be used with its key"):
            check(Settings(**given, **wrong))


def test_a_certificate_that_is_none_or_alone_is_refused(tmp_path):
    file, key = certificate(tmp_path)
    with pytest.raises(SettingRefused, match="without its certificate"):
        check(Settings(ssl_keyfile=key))
    with pytest.raises(SettingRefused, match="nowhere.pem' is no file"):
        check(Settings(ssl_certfile=file, ssl_keyfile=tmp_path / "nowhere.pem"))
    with pytest.raises(SettingRefused, match="cannot be used with its key"):
        check(Settings(ssl_certfile=file))
    (tmp_path / "both.pem").write_bytes(file.read_bytes() + key.read_bytes())
    assert key_of(Settings(ssl_certfile=tmp_path / "both.pem")) == tmp_path / "both.pem"
