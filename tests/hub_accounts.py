"""A stand-in for the Hugging Face Hub as far as signing in with it goes (OpenID Connect): everybody is ann."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlencode, urlsplit

from joserfc import jwt
from joserfc.jwk import RSAKey

CLIENT = "easel-on-a-space"
SUBJECT = "65f0c0ffee"


@contextmanager
def hub() -> Iterator[str]:
    """Its address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()


class _Hub(BaseHTTPRequestHandler):
    key = RSAKey.generate_key(2048, {"kid": "1"})
    nonce = ""

    def do_GET(self) -> None:
        url, here = urlsplit(self.path), f"http://{self.headers['host']}"
        if url.path == "/authorize":
            asked = {name: values[0] for name, values in parse_qs(url.query).items()}
            _Hub.nonce = asked["nonce"]
            self.send_response(302)
            back = urlencode({"code": "c", "state": asked["state"]})
            self.send_header("location", f"{asked['redirect_uri']}&{back}")
            self.end_headers()
        elif url.path == "/jwks":
            self._answer({"keys": [self.key.as_dict(private=False)]})
        else:
            paths = {"authorization_endpoint": "/authorize", "token_endpoint": "/token", "jwks_uri": "/jwks"}
            self._answer({"issuer": here, **{name: here + path for name, path in paths.items()}})

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        now = int(time.time())
        person = {"sub": SUBJECT, "name": "Ann", "preferred_username": "ann", "profile": "p", "picture": "i"}
        claims = {"iss": f"http://{self.headers['host']}", "aud": CLIENT, "iat": now, "exp": now + 600}
        token = jwt.encode({"alg": "RS256", "kid": "1"}, {**claims, **person, "nonce": _Hub.nonce}, self.key)
        self._answer({"access_token": "t", "token_type": "bearer", "expires_in": 600, "id_token": token})

    def _answer(self, content: dict) -> None:
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.end_headers()
        self.wfile.write(json.dumps(content).encode())

    def log_message(self, *_: object) -> None:
        """Nothing is printed."""
