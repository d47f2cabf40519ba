"""Clients of AUTOMATIC1111 against Easel."""

import base64
import io
import json
import threading
from collections.abc import Iterator

import httpx
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from starlette.requests import HTTPConnection

from presets.requests import ControlNet, ImageToImage, Inpaint, TextToImage
from presets.upscale import Upscale
from tabs import http_a1111
from tabs.owners import owner_of
from tests.fake_engine import FakeEngine
from tests.waiting import wait_until

CALL = {"prompt": "a boat", "steps": 2, "seed": 7, "cfg_scale": 5, "sampler_name": "DPM++ 2M Karras", "width": 64}


@pytest.fixture
def api(address: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"{address}sdapi/v1", timeout=20) as client:
        yield client


def picture(colour: str = "teal") -> str:
    file = io.BytesIO()
    Image.new("RGB", (64, 64), colour).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


def test_txt2img_gives_the_pictures_and_what_made_them(api: httpx.Client, engine: FakeEngine):
    answer = api.post("/txt2img", json={**CALL, "batch_size": 2, "restore_faces": True, "tiling": False}).json()
    request = engine.submitted[-1].request
    assert (request.guidance_scale, request.sampler, request.schedule, request.count) == (5, "DPM++ 2M", "karras", 2)
    saved = engine.submitted[-1].saved
    assert [base64.b64decode(image) for image in answer["images"]] == [each.path.read_bytes() for each in saved]
    info = json.loads(answer["info"])
    assert (info["all_seeds"], info["ignored"]) == ([7, 8], ["restore_faces"])


def test_img2img_redraws_and_with_a_mask_inpaints(api: httpx.Client, engine: FakeEngine):
    call = {**CALL, "init_images": [picture()], "denoising_strength": 0.5, "resize_mode": 2}
    assert len(api.post("/img2img", json=call).json()["images"]) == 1
    request = engine.submitted[-1].request
    assert isinstance(request, ImageToImage) and (request.strength, request.resize_mode) == (0.5, "fill")
    masked = {**call, "mask": picture("white"), "mask_blur": 7, "inpaint_full_res": False, "inpainting_fill": 2}
    assert len(api.post("/img2img", json=masked).json()["images"]) == 1
    request = engine.submitted[-1].request
    assert isinstance(request, Inpaint)
    assert (request.feather_mask, request.area, request.content) == (7, "whole", "noise")


@pytest.mark.parametrize(
    ("path", "change", "code"),
    [
        ("/txt2img", {"steps": 0}, "E-STEPS"),
        ("/txt2img", {"steps": 0, "override_settings": "none", "n_iter": "x", "scheduler": 5}, "E-"),
        ("/txt2img", {"batch_size": 4, "n_iter": 4}, "E-BATCH"),
        ("/img2img", {}, "E-IMAGE"),
        ("/img2img", {"init_images": ["no base64"]}, "E-IMAGE"),
        ("/img2img", {"init_images": [picture()], "resize_mode": 9}, "E-"),
    ],
)
def test_what_is_wrong_is_refused_with_its_sentence(api: httpx.Client, path: str, change: dict, code: str):
    answer = api.post(path, json={**CALL, **change})
    assert answer.status_code == 422
    assert answer.json()["error"].startswith(code) and answer.json()["detail"]


def test_models_and_options_are_listed_and_a_choice_is_the_callers_own(api: httpx.Client, engine: FakeEngine):
    name = engine.checkpoints[0].name
    assert [model["model_name"] for model in api.get("/sd-models").json()] == [name]
    assert api.get("/options").json() == {"sd_model_checkpoint": name}
    mine = {"authorization": "Bearer " + "m" * 24}
    api.post("/options", json={"sd_model_checkpoint": "other [0123456789]"}, headers=mine)
    assert api.get("/options", headers=mine).json() == {"sd_model_checkpoint": "other"}
    assert api.get("/options").json() == {"sd_model_checkpoint": name}
    assert "Euler a" in [sampler["name"] for sampler in api.get("/samplers").json()]


def test_progress_is_of_the_own_job_and_interrupt_ends_it(api: httpx.Client, engine: FakeEngine):
    assert api.get("/progress").json()["progress"] == 0
    engine.gate = threading.Event()
    before = len(engine.submitted)
    sender = threading.Thread(target=lambda: api.post("/txt2img", json={**CALL, "steps": 50}))
    sender.start()
    try:
        wait_until(lambda: len(engine.submitted) > before)
        stranger = {"authorization": "Bearer " + "s" * 24}
        api.post("/interrupt", headers=stranger)
        assert api.get("/progress", headers=stranger).json()["state"]["job_count"] == 0
        assert api.get("/progress").json()["state"]["job_count"] == 1
        api.post("/interrupt")
        sender.join(10)
        assert engine.submitted[-1].state == "cancelled"
    finally:
        engine.gate = None


