"""The starter's ControlNet: that it follows outlines, and that training makes one."""

import argparse

import numpy as np
import pytest
import torch
from diffusers import ControlNetModel
from safetensors.torch import load_file

from training.evaluate import STARTER
from training.evaluate_controlnet import CONTROL, evaluate, is_there, questions
from training.frame_judge import load_frame_judge, train_frame_judge
from training.make_controlnet import make_controlnet
from training.outlines import Staged, outline_of, outlines, staged, tells_place
from training.painter import usual_frame
from training.recipe import SMALLEST


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("controlnet")
    options = argparse.Namespace(
        smallest=True, steps=2, scenes=4, run=folder / "run", output=folder / "out", starter=STARTER,
        continue_from=None, export_only=False, no_compile=True,
    )  # fmt: skip
    make_controlnet(SMALLEST, options)
    return options


def test_things_are_drawn_where_their_outlines_are_and_not_without():
    """A dozen of the hundred cases of `python -m training.evaluate_controlnet`, whose figures are on the card."""
    torch.set_num_threads(1)
    report, _ = evaluate(CONTROL, number=12)
    assert report["with control"] >= 0.85
    assert report["without control"] <= 0.3
    assert report["colour with control"] >= 0.75


def test_the_measure_believes_painted_pictures_and_no_others():
    judge, asked = load_frame_judge(), questions(24)
    there = [is_there(judge, question.stage.picture(128), question.stage) for question in asked]
    usual = [
        Staged(stage.scene, (usual_frame(stage.scene, stage.scene.things[0]),), stage.seed)
        for stage in (question.stage for question in asked)
    ]
    elsewhere = [
        is_there(judge, other.picture(128), question.stage) for other, question in zip(usual, asked, strict=True)
    ]
    assert sum(there) >= 23
    assert sum(elsewhere) <= 4


def test_the_judge_of_frames_can_be_made_anew(capsys):
    judge = train_frame_judge(steps=2, batch=4)
    assert judge.look(questions(1)[0].stage.picture(64), (0.1, 0.1, 0.9, 0.9)).colour
    assert "frame judge step 0/2" in capsys.readouterr().out


def test_no_question_tells_the_place():
    assert not any(tells_place(question.prompt) for question in questions())


def test_an_outline_is_white_on_black_and_always_the_same():
    lines = np.asarray(outline_of(staged(3), 128))
    assert set(np.unique(lines)) == {0, 255}
    assert 0.01 < (lines > 0).mean() < 0.2
    assert np.array_equal(outlines(staged(3), 128), outlines(staged(3), 128))


def test_training_makes_a_controlnet_that_begins_silent_and_can_go_on(made):
    control = ControlNetModel.from_pretrained(made.output)
    assert control.config.block_out_channels == [64, 128, 192]
    before = load_file(made.output / "diffusion_pytorch_model.safetensors")
    made.steps = 4
    make_controlnet(SMALLEST, made)
    after = load_file(made.output / "diffusion_pytorch_model.safetensors")
    assert before.keys() == after.keys()
    assert any(not torch.equal(before[name], after[name]) for name in before)
