"""The page in a browser, served otherwise than at the root of this machine to everybody."""

from pathlib import Path
from urllib.parse import urlsplit

import httpx
from playwright.sync_api import BrowserContext, Page, expect
from pydantic import SecretStr

from pipelines.engine.local import LocalEngine
from presets.settings import Settings
from tests.proxies import behind_nginx
from tests.served import served

PATIENCE = 60_000
PROMPT = "#text-to-image-prompt textarea"
FINISHED = "#text-to-image-stage .stage.finished img"
STATUS = "#text-to-image-status"


def opened(context: BrowserContext, address: str) -> Page:
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    page.goto(address)
    return page


def generate(page: Page, steps: int = 2) -> None:
    page.fill(PROMPT, "a red house")
    page.fill("#text-to-image-steps input[type=number]", str(steps))
    page.click("#text-to-image-generate")


def test_behind_nginx_all_is_fetched_from_under_the_path_and_a_picture_is_shown(
    context: BrowserContext, engine, settings: Settings, tmp_path: Path
):
    own = Settings(home=settings.home, root_path="/easel")
    with served(engine, settings.pictures, own) as inner, behind_nginx(inner, tmp_path) as address:
        page = context.new_page()
        seen = []
        page.on("response", lambda answer: seen.append((urlsplit(answer.url), answer.status)))
        page.goto(address)
        generate(page)
        expect(page.locator(FINISHED)).to_be_visible()
        assert page.locator(FINISHED).evaluate("image => image.decode().then(() => image.naturalWidth)") == 128
        page.click("text=Copy as")
        expect(page.locator(".copy-as code").first).to_contain_text(f"Client('{address}')")
        page.close()
    fetched = [url for url, _ in seen if url.scheme != "data"]
    assert [url.geturl() for url in fetched if not url.path.startswith("/easel/")] == []
    assert {url.netloc for url in fetched} == {urlsplit(address).netloc}
    assert [url.geturl() for url, status in seen if status >= 400] == []


def test_who_signs_in_on_the_page_draws_and_finds_the_job_by_his_password_elsewhere(
    context: BrowserContext, engine, settings: Settings, tmp_path: Path
):
    own = Settings(home=settings.home, root_path="/easel", auth=(SecretStr("ann:open sesame"),))
    with served(engine, settings.pictures, own) as inner, behind_nginx(inner, tmp_path) as address:
        page = opened(context, address)
        expect(page.locator(PROMPT)).to_have_count(0)
        page.fill("input[type=text] >> nth=0", "ann")
        page.fill("input[type=password]", "open sesame")
        page.get_by_role("button", name="Login").click()
        generate(page)
        expect(page.locator(FINISHED)).to_be_visible()
        jobs = httpx.get(f"{address}api/jobs", auth=("ann", "open sesame")).json()
        assert [job["request"]["prompt"] for job in jobs] == ["a red house"]
        page.close()


def test_work_over_the_limit_is_refused_beside_the_form(context: BrowserContext, tmp_path: Path):
    settings = Settings(home=tmp_path, work_limit=1)
    with served(LocalEngine(settings), settings.pictures, settings) as address:
        page = opened(context, address)
        generate(page, steps=150)
        expect(page.locator(STATUS)).to_contain_text(
            "This takes 2.46 megapixel-steps, and 1 are left of the 1 that you"
        )
        page.close()
