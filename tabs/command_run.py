"""One request run from the command line, and what a picture tells.

Exit codes: 0 done, 1 the job failed, 2 something given cannot be used, 130 cancelled with Ctrl+C.
"""

import json
import sys
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.engine.jobs import Engine, Event, Failed, Finished, Job, Saved
from presets.errors import UserError
from presets.foreign import read_info
from presets.library import Library
from tabs.command_output import PictureFiles
from tabs.command_request import request_of
from tabs.inventory import available
from tabs.terminal import ProgressLine, say

if TYPE_CHECKING:
    from tabs.command_line import Arguments

DONE, FAILED, REFUSED, CANCELLED = 0, 1, 2, 130


def run(engine: Engine, arguments: "Arguments", library: Library) -> int:
    """Run the request of `arguments`, which has a kind, to its end; the exit code. A preset is one of `library`.

    Pictures' paths (or one JSON object) go to stdout, progress and errors to stderr.
    """
    if arguments.kind is None:
        raise ValueError("No kind of request was given.")
    try:
        request = request_of(engine, arguments, library)
        output = PictureFiles(arguments.output, request.picture_count)
        job = engine.submit(request)
    except UserError as error:
        return _complain(error, REFUSED)
    try:
        last = _follow(job, output, ProgressLine(sys.stderr, quiet=arguments.quiet))
    except UserError as error:
        job.cancel()
        return _complain(error, FAILED)
    _report(job, output, last, arguments)
    if isinstance(last, Failed):
        return _complain(UserError(last.message, code=last.code), FAILED)
    return DONE if isinstance(last, Finished) else CANCELLED


def tell_of_picture(engine: Engine, place: str) -> int:
    """Print what the picture at `place` tells of itself, against what `engine` has, as JSON; the exit code."""
    try:
        info = read_info(Path(place), available(engine))
    except UserError as error:
        return _complain(error, REFUSED)
    say(sys.stdout, info.model_dump_json(indent=2))
    return DONE


def tell_of_preprocessors(engine: Engine) -> int:
    """Print what makes control pictures, as JSON; the exit code."""
    say(sys.stdout, json.dumps([info.model_dump(mode="json") for info in engine.preprocessors()], indent=2))
    return DONE


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


def _report(job: Job, output: PictureFiles, last: Event | None, arguments: "Arguments") -> None:
    if not arguments.json:
        for path in output.paths:
            say(sys.stdout, str(path))
        return
    pictures = [
        {
            "path": str(path),
            "request": saved.request.model_dump(mode="json"),
            "timings": saved.timings,
            "peak_memory": saved.peak_memory,
            "warnings": list(saved.warnings),
            "notes": list(saved.notes),
        }
        for path, saved in zip(output.paths, job.saved, strict=False)
    ]
    content = {
        "request": job.request.model_dump(mode="json"),
        "pictures": pictures,
        "timings": last.timings if isinstance(last, Finished) else {},
    }
    say(sys.stdout, json.dumps(content, indent=2))


def _complain(error: UserError, code: int) -> int:
    say(sys.stderr, f"easel: {error}")
    return code
