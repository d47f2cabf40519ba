"""Scripts in the place of every text that the page shows, in a real browser: none runs.

    python -m tests.soak.scripts [--payloads 60]

Prints JSON. The texts are the names of checkpoints, LoRAs, VAEs, control models, upscalers, presets and styles, what
LoRAs and presets tell of themselves, prompts, what is complained of, what stands inside pictures, names of files, and
addresses of the page. Goals: `ran` (calls by a text, told by its number, and dialogs) 0, `control` 1: what is put into
the page on purpose does run, and is noticed. `surfaces` counts what was looked at.
"""

import argparse
import json
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from PIL import Image, PngImagePlugin
from playwright.sync_api import Dialog, Page, expect, sync_playwright

from benchmarks.program import running
from tests.safetensors_files import SD1, write_safetensors
from tests.scripts import as_file_name, payloads

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
PATIENCE = 60_000
"""Milliseconds."""
LORA = {"lora_unet_x_attn2_to_k.lora_down.weight": (4, 768), "lora_unet_x_attn2_to_k.lora_up.weight": (320, 4)}
PROMPT, NEGATIVE = "#text-to-image-prompt textarea", "#text-to-image-negative-prompt textarea"
STATUS = "#text-to-image-status"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--payloads", type=int, default=60)
    texts = payloads(parser.parse_args().payloads)
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        write_names(home, texts)
        with running(home) as address:
            print(json.dumps(looked_at(address, texts, Path(folder)), indent=2))


def write_names(home: Path, texts: Sequence[str]) -> None:
    """Models, presets and styles that are called so."""
    models = home / "models"
    for number, text in enumerate(texts):
        name = as_file_name(text)
        write_safetensors(models / f"checkpoints/{name}.safetensors", SD1)
        (models / f"checkpoints/broken {name}.safetensors").write_bytes(b"<html>")
        about = {"modelspec.trigger_phrase": text, "ss_sd_model_name": text, "ss_base_model_version": text}
        write_safetensors(models / f"loras/{name}.safetensors", LORA, about)
        for folder in ("vae", "controlnets", "upscalers", "loras"):
            write_safetensors(models / f"{folder}/odd {name}.safetensors", {"x": (1,)})
        _write_preset(home / f"presets/text-to-image/p{number}.toml", text)
    styles = "".join(f"[[styles]]\nname = {_quoted(text)}\nprompt = {_quoted(text)}\n" for text in texts)
    (home / "presets/styles.toml").write_text(f"easel = 1\n{styles}", encoding="utf-8")


