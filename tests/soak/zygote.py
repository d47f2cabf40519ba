"""A process that has loaded all libraries and becomes the program again and again, in a fraction of a second.

    python -m tests.soak.zygote

Each line of its input is a JSON list of the program's arguments; it answers with the process id of a program that was
begun with them. The worker of such a program is forked, too. From there on both are the real ones: what is left out is
only the loading of libraries, which would be most of their lives where they are killed every few seconds.
"""

import json
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

import diffusers
import gradio
import torch
import transformers

import app
import pipelines.engine.link
import pipelines.engine.local
import pipelines.engine.manager
import pipelines.runners
import tabs.http_api
import tabs.page
import tabs.serving
import tests.checkpoints

LOADED = (diffusers, gradio, torch, transformers, pipelines, tabs, tests.checkpoints)
"""What a program begins with here."""


def _alone(target: Callable[..., Any], args: tuple[Any, ...]) -> None:
    """`target` with no file open but its own, as in a process that was started."""
    kept = {0, 1, 2, *(argument.fileno() for argument in args if isinstance(argument, Connection))}
    for file in {int(name) for name in os.listdir("/proc/self/fd")} - kept:  # noqa: PTH208
        with suppress(OSError):
            os.close(file)
    target(*args)


def main() -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody asks how a program ended
    for line in iter(sys.stdin.readline, ""):
        child = os.fork()
        if child == 0:
            _become(json.loads(line))
        print(child, flush=True)


def _become(arguments: list[str]) -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.dup2(2, 1)
    pipelines.engine.link.multiprocessing = _Forking()  # pyright: ignore[reportAttributeAccessIssue]
    os._exit(app.main(arguments))


class _Forking:
    """`multiprocessing` as `pipelines/engine/link.py` uses it."""

    Pipe = staticmethod(multiprocessing.Pipe)

    def get_context(self, _method: str) -> "_Forking":
        return self

    def Process(  # noqa: N802
        self, *, target: Callable[..., Any], args: tuple[Any, ...], name: str, daemon: bool
    ) -> BaseProcess:
        fork = multiprocessing.get_context("fork")
        return fork.Process(target=_alone, args=(target, args), name=name, daemon=daemon)


if __name__ == "__main__":
    main()
