import re

from playwright.sync_api import Page, expect

PROMPT = "#text-to-image-prompt textarea"
STEPS = "#text-to-image-steps input[type=number]"
SEED = "#text-to-image-seed input"
FINISHED = "#text-to-image-stage .stage.finished img"
RECORD_CHANGES = """() => {
    window.seen = { lines: [], sources: [] };
    new MutationObserver(() => {
        window.seen.lines.push(document.querySelector("#text-to-image-status").innerText);
        window.seen.sources.push(document.querySelector("#text-to-image-stage img")?.src ?? "");
    }).observe(document.body, { subtree: true, childList: true, characterData: true, attributes: true });
}"""
PREVIEW = "#text-to-image-stage .stage.preview img"


def generate(page: Page, prompt: str, steps: int = 4) -> None:
    page.fill(PROMPT, prompt)
    page.fill(STEPS, str(steps))
    page.locator(STEPS).press("Tab")
    page.click("#text-to-image-generate")


def generate_to_the_end(page: Page, prompt: str) -> None:
    generate(page, prompt)
    expect(page.locator("#text-to-image-status")).to_contain_text("1 picture in")


def test_generate_shows_the_steps_and_previews_and_then_the_picture(page: Page):
    page.evaluate(RECORD_CHANGES)
    generate(page, "a red house by the sea at sunset", steps=12)
    expect(page.locator(FINISHED)).to_be_visible()
    seen = page.evaluate("window.seen")
    assert any(re.search(r"[Ss]tep \d+ of 12 · \d", line) for line in seen["lines"])
    assert any(source.startswith("data:image/jpeg") for source in seen["sources"])
    expect(page.locator("#text-to-image-session-pictures img")).to_have_count(1)
    expect(page.locator("#text-to-image-details")).to_contain_text("a red house by the sea at sunset")


def test_a_small_picture_is_shown_large(page: Page):
    generate_to_the_end(page, "a boat")
    box = page.locator(FINISHED).bounding_box()
    assert box is not None
    assert box["width"] >= 384


def test_the_picture_can_be_downloaded_as_it_was_saved(page: Page, pictures):
    generate_to_the_end(page, "a boat")
    with page.expect_download() as waiting:
        page.click("#text-to-image-download-picture a")
    download = waiting.value
    (saved,) = pictures.rglob(download.suggested_filename)
    assert download.path().read_bytes() == saved.read_bytes()


def test_cancel_stops_this_job_and_the_next_one_works(page: Page):
    generate(page, "a boat", steps=150)
    expect(page.locator("#text-to-image-status")).to_contain_text("of 150")
    expect(page.locator(PREVIEW)).to_be_visible()
    page.click("#text-to-image-cancel")
    expect(page.locator("#text-to-image-status")).to_contain_text("Cancelled.")
    expect(page.locator("#text-to-image-cancel")).to_be_disabled()
    expect(page.locator("#text-to-image-stage .stage.empty")).to_be_visible()
    generate_to_the_end(page, "a boat")


def test_a_reloaded_page_shows_its_running_job_and_then_the_picture(page: Page):
    generate(page, "a boat that somebody waits for", steps=150)
    expect(page.locator("#text-to-image-status")).to_contain_text("of 150")
    page.reload()
    expect(page.locator("#text-to-image-status")).to_contain_text("of 150")
    expect(page.locator("#text-to-image-cancel")).to_be_enabled()
    expect(page.locator("#text-to-image-details")).to_contain_text("a boat that somebody waits for")
    expect(page.locator("#text-to-image-generate")).to_be_enabled()


def test_the_queue_shows_own_jobs_and_cancels_them(page: Page):
    """Pressed by script: while a long job is drawn, a slow machine has no frame to spare for the mouse."""
    generate(page, "a boat for the queue", steps=150)
    expect(page.locator("#text-to-image-status")).to_contain_text("of 150")
    page.get_by_role("tab", name="Queue").evaluate("tab => tab.click()")
    row = page.locator("#queue-jobs tr.running")
    expect(row).to_contain_text("a boat for the queue")
    row.get_by_role("button", name="Cancel").evaluate("button => button.click()")
    expect(page.locator("#queue-jobs tr.cancelled", has_text="a boat for the queue")).to_be_visible()


def test_the_link_of_a_job_shows_it_in_another_browser_which_cannot_cancel_it(page: Page):
    generate_to_the_end(page, "a boat that somebody sends on")
    page.get_by_role("tab", name="Queue").click()
    row = page.locator("#queue-jobs tr", has_text="a boat that somebody sends on")
    other = page.context.browser.new_context().new_page()
    other.goto(row.locator("a.job-link").evaluate("link => link.href"))
    expect(other.locator("#text-to-image-details")).to_contain_text("a boat that somebody sends on")
    expect(other.locator("#text-to-image-cancel")).to_be_disabled()
    other.get_by_role("tab", name="Queue").click()
    expect(other.locator("#queue-jobs")).not_to_contain_text("a boat that somebody sends on")
    other.context.close()


