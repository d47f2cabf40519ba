"""Several waiting jobs drawn as one batch: each has the picture that it would have alone."""

import numpy as np
import pytest
from PIL import Image

from pipelines import together
from pipelines.engine import policy
from pipelines.engine.batches import Batches
from pipelines.engine.catalog import STARTER, Catalog
from pipelines.engine.conditioning import Conditioner
from pipelines.engine.context import Context
from pipelines.engine.errors import Cancelled
from pipelines.engine.jobs import Finished, Progress, Saved, Stopped
from pipelines.engine.manager import PipelineManager
from pipelines.runners import RUNNERS, TOGETHER
from presets.gallery import Gallery
from presets.inputs import Inputs
from presets.metadata import read_request
from presets.references import StyleReference
from presets.requests import TextToImage
from presets.samplers import SAMPLERS
from presets.settings import Settings

PROMPTS = ("a red house", "a blue boat at night", "a green tree on a hill")
LONG = ", ".join(["a red house by the sea"] * 20)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    settings = Settings(home=tmp_path_factory.mktemp("home"), device="cpu", threads=1)
    decided = policy.decide(policy.detect(settings), settings)
    return PipelineManager(Catalog((), STARTER), decided, settings), decided


class Jobs:
    """As many jobs as requests, with the events of each; those of `cancelled` are cancelled after their first step."""

    def __init__(self, models, folder, requests, cancelled=()):
        self.requests = requests
        self.events = [[] for _ in requests]
        parts = (*models, Conditioner(), Gallery(folder), Inputs(folder))
        self.contexts = [self._context(parts, number, number in cancelled) for number in range(len(requests))]

    def _context(self, parts, number, is_cancelled):
        events = self.events[number]
        return Context(
            *parts, events.append, lambda: is_cancelled and any(isinstance(event, Progress) for event in events)
        )

    def saved(self, number):
        (event,) = (event for event in self.events[number] if isinstance(event, Saved))
        return event


def requests_of(*prompts, **values):
    return [
        TextToImage(**{"prompt": prompt, "steps": 3, "seed": seed} | values).resolved("", (128, 128))
        for seed, prompt in enumerate(prompts)
    ]


def pixels(saved):
    with Image.open(saved.path) as image:
        return np.asarray(image, dtype=int)


def alone(models, folder, request):
    jobs = Jobs(models, folder, [request])
    RUNNERS[TextToImage](request, jobs.contexts[0])
    return jobs.saved(0)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_each_picture_is_the_one_that_its_request_makes_alone(models, tmp_path, sampler):
    jobs = Jobs(models, tmp_path, requests_of(*PROMPTS, sampler=sampler))
    assert TOGETHER[TextToImage](jobs.requests, jobs.contexts, None)
    for number, request in enumerate(jobs.requests):
        difference = pixels(jobs.saved(number)) - pixels(alone(models, tmp_path, request))
        assert np.abs(difference).max() <= together.LARGEST_DIFFERENCE
        assert isinstance(jobs.events[number][-1], Finished)


@pytest.mark.parametrize(
    "values", [{"guidance_scale": 1.0}, {"guidance_end": 0.5}, {"clip_skip": 2}, {"token_merging": 0.3}]
)
def test_other_ways_of_drawing_are_the_same_together(models, tmp_path, values):
    jobs = Jobs(models, tmp_path, requests_of(*PROMPTS[:2], **values))
    assert TOGETHER[TextToImage](jobs.requests, jobs.contexts, None)
    difference = pixels(jobs.saved(1)) - pixels(alone(models, tmp_path, jobs.requests[1]))
    assert np.abs(difference).max() <= together.LARGEST_DIFFERENCE


def test_each_job_hears_of_its_own_steps_and_sees_its_own_preview(models, tmp_path):
    jobs = Jobs(models, tmp_path, requests_of(*PROMPTS[:2]))
    TOGETHER[TextToImage](jobs.requests, jobs.contexts, None)
    steps = [[event for event in events if isinstance(event, Progress)] for events in jobs.events]
    assert [[event.step for event in own] for own in steps] == [[1, 2, 3]] * 2
    assert steps[0][0].preview and steps[0][0].preview != steps[1][0].preview


def test_what_a_picture_cost_is_its_share_and_its_file_tells_of_the_batch(models, tmp_path):
    jobs = Jobs(models, tmp_path, requests_of(*PROMPTS))
    TOGETHER[TextToImage](jobs.requests, jobs.contexts, None)
    first, second = (read_request(jobs.saved(number).path).record for number in (0, 1))
    assert first["batch"] == second["batch"] == 3
    assert first["timings"]["denoise"] == second["timings"]["denoise"] > 0
    assert second["timings"]["load"] == 0


