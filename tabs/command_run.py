"""Requests run from the command line.

Exit codes: 0 done, 1 the job failed, 2 something given cannot be used, 130 cancelled with Ctrl+C.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

from pipelines.engine.jobs import Engine, Event, Failed, Finished, Job, Saved
from presets.checks import parse
from presets.errors import UserError, shortened
from presets.images import ImageRef
from presets.library import Library
from presets.parts import with_pictures
from tabs.command_outcome import Outcome, report
from tabs.command_output import PictureFiles, numbered
from tabs.command_request import request_of, values_of
from tabs.terminal import ProgressLine, say

if TYPE_CHECKING:
    from tabs.command_line import Arguments

_STAND_IN = ImageRef(sha256="0" * 64, width=64, height=64)

DONE, FAILED, REFUSED, CANCELLED = 0, 1, 2, 130


def run(engine: Engine, arguments: "Arguments", library: Library) -> int:
    """Run the request of `arguments`, which has a kind, to its end; the exit code. A preset is one of `library`.

    Pictures' paths (or one JSON object) go to stdout, progress and errors to stderr.
    """
    if arguments.kind is None:
        raise ValueError("No kind of request was given.")
    try:
        several = values_of(engine, arguments, library)
        if len(several) > 1:
            return _run_several(engine, arguments, several)
    except UserError as error:
        return _complain(error, REFUSED)
    outcome = _made(engine, arguments, several[0], arguments.output)
    _tell(outcome, arguments)
    if outcome.job and arguments.json:
        say(sys.stdout, json.dumps(report(outcome), indent=2))
    return outcome.code


def _run_several(engine: Engine, arguments: "Arguments", several: Sequence[Mapping[str, Any]]) -> int:
    """Run a request for each picture; the exit code of the worst. What is wrong with one is told by its name, and the
    others go on. Raises `UserError` for what is wrong with all."""
    assert arguments.kind is not None
    parse(arguments.kind, with_pictures(arguments.kind, several[0], lambda *_: _STAND_IN))
    PictureFiles(numbered(arguments.output, 1), 1)
    outcomes: list[Outcome] = []
    reports = []
    for number, values in enumerate(several, start=1):
        outcome = _made(engine, arguments, values, numbered(arguments.output, number))
        _tell(outcome, arguments, f"{shortened(values['image'], 150)}: ")
        reports.append({"file": values["image"], **report(outcome)})
        outcomes.append(outcome)
        if outcome.code == CANCELLED:
            break
    if arguments.json:
        say(sys.stdout, json.dumps(reports, indent=2))
    return max(outcome.code for outcome in outcomes)


def _made(engine: Engine, arguments: "Arguments", values: Mapping[str, Any], place: str | None) -> Outcome:
    """Run one request, which ends where its pictures are at `place`."""
    assert arguments.kind is not None
    try:
        request = request_of(engine, arguments.kind, values)
        output = PictureFiles(place, request.picture_count)
        job = engine.submit(request)
    except UserError as error:
        return Outcome(REFUSED, error)
    try:
        last = _follow(job, output, ProgressLine(sys.stderr, quiet=arguments.quiet))
    except UserError as error:
        job.cancel()
        return Outcome(FAILED, error)
    if isinstance(last, Failed):
        return Outcome(FAILED, UserError(last.message, code=last.code), job, output.paths, last)
    return Outcome(DONE if isinstance(last, Finished) else CANCELLED, None, job, output.paths, last)


def _tell(outcome: Outcome, arguments: "Arguments", of: str = "") -> None:
    for path in () if arguments.json else outcome.paths:
        say(sys.stdout, str(path))
    if outcome.problem:
        say(sys.stderr, f"easel: {of}{outcome.problem}")


def _follow(job: Job, output: PictureFiles, line: ProgressLine) -> Event | None:
    """Show and copy as events come; the last one, or None where Ctrl+C was pressed.

    The first Ctrl+C cancels the job and waits for its end, the second does not wait.
    """
    seen, event, interrupted = 0, None, False
    while True:
        try:
            for event in islice(job.events(), seen, None):
                if isinstance(event, Saved):
                    output.keep(event)
                line.show(event)
                seen += 1
            return None if interrupted else event
        except KeyboardInterrupt:
            if interrupted:
                return None
            interrupted = True
            job.cancel()
        finally:
            line.clear()


def _complain(error: UserError, code: int) -> int:
    say(sys.stderr, f"easel: {error}")
    return code
