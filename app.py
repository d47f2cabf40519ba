"""Easel's main: arguments -> settings -> engine -> the web page, or one job from the command line."""

import logging
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from presets.errors import UserError
from tabs.command_line import (
    Arguments,
    parse_arguments,
    read_settings,
    run_request,
    tell_of_picture,
    tell_of_preprocessors,
)

if TYPE_CHECKING:
    from pipelines.engine.local import LocalEngine
    from presets.settings import Settings


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program; the process's exit code."""
    arguments = parse_arguments(sys.argv[1:] if argv is None else argv)
    try:
        return _run(arguments)
    except KeyboardInterrupt:
        return 130
    except UserError as error:
        print(f"easel: {error}", file=sys.stderr)
        return 2
    except Exception as error:  # around main
        if arguments.debug:
            raise
        print(f"easel: {error}", file=sys.stderr)
        return 1


def _run(arguments: Arguments) -> int:
    from pipelines.engine.local import LocalEngine
    from pipelines.engine.store import open_store
    from pipelines.engine.zero import lender_of
    from presets import entrance, installation

    logging.basicConfig(level=logging.WARNING, format="%(name)s: %(message)s")
    if outdated := installation.problems(installation.requirements()):
        print("easel: " + " ".join(outdated) + " Run: pip install -e .", file=sys.stderr)
        return 1
    settings = read_settings(arguments)
    is_page = arguments.kind is None and arguments.picture is None and not arguments.lists_preprocessors
    if is_page:
        entrance.check(settings)
    lender = lender_of(settings) if is_page else None
    engine = LocalEngine(settings, store=open_store(settings.jobs) if is_page else None, lender=lender)
    if arguments.picture is not None:
        return tell_of_picture(engine, arguments)
    if arguments.lists_preprocessors:
        return tell_of_preprocessors(engine)
    engine.start()
    try:
        if arguments.kind is not None:
            return run_request(engine, arguments, settings.presets)
        return _serve(engine, settings)
    finally:
        engine.close()


def _serve(engine: "LocalEngine", settings: "Settings") -> int:
    """The page until the program is told to stop: it stays while the running job comes to its end."""
    from presets.library import Library
    from tabs import doors
    from tabs.page import build_page
    from tabs.pictures import pictures_of
    from tabs.serving import serve, wait_for_stop

    signal.signal(signal.SIGTERM, signal.default_int_handler)  # the same as Ctrl+C
    library, pictures, hub = Library(settings.presets), pictures_of(settings), settings.sign_in == "hub"
    pictures.watch()
    page = build_page(
        engine,
        library,
        manage_models=settings.manage_models,
        pictures=pictures,
        hub_sign_in=hub,
        safety_checker=settings.safety_checker,
    )
    routes, lifespan = doors.build(engine, library, settings, pictures)
    serve(page, settings, pictures=settings.pictures, routes=routes, lifespan=lifespan)
    wait_for_stop()
    if engine.status().state == "busy":
        print(f"easel: the running job has {settings.shutdown_grace:g} s; Ctrl+C stops at once", file=sys.stderr)
    with suppress(KeyboardInterrupt):
        engine.close(settings.shutdown_grace)
    engine.close()
    page.close(verbose=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())
