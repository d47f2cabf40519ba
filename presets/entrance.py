"""How the page is entered: by whom, and over which certificate. Read before anything is started."""

import os
import ssl
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path

from presets.errors import shortened
from presets.settings import SettingRefused, Settings

HUB_VARIABLES = ("SPACE_ID", "OAUTH_CLIENT_ID", "OAUTH_CLIENT_SECRET", "OAUTH_SCOPES", "OPENID_PROVIDER_URL")
"""Of the environment of a Space that lets visitors sign in."""


def check(settings: Settings) -> None:
    """Raise `SettingRefused` for accounts and certificates that cannot be used, and doors whose package is missing."""
    if accounts_of(settings) and settings.sign_in == "hub":
        raise SettingRefused(
            "Visitors sign in with accounts of auth or with those of the Hub, not both.", field="sign_in"
        )
    key_of(settings)
    if settings.sign_in == "hub":
        _check_hub()
    if settings.mcp and find_spec("mcp") is None:
        raise SettingRefused("The package mcp is not installed: pip install 'easel[mcp]'.", field="mcp")


def _check_hub() -> None:
    """Gradio signs what it remembers of a visitor with the Space's secret: without one, anybody could."""
    missing = [name for name in HUB_VARIABLES if not os.environ.get(name)]
    if missing:
        raise SettingRefused(
            f"Signing in with the Hub needs a Space whose README says hf_oauth: true; here is no {missing[0]}.",
            field="sign_in",
        )
    if find_spec("authlib") is None or find_spec("itsdangerous") is None:
        raise SettingRefused("Packages are not installed: pip install 'gradio[oauth]'.", field="sign_in")


def accounts_of(settings: Settings) -> dict[str, str]:
    """Name -> password of who may come in; empty where everybody may. Raises `SettingRefused`."""
    accounts = _accounts((secret.get_secret_value() for secret in settings.auth), "auth")
    if settings.auth_file is not None:
        path = settings.auth_file
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "it is no text in UTF-8"
            raise SettingRefused(f"{_named(path)} cannot be read: {reason}.", field="auth_file") from None
        of_file = _accounts((line for line in lines if line.strip() and not line.startswith("#")), "auth_file")
        if not of_file:  # else the page would be open to everybody
            raise SettingRefused(f"{_named(path)} names nobody.", field="auth_file")
        accounts |= of_file
    return accounts


def _accounts(pairs: Iterable[str], field: str) -> dict[str, str]:
    """Never says what stands there: it may be a password."""
    accounts: dict[str, str] = {}
    for number, pair in enumerate(pairs, start=1):
        name, _, password = pair.partition(":")
        name = name.strip()
        if not name or not password:
            raise SettingRefused(
                f"Entry {number} of {field} must be name:password, neither of them empty.", field=field
            )
        if name in accounts:
            raise SettingRefused(f"{shortened(name)} stands twice in {field}.", field=field)
        accounts[name] = password
    return accounts


def key_of(settings: Settings) -> Path | None:
    """The file of the certificate's private key, which goes with it; None where the page is served without.

    Raises `SettingRefused`.
    """
    certificate = settings.ssl_certfile
    if certificate is None:
        if settings.ssl_keyfile is not None:
            raise SettingRefused("A key is of no use without its certificate, ssl_certfile.", field="ssl_keyfile")
        return None
    key, password = settings.ssl_keyfile or certificate, settings.ssl_keyfile_password
    for path, field in ((certificate, "ssl_certfile"), (key, "ssl_keyfile")):
        if not path.is_file():
            raise SettingRefused(f"{_named(path)} is no file.", field=field)
    try:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key, lambda: password.get_secret_value() if password else "")
    except (OSError, ValueError) as error:  # also `ssl.SSLError`
        reason = getattr(error, "reason", "") or str(error)
        raise SettingRefused(
            f"{_named(certificate)} cannot be used with its key and the key's password: {reason}.", field="ssl_certfile"
        ) from None
    return key


def _named(path: Path) -> str:
    return shortened(str(path), 150)
