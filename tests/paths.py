"""Texts that would lead out of a folder if anything joined them to a path."""

from itertools import product
from pathlib import Path

TARGETS = (
    "etc/passwd",
    "proc/self/environ",
    "{outside}/secret.png",
    "{outside}/secret.safetensors",
    "{outside}/secret.txt",
)
ASCENTS = (
    "../" * 12, "../" * 3, "..\\" * 12, "....//" * 12, "..;/" * 12, "%2e%2e%2f" * 12, "..%2f" * 12, "..%252f" * 12,
    "..%c0%af" * 12, "%c0%ae%c0%ae/" * 12, "．．／" * 12, "..\u2215" * 12, "./" * 5 + "../" * 12,
    "..//" * 12, "%2E%2E/" * 12, "\u2025/" * 12,
)  # fmt: skip
ROOTS = ("/", "//", "file:///", "file://localhost/", "///", "/./", "/proc/self/root/", "/proc/self/cwd/" + "../" * 12)
AROUND = ("storybook/{}", "{}\0.png", "{}.png", "{}.safetensors", "{}/", "{}#", "{}?x=.png", " {} ", "checkpoints/{}")
ODD = (
    "..", ".", "", "~", "~/secret", "~root/x", "$HOME", "${HOME}/x", "%HOME%", "`id`", "$(id)", "|id", "C:\\Windows\\x",
    "C:secret", "\\\\host\\share\\x", "//host/share/x", "CON", "NUL", "/dev/null", "/dev/stdin", "/dev/zero", "\0",
    "/\0", "..\0", "a/../../../../../../etc/passwd", "{pictures}/../../jobs/1.sqlite", "{home}/settings.json",
    "{home}/pictures/index.sqlite", "{home}/jobs/1.sqlite", "{home}/outside-link/secret.png", "x" * 5000, "../" * 2000,
    "http://127.0.0.1:9/x", "https://127.0.0.1:9/x.png", "hf://x/y", "s3://x/y", "data:image/png;base64,AAAA", "*",
)  # fmt: skip


def traversals(home: Path, outside: Path, count: int = 200) -> list[str]:
    """The first `count`, spread over all kinds. `outside` holds files called secret that nobody may have."""
    places = {"outside": str(outside).lstrip("/"), "home": str(home), "pictures": str(home / "pictures")}
    targets = [target.format(**places) for target in TARGETS]
    plain = [before + target for before, target in product((*ASCENTS, *ROOTS), targets)]
    wrapped = [around.replace("{}", f"/{target}") for around, target in product(AROUND, targets)]
    odd = [text.format(**places) if text.startswith("{") else text for text in ODD]
    every = list(dict.fromkeys([*plain, *wrapped, *odd]))
    step = len(every) / min(count, len(every))
    return [every[int(number * step)] for number in range(min(count, len(every)))]