def _write_preset(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    head = f'easel = 1\nkind = "text-to-image"\ntitle = {_quoted(text[:60])}\nhelp = {_quoted(text)}\n'
    path.write_text(f"{head}{_quoted(text)} = 1\n[settings]\nprompt = {_quoted(text)}\n", encoding="utf-8")


def _quoted(text: str) -> str:
    """As TOML."""
    return json.dumps(text)


def looked_at(address: str, texts: Sequence[str], folder: Path) -> dict[str, Any]:
    """What a browser did on every surface."""
    program = next(filter(None, map(shutil.which, BROWSERS)))
    expect.set_options(timeout=PATIENCE)
    with sync_playwright() as runner:
        browser = runner.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-gpu"])
        context = browser.new_context(viewport={"width": 1440, "height": 950})
        ran: list[str] = []
        context.expose_binding("xss", lambda _, number: ran.append(str(number)))
        page = context.new_page()
        page.set_default_timeout(PATIENCE)

        def note(dialog: Dialog) -> None:
            ran.append(f"dialog {dialog.message}")
            dialog.dismiss()

        page.on("dialog", note)
        surfaces = Surfaces(page, address, texts, folder)
        for look in surfaces.all:
            look()
            print(f"{look.__name__}: {len(ran)} ran", file=sys.stderr)
        page.wait_for_timeout(1000)
        found = list(ran)
        page.evaluate("document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=xss(0)>')")
        page.wait_for_timeout(1000)
        browser.close()
    control = len(ran) - len(found)
    return {"payloads": len(texts), "ran": len(found), "which": found, "control": control, "surfaces": surfaces.seen}


class Surfaces:
    """What the page shows, surface by surface."""

    def __init__(self, page: Page, address: str, texts: Sequence[str], folder: Path):
        self.page, self.address, self.texts, self.folder = page, address, texts, folder
        self.seen: Counter[str] = Counter()
        self.all: tuple[Callable[[], None], ...] = (
            self.opened, self.presets, self.lists, self.models, self.prompts, self.queue, self.complaints,
            self.pictures, self.own_presets, self.files, self.addresses,
        )  # fmt: skip

    def opened(self) -> None:
        self.page.goto(self.address)
        self.page.wait_for_selector("#text-to-image-generate")

    def _open(self, tab: str) -> None:
        """Also one for which there is no room in the row of tabs, and which stands in a menu."""
        shown = self.page.locator(f"button[data-tab-id='{tab}']")
        if not shown.last.is_visible():
            self.page.locator(".overflow-menu > button").first.click()
        shown.last.click()

    def presets(self) -> None:
        cards = self.page.locator("#text-to-image-presets [data-preset^='p']")
        for number in range(0, cards.count(), 4):
            cards.nth(number).click()
            self.seen["preset cards"] += 1
        self.page.wait_for_timeout(500)

    def lists(self) -> None:
        """Of names, opened by a click, and what is told of some that are chosen."""
        self.page.click("#text-to-image-advanced > button")
        for box in ("checkpoint", "vae", "loras", "styles"):
            field = self.page.locator(f"#text-to-image-{box} input").first
            field.click()
            self.page.wait_for_timeout(500)
            self.seen["names in lists"] += self.page.get_by_role("option").count()
            if box in ("loras", "styles"):
                self.page.get_by_role("option").nth(3).click()
                self.page.wait_for_timeout(500)
            field.press("Escape")
        self.page.wait_for_timeout(500)
        self.opened()

    def models(self) -> None:
        self._open("models")
        rows = self.page.locator("#models-table tr[data-model]")
        expect(rows.first).to_be_visible()
        for number in range(0, rows.count(), 8):
            rows.nth(number).click()
            self.page.wait_for_timeout(100)
        self.seen["rows of models"] += self.page.locator(".models tr").count()
        self._open("text-to-image")

    def prompts(self) -> None:
        self.page.fill("#text-to-image-steps input[type=number]", "1")
        for number, text in enumerate(self.texts):
            self.page.fill(PROMPT, f"picture {number} {text}")
            self.page.fill(NEGATIVE, text)
            self._generate()
            expect(self.page.locator("#text-to-image-details")).to_contain_text(f"picture {number} ")
            if number == 0:
                self.page.click("#text-to-image-record-panel > button")
                self.page.locator(".copy-panel:visible > button").first.click()
            self.seen["prompts with details, record and snippets"] += 1

    def queue(self) -> None:
        self._open("queue")
        expect(self.page.locator("#queue-jobs tr").first).to_be_visible()
        self.seen["rows of the queue"] += self.page.locator("#queue-jobs tr").count()
        self._open("text-to-image")

    def complaints(self) -> None:
        self.page.fill(NEGATIVE, "")
        for text in self.texts:
            name = text.replace(":", ";").replace("<", "").replace(">", "")
            self.page.fill(PROMPT, f"<lora:{name}:1> <lora:{text}:1> ({text}:99)")
            self._generate()
            self.seen["complaints"] += 1
        box = self.page.locator("#text-to-image-checkpoint input").first
        self.page.fill(PROMPT, "a boat")
        for text in self.texts[::6]:
            box.fill(text)
            box.press("Enter")
            self._generate()
            self.seen["complaints"] += 1
        self.opened()

    def _generate(self) -> None:
        """Click, and wait until the job has ended or was refused."""
        self.page.click("#text-to-image-generate")
        self.page.wait_for_timeout(150)
        expect(self.page.locator("#text-to-image-cancel")).to_be_disabled()
        expect(self.page.locator(STATUS)).not_to_be_empty()

    def pictures(self) -> None:
        self._open("picture-info")
        for number, text in enumerate(self.texts):
            path = self.folder / f"picture-{number}.png"
            about = PngImagePlugin.PngInfo()
            line = f"{text}\nNegative prompt: {text}\nSteps: 5, Sampler: {text}, Seed: 1, Model: {text}, {text}: {text}"
            about.add_itxt("parameters", line)
            about.add_itxt(as_file_name(text)[:70].encode("latin-1", "ignore").decode("latin-1") or "x", text)
            about.add_itxt("workflow", json.dumps({"nodes": [{"type": text}]}))
            Image.new("RGB", (64, 64 + number)).save(path, pnginfo=about)
            self.page.set_input_files("#info-file input[type=file]", str(path))
            expect(self.page.locator("#info-about")).to_contain_text(f"64 × {64 + number}")
            if number == 0:
                self.page.click("#info-texts > button")
            if number % 10 == 0:
                self.page.click("#send-to-text-to-image")
                self.page.wait_for_timeout(500)
                self._open("picture-info")
            self.page.locator("#info-file button[aria-label='Clear'], #info-file button[title='Clear']").first.click()
            self.page.wait_for_timeout(100)
            self.seen["pictures with texts inside"] += 1
        self.opened()

    def own_presets(self) -> None:
        self.page.click("#text-to-image-own-presets button")
        title = self.page.locator("#text-to-image-preset-title textarea, #text-to-image-preset-title input").first
        for text in self.texts[::6]:
            title.fill(f"own {text}"[:60])
            self.page.click("#text-to-image-preset-save")
            expect(self.page.locator("#text-to-image-preset-note")).to_contain_text("own")
            self.seen["saved presets"] += 1

    def files(self) -> None:
        """Names of files that are given."""
        self._open("image-to-image")
        for text in self.texts[::6]:
            path = self.folder / f"{as_file_name(text)}.png"
            Image.new("RGB", (64, 64)).save(path)
            self.page.set_input_files("#image-to-image-image input[type=file]", str(path))
            self.page.wait_for_timeout(700)
            self.seen["names of given files"] += 1
            self.opened()
            self._open("image-to-image")

    def addresses(self) -> None:
        ways = ("?preset={}", "?__theme={}", "?view={}", "#{}", "{}", "api/jobs/{}", "api/{}", "gradio_api/file={}")
        for number, text in enumerate(self.texts):
            self.page.goto(self.address + ways[number % len(ways)].format(quote(text)), wait_until="commit")
            self.page.wait_for_timeout(700)
            self.seen["addresses"] += 1
        self.opened()


if __name__ == "__main__":
    main()
