import base64
from pathlib import Path

import pytest
from PIL import Image, PngImagePlugin
from playwright.sync_api import Page, expect

PROMPT = "#text-to-image-prompt textarea"
A1111 = """a <b>castle</b> on a hill <lora:gone:0.8>
Negative prompt: fog
Steps: 30, Sampler: Euler a, CFG scale: 7, Seed: 123, Size: 512x768, Model: storyboek, Face restoration: CodeFormer"""


@pytest.fixture
def castle(tmp_path: Path) -> Path:
    texts = PngImagePlugin.PngInfo()
    texts.add_text("parameters", A1111)
    path = tmp_path / "castle.png"
    Image.new("RGB", (64, 96), "grey").save(path, pnginfo=texts)
    return path


def test_one_click_on_a_preset_fills_the_form(page: Page):
    page.fill("#text-to-image-negative-prompt textarea", "fog")
    page.click("#text-to-image-presets [data-preset='02-castle']")
    expect(page.locator(PROMPT)).to_have_value("a white castle in the snow at night with stars")
    expect(page.locator("#text-to-image-seed input")).to_have_value("7")
    expect(page.locator("#text-to-image-negative-prompt textarea")).to_have_value("")
    expect(page.locator("#text-to-image-preset-note")).to_contain_text("Castle at night")


def test_a_form_is_saved_as_a_preset_and_fills_another(page: Page):
    page.fill(PROMPT, "a cat that was kept")
    page.click("#text-to-image-own-presets button")
    page.fill("#text-to-image-preset-title textarea, #text-to-image-preset-title input", "Kept <b>")
    page.click("#text-to-image-preset-save")
    expect(page.locator("#text-to-image-preset-note")).to_contain_text("Saved as Kept <b>.")
    page.fill(PROMPT, "")
    page.get_by_role("button", name="Kept <b>").click()
    expect(page.locator(PROMPT)).to_have_value("a cat that was kept")
    page.click("#text-to-image-preset-delete")
    expect(page.locator("#text-to-image-preset-note")).to_contain_text("Deleted")


def test_what_another_program_wrote_is_shown_and_sent_to_a_form(page: Page, castle: Path):
    page.get_by_role("tab", name="Picture info").click()
    page.set_input_files("#info-file input[type=file]", str(castle))
    about = page.locator("#info-about")
    expect(about).to_contain_text("made with AUTOMATIC1111")
    expect(about).to_contain_text("The nearest is 'storybook'")
    expect(about).to_contain_text("a <b>castle</b> on a hill")
    expect(about).to_contain_text("Face restoration")
    expect(page.locator("#info-picture img")).to_be_visible()
    assert page.evaluate("document.querySelector('#info-picture img').naturalWidth") == 64
    page.click("#send-to-text-to-image")
    expect(page.locator(PROMPT)).to_have_value("a <b>castle</b> on a hill")
    expect(page.locator("#text-to-image-steps input[type=number]")).to_have_value("30")


DROP = """([selector, name, content]) => {
    const bytes = Uint8Array.from(atob(content), (letter) => letter.charCodeAt(0));
    const dataTransfer = new DataTransfer();
    dataTransfer.items.add(new File([bytes], name, { type: "image/png" }));
    for (const type of ["dragover", "drop"]) {
        const event = new DragEvent(type, { bubbles: true, cancelable: true, dataTransfer });
        document.querySelector(selector).dispatchEvent(event);
        if (!event.defaultPrevented) throw new Error(`the browser would open it: ${type}`);
    }
}"""


def drop(page: Page, path: Path, selector: str):
    page.evaluate(DROP, [selector, path.name, base64.b64encode(path.read_bytes()).decode()])


def test_a_picture_dropped_on_a_form_fills_it(page: Page, castle: Path):
    drop(page, castle, PROMPT)
    expect(page.locator(PROMPT)).to_have_value("a <b>castle</b> on a hill")
    expect(page.locator("#text-to-image-steps input[type=number]")).to_have_value("30")
    note = page.locator("#text-to-image-preset-note")
    expect(note).to_contain_text("Filled in from castle.png, made with AUTOMATIC1111.")
    expect(note).to_contain_text("The nearest is 'storybook'")
    page.get_by_role("tab", name="Image to image").click()
    drop(page, castle, "#image-to-image-prompt textarea")
    expect(page.locator("#image-to-image-prompt textarea")).to_have_value("a <b>castle</b> on a hill")
    expect(page.locator("#image-to-image-image img")).to_be_visible()


def test_a_picture_without_settings_dropped_on_a_form_leaves_it_and_says_so(page: Page, tmp_path: Path):
    page.fill(PROMPT, "a cat")
    for name, said in (("plain.png", "plain.png tells no settings"), ("torn.png", "picture")):
        Image.new("RGB", (64, 64), "grey").save(tmp_path / name)
        if name == "torn.png":
            (tmp_path / name).write_text("<html>")
        drop(page, tmp_path / name, "#text-to-image-negative-prompt textarea")
        expect(page.locator("#text-to-image-preset-note")).to_contain_text(said)
    expect(page.locator(PROMPT)).to_have_value("a cat")


def test_a_file_that_is_no_picture_is_refused_with_a_sentence(page: Page, tmp_path: Path):
    (tmp_path / "page.png").write_text("<html>")
    page.get_by_role("tab", name="Picture info").click()
    page.set_input_files("#info-file input[type=file]", str(tmp_path / "page.png"))
    expect(page.locator("#info-about")).to_contain_text("not a whole PNG, JPEG or WebP picture")


def test_a_preset_is_shared_by_a_link_that_fills_its_form(page: Page):
    page.get_by_role("tab", name="Image to image").click()
    page.click("#image-to-image-own-presets button")
    page.click("#image-to-image-preset-chosen input")
    page.get_by_role("option", name="Oil painting").click()
    link = page.locator("#image-to-image-preset-link a[href^='?preset=']")
    expect(link).to_be_visible()
    page.goto(page.url.partition("?")[0] + str(link.get_attribute("href")))
    expect(page.locator("#image-to-image-preset-note")).to_contain_text("Oil painting")
    expect(page.locator("#image-to-image-prompt textarea")).not_to_have_value("")