def test_the_hires_fix_is_asked_for_as_in_a1111(api: httpx.Client, engine: FakeEngine):
    hires = {"enable_hr": True, "denoising_strength": 0.7, "hr_upscaler": "Latent (nearest)", "hr_prompt": "a ship"}
    answer = api.post("/txt2img", json={**CALL, **hires, "hr_sampler_name": "Euler a"}).json()
    request = engine.submitted[-1].request
    assert isinstance(request, TextToImage)
    assert (request.hires_factor, request.hires_strength, request.hires_upscaler) == (2, 0.7, "latent")
    assert (request.hires_prompt, request.hires_sampler) == ("a ship", "Euler a")
    assert json.loads(answer["info"])["ignored"] == []
    api.post("/txt2img", json={**CALL, "denoising_strength": 0.7, "hr_scale": 3})
    request = engine.submitted[-1].request
    assert isinstance(request, TextToImage) and not request.is_drawn_on


def test_the_loopback_script_is_rounds_and_other_scripts_are_told(api: httpx.Client, engine: FakeEngine):
    call = {**CALL, "steps": 20, "init_images": [picture()], "script_args": [4, 0.3, "Lazy", "None"]}
    answer = api.post("/img2img", json={**call, "script_name": "Loopback"}).json()
    request = engine.submitted[-1].request
    assert isinstance(request, ImageToImage) and json.loads(answer["info"])["ignored"] == []
    assert (request.rounds, request.final_strength, request.strength_curve) == (4, 0.3, "lazy")
    answer = api.post("/img2img", json={**call, "script_name": "Outpainting mk2"}).json()
    assert json.loads(answer["info"])["ignored"] == ["script_args", "script_name"]
    refused = api.post("/img2img", json={**call, "script_name": "loopback", "script_args": [99]})
    assert refused.status_code == 422 and refused.json()["error"].startswith("E-ROUNDS")


UNIT = {
    "enabled": True, "module": "canny", "model": "outline [0123abcd]", "weight": 0.8, "threshold_a": 60,
    "threshold_b": 120, "guidance_end": 0.7, "control_mode": 2, "resize_mode": "Just Resize", "pixel_perfect": True,
}  # fmt: skip


def control(*units: dict) -> dict:
    return {"alwayson_scripts": {"ControlNet": {"args": list(units)}}}


def test_the_units_of_the_extension_are_followed(api: httpx.Client, engine: FakeEngine):
    off = {**UNIT, "enabled": False}
    answer = api.post("/txt2img", json={**CALL, **control({**UNIT, "image": {"image": picture()}}, off)}).json()
    request = engine.submitted[-1].request
    assert isinstance(request, ControlNet) and json.loads(answer["info"])["ignored"] == []
    (unit,) = request.units
    assert unit.picture and (unit.preprocessor, unit.control, unit.weight) == ("canny", "outline", 0.8)
    assert (unit.low_threshold, unit.high_threshold, unit.end) == (60, 120, 0.7)
    assert (unit.mode, unit.resize_mode, unit.pixel_perfect) == ("control", "stretch", True)
    refused = api.post("/txt2img", json={**CALL, **control(UNIT)})
    assert (refused.status_code, refused.json()["error"]) == (422, "E-IMAGE")


def test_beside_a_picture_units_without_one_follow_that(api: httpx.Client, engine: FakeEngine):
    units = control({**UNIT, "module": "dw_openpose_full"})
    answer = api.post("/img2img", json={**CALL, **units, "steps": 20, "init_images": [picture()]}).json()
    request = engine.submitted[-1].request
    assert isinstance(request, ImageToImage) and [unit.picture for unit in request.units] == [None]
    assert json.loads(answer["info"])["notes"] == [
        "The preprocessor 'dw_openpose_full' is not known here; its picture was taken as it is."
    ]


@pytest.mark.parametrize("asked", [[True, 1, 0.5], [{"Soft inpainting": True}]])
def test_soft_inpainting_is_a_soft_mask_and_other_extensions_are_told(api, engine, asked):
    scripts = {"alwayson_scripts": {"Soft Inpainting": {"args": asked}, "ADetailer": {"args": [True]}}}
    answer = api.post("/img2img", json={**CALL, **scripts, "init_images": [picture()], "mask": picture()}).json()
    request = engine.submitted[-1].request
    assert isinstance(request, Inpaint) and request.soft_mask
    assert json.loads(answer["info"])["ignored"] == ["alwayson_scripts.ADetailer"]


def test_the_upscale_script_draws_the_larger_picture_anew(api: httpx.Client, engine: FakeEngine):
    call = {**CALL, "init_images": [picture()], "width": 256, "height": 256, "denoising_strength": 0.5}
    answer = api.post("/img2img", json={**call, "script_name": "SD upscale", "script_args": [None, 64, "None", 3]})
    request = engine.submitted[-1].request
    assert isinstance(request, Upscale) and json.loads(answer.json()["info"])["ignored"] == []
    assert (request.factor, request.upscaler, request.redraw_strength) == (3, "lanczos", 0.5)
    assert (request.redraw_tile, request.redraw_overlap, request.prompt) == (256, 0.25, CALL["prompt"])


