"""One request run from the command line, and what a picture tells.

Exit codes: 0 done, 1 the job failed, 2 something given cannot be used, 130 cancelled with Ctrl+C.
"""

import json
import re
import sys
from collections.abc import Mapping
from itertools import islice, zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.engine.jobs import Engine, Event, Failed, Finished, Job, Saved
from presets.available import localised
from presets.checks import parse
from presets.errors import UserError
from presets.foreign import read_info
from presets.images import ImageRef
from presets.library import Library
from presets.parts import parts_with_pictures, with_pictures
from presets.requests import AnyRequest
from tabs.command_output import PictureFiles, ProgressLine, say
from tabs.inventory import available

if TYPE_CHECKING:
    from tabs.command_line import Arguments

_SHA256 = re.compile("[0-9a-f]{64}")

DONE, FAILED, REFUSED, CANCELLED = 0, 1, 2, 130


def run(engine: Engine, arguments: "Arguments", library: Library) -> int:
    """Run the request of `arguments`, which has a kind, to its end; the exit code. A preset is one of `library`.

    Pictures' paths (or one JSON object) go to stdout, progress and errors to stderr.
    """
    if arguments.kind is None:
        raise ValueError("No kind of request was given.")
    try:
        values = _over(arguments.kind, _preset_values(engine, library, arguments), arguments.values)
        request = parse(arguments.kind, _with_pictures(engine, arguments.kind, values))
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


def _preset_values(engine: Engine, library: Library, arguments: "Arguments") -> dict[str, Any]:
    """What the preset that is asked for says, as far as it can be here. Raises `PresetNotFound`."""
    if arguments.kind is None or arguments.preset is None:
        return {}
    preset = library.find(str(arguments.kind.model_fields["kind"].default), arguments.preset)
    values, missing = localised(preset.values, available(engine))
    for sentence in () if arguments.quiet else (*map(str, missing), *preset.warnings):
        say(sys.stderr, f"warning: {sentence}")
    return values


def _over(kind: type[AnyRequest], preset: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """`preset` with what is `given` laid over it: of lists of parts the first over the first, and so on."""
    values = {**preset, **given}
    for name in parts_with_pictures(kind):
        if name in preset and name in given:
            pairs = zip_longest(preset[name], given[name], fillvalue={})
            values[name] = [{**before, **after} for before, after in pairs]
    return values


def _with_pictures(engine: Engine, kind: type[AnyRequest], values: Mapping[str, Any]) -> dict[str, Any]:
    """`values` with the files that pictures are in kept, and their references in their place."""
    return with_pictures(kind, values, lambda place, field: _picture(engine, str(place), field))


def _picture(engine: Engine, place: str, field: str) -> ImageRef:
    """The picture in the file at `place`, or one that is kept already, by its SHA-256."""
    if _SHA256.fullmatch(place) and not Path(place).exists():
        return engine.inputs.named(place, field)
    return engine.inputs.add(Path(place).absolute(), field)


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
