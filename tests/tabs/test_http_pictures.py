"""The gallery's routes, on one page whose pictures everyone sees and one where everyone has their own."""

import io
import zipfile
from collections.abc import Callable, Iterator

import httpx
import pytest
from PIL import Image

from presets.gallery import Gallery
from presets.requests import TextToImage
from tests.fake_engine import FakeEngine
from tests.served import served

SCRIPT = "<script>window.broken = 1</script>"
ME = {"authorization": "Bearer my-secret-of-twenty-letters"}
YOU = {"authorization": "Bearer your-secret-of-twenty-letters"}
OUTSIDE = (
    "..%2f..%2fmarks.sqlite",
    "../../index.sqlite",
    "%2e%2e%2fmarks.sqlite",
    "..\\..\\x",
    "x" * 5000,
    "a'%20OR%201=1",
    "%00",
    "💥",
)


@pytest.fixture(scope="module")
def private(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, FakeEngine]]:
    engine = FakeEngine(tmp_path_factory.mktemp("private") / "pictures")
    with served(engine, engine.folder, is_private=True) as address:
        yield address, engine
    engine.close()


@pytest.fixture
def gallery(engine: FakeEngine) -> Iterator[Gallery]:
    """That of the page that everyone sees, empty before and after."""
    gallery = Gallery(engine.folder)
    yield gallery
    for path in engine.folder.glob("*-*-*/*.png"):
        path.unlink()
    gallery.rebuild()


@pytest.fixture
def api(address: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"{address}api/", timeout=30) as client:
        yield client


def added(gallery: Gallery, prompt: str = "a house", seed: int = 7, owner: str = "") -> str:
    """The identifier of a new picture."""
    picture = Image.new("RGB", (320, 160), "red")
    path = gallery.add(picture, TextToImage(prompt=prompt, seed=seed, checkpoint="Storybook"), {}, owner=owner)
    return f"{path.parent.name}-{path.stem}"


def found(api: httpx.Client, **query: str | int) -> list[str]:
    answer = api.get("pictures", params=query)
    assert answer.status_code == 200, answer.text
    return [picture["id"] for picture in answer.json()["pictures"]]


def test_pictures_come_in_pages_the_newest_first(api: httpx.Client, gallery: Gallery):
    identifiers = [added(gallery, seed=seed) for seed in range(5)]
    first = api.get("pictures", params={"limit": 3}).json()
    rest = api.get("pictures", params={"limit": 3, "after": first["next"]}).json()
    assert [picture["id"] for page in (first, rest) for picture in page["pictures"]] == identifiers[::-1]
    assert (first["total"], rest["total"]) == (5, None)
    assert api.get("pictures", params={"after": rest["next"]}).json()["next"] == ""


def test_a_picture_is_told_with_its_request_file_and_thumbnail(api: httpx.Client, gallery: Gallery):
    identifier = added(gallery, SCRIPT)
    told = api.get(f"pictures/{identifier}").json()
    assert told["request"]["prompt"] == told["caption"] == SCRIPT and told["seed"] == 7
    file, small = api.get(f"pictures/{identifier}/file"), api.get(f"pictures/{identifier}/thumbnail")
    assert file.content == gallery.recent()[0].path.read_bytes()
    assert Image.open(io.BytesIO(small.content)).size == (256, 128)
    assert (file.headers["content-type"], small.headers["content-type"]) == ("image/png", "image/webp")
    assert identifier.rpartition("-")[2] not in file.headers["content-disposition"]


def test_a_prompt_of_any_length_makes_a_short_list(api: httpx.Client, gallery: Gallery):
    added(gallery, "word " * 3000)
    assert len(api.get("pictures").text) < 2000


def test_a_search_that_is_not_understood_is_refused_with_a_sentence(api: httpx.Client):
    for search, words in (("checkpont:x", "Did you mean checkpoint?"), ("x" * 10_000, "at most 2,000")):
        answer = api.get("pictures", params={"search": search})
        assert (answer.status_code, answer.json()["code"]) == (422, "E-SEARCH")
        assert words in answer.json()["message"]
    assert api.post("pictures/zip", json={"search": "x" * 100_000}).json()["code"] == "E-SEARCH"
    assert api.get("pictures", params={"after": "x"}).json()["field"] == "after"
    assert api.get("pictures", params={"limit": 5000}).json()["field"] == "limit"


@pytest.mark.parametrize("name", OUTSIDE)
def test_what_is_no_identifier_reaches_no_file(api: httpx.Client, gallery: Gallery, name: str):
    added(gallery)
    for rest in ("", "/file", "/thumbnail"):
        assert api.get(f"pictures/{name}{rest}").status_code in (404, 422)
    for change in ("star", "delete", "restore", "zip"):
        answer = api.post(f"pictures/{change}", json={"identifiers": [name]})
        assert (answer.status_code, answer.json()["code"]) in ((404, "E-PICTURE-UNKNOWN"), (422, "E-API-ARGS"))
    assert len(gallery.recent()) == 1


