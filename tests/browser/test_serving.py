"""The page in a browser, served otherwise than at the root of this machine to everybody."""

from pathlib import Path

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


def opened(context: BrowserContext, address: str) -> tuple[Page, list[tuple[str, int]]]:
    """The page, and a list of the addresses and states of all that it fetches."""
    page, seen = context.new_page(), []
    page.on("response", lambda answer: seen.append((answer.url, answer.status)))
    page.set_default_timeout(PATIENCE)
    page.goto(address)
    return page, seen


def generate(page: Page, steps: int = 2) -> None:
    page.fill(PROMPT, "a red house")
    page.fill("#text-to-image-steps input[type=number]", str(steps))
    page.click("#text-to-image-generate")


def test_behind_nginx_who_signs_in_draws_and_all_is_fetched_from_under_the_path(
    context: BrowserContext, engine, settings: Settings, tmp_path: Path
):
    own = Settings(home=settings.home, root_path="/easel", auth=(SecretStr("ann:open sesame"),))
    with served(engine, settings.pictures, own) as inner, behind_nginx(inner, tmp_path) as address:
        page, seen = opened(context, address)
        expect(page.locator(PROMPT)).to_have_count(0)
        page.fill("input[type=text] >> nth=0", "ann")
        page.fill("input[type=password]", "open sesame")
        page.get_by_role("button", name="Login").click()
        generate(page)
        expect(page.locator(FINISHED)).to_be_visible()
        assert page.locator(FINISHED).evaluate("image => image.decode().then(() => image.naturalWidth)") == 128
        page.click("text=Copy as")
        expect(page.locator(".copy-as code").first).to_contain_text(f"Client('{address}', auth=('ann', getpass()))")
        jobs = httpx.get(f"{address}api/jobs", auth=("ann", "open sesame")).json()
        assert [job["request"]["prompt"] for job in jobs] == ["a red house"]
        page.close()
    fetched = {url for url, _ in seen if not url.startswith("data:")}
    assert [url for url in fetched if not url.startswith(address)] == []
    assert [url for url, status in seen if status >= 400] == []


def test_work_over_the_limit_is_refused_beside_the_form(context: BrowserContext, tmp_path: Path):
    settings = Settings(home=tmp_path, work_limit=1)
    with served(LocalEngine(settings), settings.pictures, settings) as address:
        page, _ = opened(context, address)
        generate(page, steps=150)
        expect(page.locator(STATUS)).to_contain_text(
            "This takes 2.46 megapixel-steps, and 1 are left of the 1 that you"
        )
        page.close()
