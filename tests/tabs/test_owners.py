import httpx
from starlette.requests import HTTPConnection

from tabs.owners import COOKIE, owner_of


def connection(cookie: str = "", authorization: str = "", host: str = "10.0.0.1") -> HTTPConnection:
    headers = {"cookie": cookie and f"{COOKIE}={cookie}", "authorization": authorization}
    raw = [(name.encode(), value.encode()) for name, value in headers.items() if value]
    return HTTPConnection({"type": "http", "headers": raw, "client": (host, 1)})


SECRET = "abcdefghijklmnopqrstuvwx"


def test_a_secret_tells_the_owner_wherever_it_stands_and_is_not_to_be_read_from_it():
    assert owner_of(connection(cookie=SECRET)) == owner_of(connection(authorization=f"Bearer {SECRET}", host="b"))
    assert SECRET not in owner_of(connection(cookie=SECRET))


def test_who_tells_none_is_known_by_the_address():
    assert owner_of(connection()) == owner_of(connection()) != owner_of(connection(host="10.0.0.2"))
    assert owner_of(connection(cookie="guess")) == owner_of(connection())


def test_a_browser_is_given_its_secret_with_the_page_and_keeps_it(address: str):
    with httpx.Client() as browser:
        first = browser.get(address)
        assert "HttpOnly" in first.headers["set-cookie"] and "SameSite=Lax" in first.headers["set-cookie"]
        assert "set-cookie" not in browser.get(address).headers
    assert "set-cookie" not in httpx.get(f"{address}config").headers


def test_a_page_in_anothers_frame_keeps_its_cookie_over_https(address: str):
    cookie = httpx.get(address, headers={"x-forwarded-proto": "https"}).headers["set-cookie"]
    assert "SameSite=None; Secure; Partitioned" in cookie


def test_the_secret_stays_beside_another_programs_cookies(address: str):
    for others in ('prefs={"a":1}; ', "a=b c; "):
        answer = httpx.get(address, headers={"cookie": f"{others}{COOKIE}={SECRET}"})
        assert "set-cookie" not in answer.headers
