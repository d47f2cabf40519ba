"""The page is made and served without asking any other host."""

import json
import subprocess
import sys
from pathlib import Path

CODE = """
import json, sys, time, urllib.request
asked = []
def note(event, arguments):
    if event == "socket.getaddrinfo":
        asked.append(str(arguments[0]))
    elif event == "socket.connect" and isinstance(arguments[1], tuple):
        asked.append(str(arguments[1][0]))
sys.addaudithook(note)
from pathlib import Path
from tests.fake_engine import FakeEngine
from tests.served import served
with served(FakeEngine(Path(sys.argv[1])), Path(sys.argv[1])) as address:
    urllib.request.urlopen(address + "config").read()
    time.sleep(1)
print(json.dumps(sorted(set(asked))))
"""


def test_no_host_but_this_machine_is_asked(tmp_path: Path, monkeypatch):
    monkeypatch.delenv("GRADIO_ANALYTICS_ENABLED", raising=False)
    done = subprocess.run([sys.executable, "-c", CODE, str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    asked = json.loads(done.stdout.splitlines()[-1])
    assert asked and set(asked) <= {"127.0.0.1", "localhost", "::1"}