def test_who_is_cancelled_is_told_at_once_and_the_others_have_their_pictures(models, tmp_path):
    jobs = Jobs(models, tmp_path, requests_of(*PROMPTS), cancelled={1})
    assert TOGETHER[TextToImage](jobs.requests, jobs.contexts, None)
    assert sum(isinstance(event, Progress) for event in jobs.events[1]) == 1
    assert isinstance(jobs.events[1][-1], Stopped)
    assert np.abs(pixels(jobs.saved(2)) - pixels(alone(models, tmp_path, jobs.requests[2]))).max() <= 1


def test_where_all_are_cancelled_nothing_more_is_drawn(models, tmp_path):
    jobs = Jobs(models, tmp_path, requests_of(*PROMPTS[:2]), cancelled={0, 1})
    with pytest.raises(Cancelled):
        TOGETHER[TextToImage](jobs.requests, jobs.contexts, None)
    assert [isinstance(events[-1], Stopped) for events in jobs.events] == [True, True]


def test_words_of_another_length_are_left_to_be_drawn_alone(models, tmp_path):
    jobs = Jobs(models, tmp_path, requests_of(PROMPTS[0], LONG, PROMPTS[1]))
    assert TOGETHER[TextToImage](jobs.requests, jobs.contexts, None)
    assert not any(isinstance(event, Saved | Finished | Stopped) for event in jobs.events[1])
    assert jobs.saved(0) and jobs.saved(2)


def test_a_trial_compares_with_the_first_and_saves_the_others(models, tmp_path, monkeypatch):
    jobs = Jobs(models, tmp_path, requests_of(*PROMPTS))
    proof = alone(models, tmp_path, jobs.requests[0])
    monkeypatch.setattr(together, "MOST_SECONDS", 1e9)
    assert TOGETHER[TextToImage](jobs.requests, jobs.contexts, proof)
    assert jobs.saved(1) and jobs.saved(2) and not jobs.events[0]


def test_a_trial_that_takes_as_long_or_gives_another_picture_saves_nothing(models, tmp_path, monkeypatch):
    jobs = Jobs(models, tmp_path, requests_of(*PROMPTS))
    proof = alone(models, tmp_path, jobs.requests[0])
    assert not TOGETHER[TextToImage](
        jobs.requests, jobs.contexts, proof.model_copy(update={"timings": {"denoise": 0.0}})
    )
    monkeypatch.setattr(together, "MOST_SECONDS", 1e9)
    other = alone(models, tmp_path, jobs.requests[1])
    assert not TOGETHER[TextToImage](jobs.requests, jobs.contexts, other)
    assert not any(isinstance(event, Saved) for events in jobs.events for event in events)


def test_only_requests_alike_but_for_words_and_seeds_have_the_same_key():
    house, boat = requests_of(*PROMPTS[:2])
    assert house.batch_key == boat.batch_key is not None
    for change in ({"steps": 4}, {"sampler": "Euler"}, {"width": 64}, {"guidance_scale": 2.0}, {"vae": "x"}):
        assert house.batch_key != boat.model_copy(update=change).batch_key
    inked = [request.model_copy(update={"prompt": f"{request.prompt} <lora:ink:1>"}) for request in (house, boat)]
    assert inked[0].batch_key == inked[1].batch_key != house.batch_key


DRAWN_TOGETHER = {
    *(
        "kind",
        "prompt",
        "negative_prompt",
        "styles",
        "checkpoint",
        "steps",
        "width",
        "height",
        "seed",
        "guidance_scale",
    ),
    *("guidance_end", "token_merging", "sampler", "schedule", "clip_skip", "vae", "loras"),
}
"""Fields that drawing together knows how to follow."""
ALONE = {"count": 2, "hires_factor": 2.0, "step_cache": 0.2, "references": (StyleReference(),), "motion_module": "sway"}
"""Those that it does not, by a value that has an effect."""
OF_HIRES = {name for name in TextToImage.model_fields if name.startswith("hires_")}
OF_ANIMATIONS = {"motion_module", "frames", "fps"}


def test_every_field_is_followed_together_or_has_its_requests_drawn_alone():
    assert set(TextToImage.model_fields) == DRAWN_TOGETHER | set(ALONE) | OF_HIRES | OF_ANIMATIONS
    (house,) = requests_of(PROMPTS[0])
    for name, value in ALONE.items():
        assert house.model_copy(update={name: value}).batch_key is None, name


def test_requests_are_drawn_at_once_until_a_trial_shows_that_it_does_not_pay():
    batches, (house,) = Batches(4), requests_of(PROMPTS[0])
    assert batches.number_for(house) == 4 and not batches.is_tried(house, 3)
    batches.note(house, 3, pays=True)
    assert batches.number_for(house) == 4 and batches.is_tried(house, 3)
    batches.note(house, 4, pays=False)
    assert batches.number_for(house) == 1
    assert batches.number_for(house.model_copy(update={"width": 64})) == 4
    assert Batches(1).number_for(house) == 1