def test_stars_boards_and_the_trash(api: httpx.Client, gallery: Gallery):
    first, second = added(gallery, seed=1), added(gallery, seed=2)
    assert api.post("pictures/star", json={"identifiers": [first]}).json() == {"changed": 1}
    assert api.post("pictures/board", json={"identifiers": [first, second], "board": SCRIPT}).json() == {"changed": 2}
    assert found(api, search="starred:yes") == [first]
    choices = api.get("pictures/choices").json()
    assert (choices["boards"], choices["checkpoints"], choices["private"]) == ({SCRIPT: 2}, {"Storybook": 2}, False)
    api.post("pictures/delete", json={"identifiers": [first]})
    assert (found(api), found(api, search="deleted:yes")) == ([second], [first])
    api.post("pictures/restore", json={"identifiers": [first]})
    assert api.get(f"pictures/{first}").json()["starred"] is True
    api.post("pictures/delete", json={"identifiers": [first, second]})
    assert api.post("pictures/empty-trash").json() == {"changed": 2}
    assert not list(gallery.root.glob("*-*-*/*.png"))


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{", b"[" * 100_000, b'{"identifiers": 7}', b'{"identifiers": [], "x": 1}']
)
def test_a_body_that_changes_nothing_known_gets_a_sentence(api: httpx.Client, body: bytes):
    for change in ("star", "board", "delete", "restore", "zip"):
        answer = api.post(f"pictures/{change}", content=body)
        assert (answer.status_code, answer.json()["code"]) == (422, "E-API-ARGS"), answer.text


def test_a_zip_file_holds_what_was_chosen_or_all_that_a_search_finds(api: httpx.Client, gallery: Gallery):
    first, second = added(gallery, seed=1), added(gallery, seed=2)
    chosen = api.post("pictures/zip", json={"identifiers": [second]})
    assert "attachment" in chosen.headers["content-disposition"]
    assert len(zipfile.ZipFile(io.BytesIO(chosen.content)).namelist()) == 1
    for body in ({"search": ""}, {"identifiers": f"{first} {second}"}):
        whole = zipfile.ZipFile(io.BytesIO(api.post("pictures/zip", data=body).content))
        assert whole.testzip() is None and len(whole.namelist()) == 2


def test_other_sites_pages_change_nothing(api: httpx.Client, gallery: Gallery):
    identifier = added(gallery)
    for change in ("star", "board", "delete", "restore", "zip", "empty-trash"):
        answer = api.post(
            f"pictures/{change}", json={"identifiers": [identifier]}, headers={"origin": "https://evil.example"}
        )
        assert (answer.status_code, answer.json()["code"]) == (403, "E-ORIGIN")
    assert found(api) == [identifier]


@pytest.fixture
def visitors(private: tuple[str, FakeEngine]) -> Iterator[Callable[[dict], httpx.Client]]:
    """A client of the page where everyone has their own pictures, by the headers it sends."""
    opened = []

    def visitor(headers: dict) -> httpx.Client:
        opened.append(httpx.Client(base_url=f"{private[0]}api/", headers=headers, timeout=30))
        return opened[-1]

    yield visitor
    for client in opened:
        client.close()


def owner(headers: dict) -> str:
    from starlette.requests import HTTPConnection

    from tabs.owners import owner_of

    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    return owner_of(HTTPConnection({"type": "http", "headers": raw, "client": ("a", 1)}))


def test_where_pictures_are_private_anothers_are_as_unknown_as_none(visitors, private: tuple[str, FakeEngine]):
    gallery = Gallery(private[1].folder)
    mine, theirs = added(gallery, owner=owner(ME)), added(gallery, owner=owner(YOU))
    nobodys, me = added(gallery), visitors(ME)
    assert found(me) == [mine] and found(me, search="house") == [mine]
    assert me.get("pictures/choices").json()["checkpoints"] == {"Storybook": 1}
    for identifier in (theirs, nobodys):
        for rest in ("", "/file", "/thumbnail"):
            assert me.get(f"pictures/{identifier}{rest}").json()["code"] == "E-PICTURE-UNKNOWN"
        for change in ("star", "delete", "restore", "zip"):
            assert me.post(f"pictures/{change}", json={"identifiers": [mine, identifier]}).status_code == 404
        assert me.post("pictures/board", json={"identifiers": [identifier], "board": "x"}).status_code == 404
    assert found(visitors(YOU)) == [theirs]


def test_who_tells_no_secret_sees_no_private_pictures(visitors):
    for rest in ("", "/choices", "/x", "/x/file", "/x/thumbnail"):
        answer = visitors({}).get(f"pictures{rest}")
        assert (answer.status_code, answer.json()["code"]) == (401, "E-PICTURES-PRIVATE")
    assert visitors({}).post("pictures/empty-trash").status_code == 401


def test_a_private_picture_is_fetched_by_its_unguessable_address_alone(private: tuple[str, FakeEngine]):
    address, engine = private
    path = Gallery(engine.folder).add(Image.new("RGB", (8, 8)), TextToImage(prompt=""), {}, owner=owner(ME))
    guessable = path.with_name("000099-7.png")
    guessable.write_bytes(path.read_bytes())
    assert httpx.get(f"{address}gradio_api/file={path}").content == path.read_bytes()
    assert httpx.get(f"{address}gradio_api/file={guessable}").status_code == 403
    guessable.unlink()
