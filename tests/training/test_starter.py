"""The model that ships: what its folder holds and that it draws what it is asked."""

import pytest
import torch
from safetensors.torch import load_file
from transformers import CLIPTokenizer

from training.evaluate import STARTER, draw, open_model, questions, score
from training.judge import accuracy, load_judge


@pytest.fixture(scope="module")
def pipeline():
    return open_model(STARTER)


def test_the_folder_is_small_and_all_its_weights_are_finite_float16_numbers():
    files = [path for path in STARTER.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 60e6
    for path in files:
        if path.suffix == ".safetensors":
            weights = load_file(path)
            assert all(tensor.dtype == torch.float16 for tensor in weights.values() if tensor.is_floating_point())
            assert all(tensor.isfinite().all() for tensor in weights.values()), path


@pytest.mark.parametrize("text", ["a red house", "", "masterpiece, 8k", "红色的房子", "🎨🏠", "Ünïcödé naïve"])
def test_any_text_tokenises_without_unknown_tokens_and_comes_back(text):
    tokenizer = CLIPTokenizer.from_pretrained(STARTER / "tokenizer")
    tokens = tokenizer(text).input_ids
    assert tokens[0] == tokenizer.bos_token_id
    assert tokens.count(tokenizer.eos_token_id) == 1
    assert tokenizer.decode(tokens, skip_special_tokens=True).replace(" ", "") == text.lower().replace(" ", "")


def test_the_judge_knows_painted_pictures():
    found = accuracy(load_judge(), 128, pictures=100)
    assert found["object"] > 0.93
    assert found["colour"] > 0.93
    assert found["sky"] > 0.97
    assert found["ground"] > 0.97


def test_it_draws_what_it_is_asked_at_least_as_well_as_its_card_says(pipeline):
    """Floors under the card's figures, wide enough for 24 pictures; the goal is 92 % on 300."""
    asked = questions(16, 8)
    verdicts = load_judge().look(draw(pipeline, [question.prompt for question in asked]))
    found = score(asked, verdicts)
    assert found["object"] >= 0.85
    assert found["colour"] >= 0.8
    assert found["sky"] >= 0.9
    assert found["ground"] >= 0.9


def test_a_negative_prompt_changes_the_picture(pipeline):
    def picture(negative: str):
        generator = torch.Generator().manual_seed(1)
        latents = pipeline(
            "a house", negative_prompt=negative, num_inference_steps=4, generator=generator, output_type="latent"
        )
        return latents.images

    assert not torch.allclose(picture(""), picture("red"), atol=0.05)
