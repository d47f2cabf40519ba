"""What the command line tells of a picture and of preprocessors, as JSON."""

import json
import sys
from pathlib import Path

from pipelines.engine.jobs import Engine
from presets.errors import UserError
from presets.foreign import read_info
from tabs.inventory import available
from tabs.terminal import say

DONE, REFUSED = 0, 2


def tell_of_picture(engine: Engine, place: str) -> int:
    """Print what the picture at `place` tells of itself, against what `engine` has, as JSON; the exit code."""
    try:
        info = read_info(Path(place), available(engine))
    except UserError as error:
        say(sys.stderr, f"easel: {error}")
        return REFUSED
    say(sys.stdout, info.model_dump_json(indent=2))
    return DONE


def tell_of_preprocessors(engine: Engine) -> int:
    """Print what makes control pictures, as JSON; the exit code."""
    say(sys.stdout, json.dumps([info.model_dump(mode="json") for info in engine.preprocessors()], indent=2))
    return DONE