def test_reuse_settings_fills_the_form_from_the_selected_picture(page: Page):
    generate_to_the_end(page, "the first boat")
    generate_to_the_end(page, "the second boat")
    expect(page.locator("#text-to-image-session-pictures img")).to_have_count(2)
    page.locator("#text-to-image-session-pictures button:has(img)").nth(1).click()
    expect(page.locator("#text-to-image-details")).to_contain_text("the first boat")
    page.click("#text-to-image-reuse-settings")
    expect(page.locator(PROMPT)).to_have_value("the first boat")
    assert page.locator(SEED).input_value() in page.locator("#text-to-image-details").inner_text()
    generate_to_the_end(page, page.locator(PROMPT).input_value())


def test_the_seed_can_be_kept_and_drawn_anew(page: Page):
    generate_to_the_end(page, "a boat")
    page.click("#text-to-image-reuse-seed")
    expect(page.locator(SEED)).not_to_have_value("-1")
    page.click("#text-to-image-random-seed")
    expect(page.locator(SEED)).to_have_value("-1")


def test_control_enter_generates(page: Page):
    page.fill(PROMPT, "a boat")
    page.locator(PROMPT).press("Control+Enter")
    expect(page.locator(FINISHED)).to_be_visible()
    expect(page.locator(PROMPT)).to_have_value("a boat")


def test_a_script_in_the_prompt_is_shown_literally(page: Page):
    prompt = "<script>window.broken = 1</script><img src=x onerror='window.broken = 1'> {{x}} ${window.broken = 1}"
    generate_to_the_end(page, prompt)
    expect(page.locator("#text-to-image-details")).to_contain_text(prompt)
    assert page.evaluate("window.broken") is None


def test_a_wrong_value_is_told_beside_its_field(page: Page):
    page.click("#text-to-image-advanced > button")
    page.fill("#text-to-image-width input, #text-to-image-width textarea", "65")
    page.click("#text-to-image-generate")
    expect(page.locator("#text-to-image-width")).to_contain_text("the nearest is 64")
    expect(page.locator("#text-to-image-status")).to_contain_text("the nearest is 64")
    page.click("#text-to-image-size-native")
    generate_to_the_end(page, "a boat")


def test_the_record_of_the_picture_can_be_read_as_json(page: Page):
    generate_to_the_end(page, "a boat")
    page.click("#text-to-image-record-panel > button")
    expect(page.locator("#text-to-image-record")).to_contain_text('"prompt": "a boat"')


def test_a_snippet_is_copied_also_where_the_browser_gives_no_clipboard(page: Page):
    generate_to_the_end(page, "a boat")
    page.evaluate("delete Object.getPrototypeOf(navigator).clipboard")
    page.locator(".copy-panel:visible > button").first.click()
    page.locator(".copy-as button[data-copy]:visible").first.click()
    expect(page.locator(".copy-as button[data-copy]:visible").first).to_have_text("Copied")
    page.fill(PROMPT, "")
    page.locator(PROMPT).press("Control+V")
    expect(page.locator(PROMPT)).to_have_value(re.compile(r"client\.predict\(\s+prompt='a boat'"))


def test_only_schedules_that_go_with_the_sampler_can_be_chosen(page: Page):
    page.click("#text-to-image-advanced > button")
    page.click("#text-to-image-sampler input")
    page.get_by_role("option", name="LCM").click()
    page.click("#text-to-image-schedule input")
    expect(page.get_by_role("option")).to_have_count(1)


def test_a_newcomer_sees_five_controls(page: Page):
    labels = page.locator('[id^="text-to-image-"] [data-testid=block-info]:visible')
    assert labels.all_inner_texts() == ["Prompt", "Negative prompt", "Checkpoint", "Steps", "Seed"]


def test_tokens_are_counted_while_typing(page: Page):
    page.fill(PROMPT, "a red house by the sea")
    expect(page.locator("#text-to-image-prompt-tokens")).to_contain_text(re.compile(r"\d+ of \d+ tokens"))


def test_a_phone_needs_no_sideways_scrolling(page: Page):
    page.set_viewport_size({"width": 390, "height": 844})
    generate_to_the_end(page, "a_long_word_without_any_break_" * 8)
    page.click("#text-to-image-advanced > button")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_the_page_asks_no_other_host(page: Page, address: str):
    hosts = set()
    page.on("request", lambda request: hosts.add(request.url.split("/")[2]))
    page.reload()
    page.wait_for_selector("#text-to-image-generate")
    assert hosts == {address.split("/")[2]}
