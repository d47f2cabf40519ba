"""Easel's main: arguments -> settings -> engine -> the web page, or one job from the command line."""

import logging
import sys
from collections.abc import Sequence

from presets.errors import UserError
from tabs.command_line import (
    Arguments,
    parse_arguments,
    read_settings,
    run_request,
    tell_of_picture,
    tell_of_preprocessors,
)


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
    from presets import installation

    logging.basicConfig(level=logging.WARNING, format="%(name)s: %(message)s")
    if outdated := installation.problems(installation.requirements()):
        print("easel: " + " ".join(outdated) + " Run: pip install -e .", file=sys.stderr)
        return 1
    settings = read_settings(arguments)
    is_page = arguments.kind is None and arguments.picture is None
    engine = LocalEngine(settings, store=open_store(settings.jobs) if is_page else None)
    if arguments.picture is not None:
        return tell_of_picture(engine, arguments)
    if arguments.lists_preprocessors:
        return tell_of_preprocessors(engine)
    engine.start()
    try:
        if arguments.kind is not None:
            return run_request(engine, arguments, settings.presets)
        from presets.library import Library
        from tabs import http_api
        from tabs.access import access_of
        from tabs.page import build_page
        from tabs.pictures import pictures_of
        from tabs.serving import serve

        library, pictures = Library(settings.presets), pictures_of(settings)
        pictures.watch()
        page = build_page(engine, library, manage_models=settings.manage_models, pictures=pictures)
        routes = http_api.routes(engine, library, access_of(settings), pictures)
        serve(page, settings, pictures=settings.pictures, routes=routes)
        return 0
    finally:
        engine.close()


if __name__ == "__main__":
    sys.exit(main())
