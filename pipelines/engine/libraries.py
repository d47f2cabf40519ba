"""How the worker's heavy libraries are brought in: once, quietly, and without what this device does not use."""

import logging
import os
import sys
import warnings

from pipelines.engine.policy import Policy
from presets.settings import Settings


def prepare_libraries(policy: Policy, settings: Settings) -> None:
    """Import torch, transformers and diffusers for this policy. To be called in the worker before anything else
    imports diffusers.

    Where xformers is not used it is hidden.
    """
    if not policy.xformers_dtypes:
        hide_xformers()
    import_libraries(settings)

    import torch

    torch.set_num_threads(policy.threads)


def hide_xformers() -> None:
    """Have diffusers not import it, unless it is there already: that costs 1 to 2 seconds, and warnings of its compiled
    part on CPUs. `None` in `sys.modules` is Python's own way to say that a module cannot be imported."""
    if "xformers" not in sys.modules:
        sys.modules["xformers"] = None  # type: ignore[assignment]


def import_libraries(settings: Settings) -> None:
    """Import torch, transformers and diffusers. Touches no device."""
    _set_environment(settings)
    warnings.simplefilter("ignore", FutureWarning)

    import diffusers
    import transformers

    for library in (diffusers, transformers):
        library.utils.logging.set_verbosity_error()
        library.utils.logging.disable_progress_bar()
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)


def _set_environment(settings: Settings) -> None:
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    os.environ["DIFFUSERS_DISABLE_REMOTE_CODE"] = "1"
    os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
    if settings.offline:
        os.environ["HF_HUB_OFFLINE"] = "1"
