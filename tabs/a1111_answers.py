"""Jobs, pictures and models in the shapes that AUTOMATIC1111's clients read."""

import base64
import io
import json
from collections.abc import Mapping, Sequence
from typing import Any

from PIL import Image

from pipelines.engine.jobs import Engine, Job, Progress, Saved
from presets import infotext
from presets.foreign import read_info
from tabs.a1111_requests import ignored
from tabs.http_foreign import in_base64
from tabs.inventory import available


def answer(job: Job, given: Mapping[str, Any], notes: Sequence[str]) -> dict[str, Any]:
    """The pictures in base64, and what made them, which names what of the call was not read. `notes` are sentences on
    what was read otherwise than written."""
    texts = [_text_of(saved) for saved in job.saved]
    seeds = [getattr(saved.request, "seed", -1) for saved in job.saved]
    info = {
        "prompt": job.request.caption,
        "seed": seeds[0] if seeds else -1,
        "all_seeds": seeds,
        "infotexts": texts,
        "sd_model_name": job.request.checkpoint_used,
        "ignored": ignored(given),
        "notes": list(notes),
    }
    return {"images": [in_base64(saved) for saved in job.saved], "parameters": dict(given), "info": json.dumps(info)}


def _text_of(saved: Saved) -> str:
    with Image.open(saved.path) as image:
        return str(image.info.get("parameters", ""))


def told(content: bytes, engine: Engine) -> dict[str, Any]:
    """A1111's own text of a picture's file, taken apart, and all other texts in it."""
    texts = dict(read_info(io.BytesIO(content), available(engine)).texts)
    text = texts.pop("parameters", "")
    found = infotext.parse(text)
    words = {"Prompt": found.prompt, "Negative prompt": found.negative_prompt} if text else {}
    return {"info": text, "items": texts, "parameters": {**words, **found.pairs}}


def progress_of(job: Job | None) -> dict[str, Any]:
    last, seen = (job.last_event, job.preview) if job else (None, None)
    state = {"skipped": False, "interrupted": bool(job and job.is_cancelled), "job_count": int(job is not None)}
    if not isinstance(last, Progress):
        return {"progress": 0.0, "eta_relative": 0.0, "state": state, "current_image": None, "textinfo": None}
    share = (last.picture - 1 + last.step / last.steps) / last.pictures
    state |= {"sampling_step": last.step, "sampling_steps": last.steps}
    preview = base64.b64encode(seen).decode() if seen else None
    rest = {"state": state, "current_image": preview, "textinfo": None}
    return {"progress": round(share, 4), "eta_relative": last.remaining, **rest}


def model_entry(name: str, sha256: str) -> dict[str, Any]:
    return {
        "title": f"{name} [{sha256[:10]}]" if sha256 else name,
        "model_name": name,
        "hash": sha256[:10] or None,
        "sha256": sha256 or None,
        "filename": name,
        "config": None,
    }