def test_png_info_tells_the_texts_of_a_picture(api: httpx.Client):
    file, texts = io.BytesIO(), PngInfo()
    texts.add_text("parameters", "a boat\nNegative prompt: fog\nSteps: 2, Sampler: Euler a, Seed: 7")
    texts.add_text("Comment", "mine")
    Image.new("RGB", (64, 64)).save(file, "PNG", pnginfo=texts)
    image = base64.b64encode(file.getvalue()).decode()
    told = api.post("/png-info", json={"image": f"data:image/png;base64,{image}"}).json()
    assert told["info"].startswith("a boat\n") and told["items"] == {"Comment": "mine"}
    words = {"Prompt": "a boat", "Negative prompt": "fog"}
    assert told["parameters"] == {**words, "Steps": "2", "Sampler": "Euler a", "Seed": "7"}
    assert api.post("/png-info", json={"image": picture()}).json() == {"info": "", "items": {}, "parameters": {}}
    for wrong in ("no base64", base64.b64encode(b"text").decode(), None):
        assert api.post("/png-info", json={"image": wrong}).status_code == 422


def test_a_sampler_that_is_not_here_is_refused_and_a_near_one_told(api: httpx.Client, engine: FakeEngine):
    for name in ("sampler_name", "hr_sampler_name"):
        refused = api.post("/txt2img", json={**CALL, "enable_hr": True, name: "nothing like it"})
        assert (refused.status_code, refused.json()["error"]) == (422, "E-SCHEDULER")
    near = api.post("/txt2img", json={**CALL, "sampler_name": "DPM++ 2M SDE Heun"}).json()
    assert "comes nearest" in json.loads(near["info"])["notes"][0]
    hires = api.post("/txt2img", json={**CALL, "enable_hr": True, "hr_sampler_name": "DPM++ 2M SDE Heun Karras"}).json()
    assert [note.split()[1] for note in json.loads(hires["info"])["notes"]] == ["sampler", "schedule"]
    unknown = api.post("/txt2img", json={**CALL, "sampler_name": "Euler", "scheduler": "nothing like it"}).json()
    assert "is not known here" in json.loads(unknown["info"])["notes"][0]
    assert api.post("/txt2img", json={**CALL, "scheduler": 5}).json()["error"] == "E-SCHEDULER"
    api.post("/txt2img", json={"prompt": "a boat", "steps": 2, "scheduler": "Karras"})
    request = engine.submitted[-1].request
    assert isinstance(request, TextToImage) and request.schedule == "karras"


def test_what_is_not_read_is_named(api: httpx.Client):
    settings = {"sd_vae": "none.pt", "CLIP_stop_at_last_layers": 2}
    call = {**CALL, "init_images": [picture(), picture()], "override_settings": settings}
    ignored = json.loads(api.post("/img2img", json=call).json()["info"])["ignored"]
    assert ignored == ["init_images after the first", "override_settings.sd_vae"]


def test_of_many_owners_choices_the_latest_are_kept(api: httpx.Client, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(http_a1111, "OWNERS", 2)
    one, two, three = ({"authorization": f"Bearer {name * 24}"} for name in "uvw")
    for owner in (one, two, one, three):
        api.post("/options", json={"sd_model_checkpoint": "chosen"}, headers=owner)
    kept = [api.get("/options", headers=owner).json()["sd_model_checkpoint"] == "chosen" for owner in (one, two, three)]
    assert kept == [True, False, True]


def test_progress_and_interrupt_mean_the_job_that_runs(api: httpx.Client, engine: FakeEngine):
    engine.gate = threading.Event()
    mine = {"authorization": "Bearer " + "q" * 24}
    owner = owner_of(HTTPConnection({"type": "http", "headers": [(b"authorization", mine["authorization"].encode())]}))
    waiting, running = (engine.submit(TextToImage(prompt="a boat", steps=2), owner=owner) for _ in range(2))
    try:
        wait_until(lambda: waiting.state == running.state == "running")
        waiting.started = None
        api.post("/interrupt", headers=mine)
        wait_until(lambda: running.state == "cancelled")
        assert waiting.state == "queued"
    finally:
        waiting.cancel()
        engine.gate.set()
        engine.gate = None


@pytest.mark.parametrize("body", [b'{"s_tmax": Infinity}', b'{"s_tmax": 1e999}', b'{"s_tmax": NaN}'])
def test_numbers_that_are_none_are_refused(api: httpx.Client, body: bytes):
    assert api.post("/txt2img", content=body).json()["error"] == "E-API-ARGS"


def test_half_a_character_is_given_back_as_it_came(api: httpx.Client):
    body = json.dumps({**CALL, "comments": "\ud83d"}).encode()
    answer = api.post("/txt2img", content=body)
    assert (answer.status_code, answer.json()["parameters"]["comments"]) == (200, "\ud83d")


@pytest.mark.parametrize("path", ["progress", "options", "sd-models"])
def test_other_sites_pages_read_nothing(api: httpx.Client, path: str):
    foreign = api.get(f"/{path}", headers={"origin": "https://elsewhere.example"})
    assert (foreign.status_code, foreign.json()["error"]) == (403, "E-ORIGIN")
    rebound = api.get(f"/{path}", headers={"host": "elsewhere.example"})
    assert rebound.json()["error"] == "E-ORIGIN"
