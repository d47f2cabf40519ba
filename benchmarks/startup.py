"""From the start of the process to the page's first answer, beside a bare Gradio Blocks app with one textbox.

    python -m benchmarks.startup [--rounds 5]

Prints JSON. `ratio` is the median over interleaved rounds. Goal: at most 1.5. Also the seconds of `--help`.
"""

import argparse
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

ROOT = Path(__file__).parent.parent

BARE = """
import gradio as gr
with gr.Blocks() as demo:
    gr.Textbox()
demo.launch(server_port={port}, quiet=True)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as home:
        _seconds_of_easel(home)  # so that all files are read from memory below
        _seconds_of_bare()
        pairs = [(_seconds_of_bare(), _seconds_of_easel(home)) for _ in range(rounds)]
    helps = [_seconds_of_help() for _ in range(rounds)]
    report = {
        "bare_seconds": round(statistics.median(bare for bare, _ in pairs), 2),
        "easel_seconds": round(statistics.median(own for _, own in pairs), 2),
        "ratio": round(statistics.median(own / bare for bare, own in pairs), 3),
        "help_seconds": round(statistics.median(helps), 3),
    }
    print(json.dumps(report, indent=2))


def _seconds_of_bare() -> float:
    port = _free_port()
    return _seconds_to_answer([sys.executable, "-c", BARE.format(port=port)], port)


def _seconds_of_easel(home: str) -> float:
    port = _free_port()
    return _seconds_to_answer([sys.executable, "app.py", "--home", home, "--port", str(port)], port)


def _seconds_of_help() -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, "app.py", "text-to-image", "--help"], cwd=ROOT, check=True, capture_output=True)
    return time.perf_counter() - began


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _seconds_to_answer(command: list[str], port: int) -> float:
    environment = {**os.environ, "GRADIO_ANALYTICS_ENABLED": "False", "HF_HUB_OFFLINE": "1"}
    began = time.perf_counter()
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while time.perf_counter() - began < 120:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=10) as answer:
                    if answer.status == 200:
                        return time.perf_counter() - began
            except (urllib.error.URLError, ConnectionError, TimeoutError):
                time.sleep(0.02)
        raise TimeoutError(f"{command} did not answer within two minutes")
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(timeout=30)


if __name__ == "__main__":
    main()
