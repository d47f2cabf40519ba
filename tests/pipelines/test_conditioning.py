"""Prompts as embeddings."""

import pytest
import torch

from pipelines.engine.conditioning import Conditioner, _emphasised
from tests.checkpoints import tiny_sdxl

PROMPT = "a red house by the sea at sunset"


@pytest.fixture(scope="module")
def sdxl():
    pipe = tiny_sdxl()
    for name in ("text_encoder", "text_encoder_2"):
        encoder = getattr(pipe, name)
        encoder.config.num_hidden_layers = 4
        setattr(pipe, name, type(encoder)(encoder.config).eval())
    return pipe


def encode(pipe, prompt, negative="", clip_skip=1):
    return Conditioner().encode(pipe, prompt, negative, clip_skip)


@pytest.fixture
def calls(starter_pipe):
    """Grows by one with each call of the text encoder."""
    seen = []
    hook = starter_pipe.text_encoder.register_forward_hook(lambda *_: seen.append(1))
    yield seen
    hook.remove()


def test_a_plain_prompt_is_encoded_as_diffusers_does(starter_pipe):
    ours = encode(starter_pipe, PROMPT, "blue")
    prompt, negative = starter_pipe.encode_prompt(PROMPT, "cpu", 1, True, "blue")
    assert torch.equal(ours.prompt, prompt)
    assert torch.equal(ours.negative, negative)


def test_a_plain_prompt_is_encoded_for_sdxl_as_diffusers_does(sdxl):
    ours = encode(sdxl, PROMPT, "blue")
    theirs = sdxl.encode_prompt(PROMPT, device="cpu", negative_prompt="blue")
    assert all(
        torch.equal(a, b)
        for a, b in zip((ours.prompt, ours.negative, ours.pooled, ours.negative_pooled), theirs, strict=True)
    )


def test_sdxl_reads_nothing_where_the_negative_prompt_is_empty(sdxl):
    ours = encode(sdxl, PROMPT)
    assert not ours.negative.any() and not ours.negative_pooled.any()


def test_clip_skip_reads_earlier_layers_under_the_final_norm(starter_pipe):
    encoder, tokenizer = starter_pipe.text_encoder, starter_pipe.tokenizer
    ids = tokenizer(PROMPT, padding="max_length", max_length=77, return_tensors="pt").input_ids
    states = encoder(ids, output_hidden_states=True).hidden_states
    norm = getattr(encoder, "text_model", encoder).final_layer_norm
    assert torch.equal(encode(starter_pipe, PROMPT, clip_skip=2).prompt, norm(states[-2]))
    assert torch.equal(encode(starter_pipe, PROMPT, clip_skip=12).prompt, norm(states[1]))


def test_clip_skip_for_sdxl_counts_from_the_last_layer_but_one(sdxl):
    theirs = sdxl.encode_prompt(PROMPT, device="cpu", negative_prompt="", clip_skip=1)[0]
    assert torch.equal(encode(sdxl, PROMPT, clip_skip=2).prompt, theirs)


def test_a_weight_of_one_changes_nothing(starter_pipe):
    assert torch.equal(encode(starter_pipe, "a (red:1.0) house").prompt, encode(starter_pipe, "a red house").prompt)


def test_weights_multiply_the_states_and_the_mean_stays(starter_pipe):
    plain, weighted = (encode(starter_pipe, text).prompt[0] for text in ("a red house", "a (red:1.5) house"))
    first = len(starter_pipe.tokenizer("a", add_special_tokens=False).input_ids) + 1
    last = first + len(starter_pipe.tokenizer("red", add_special_tokens=False).input_ids)
    expected = plain.clone()
    expected[first:last] *= 1.5
    if plain.mean().abs() > 0.02 * plain.std():
        expected *= plain.mean() / expected.mean()
    torch.testing.assert_close(weighted, expected, rtol=1e-3, atol=1e-4)


def test_emphasis_restores_the_mean_of_each_chunk():
    states = (
        torch.randn(2, 77, 64, generator=torch.Generator().manual_seed(1)) + torch.tensor([0.5, -1.0])[:, None, None]
    )
    weights = torch.ones(2, 77)
    weights[:, 3:6] = 2.0
    emphasised = _emphasised(states, weights)
    torch.testing.assert_close(emphasised.mean(dim=(1, 2)), states.mean(dim=(1, 2)))
    torch.testing.assert_close(emphasised[0, 3] / emphasised[0, 9], 2 * states[0, 3] / states[0, 9])


def test_a_long_prompt_loses_nothing(starter_pipe):
    words = ["house", "sea", "red", "tree"] * 75
    ours, other = (encode(starter_pipe, " ".join([*words, last])).prompt for last in ("boat", "castle"))
    assert ours.shape[1] % 77 == 0 and ours.shape[1] >= 4 * 77
    assert torch.equal(ours[:, :77], other[:, :77])
    assert not torch.equal(ours[:, -77:], other[:, -77:])


def test_break_starts_a_chunk_of_its_own(starter_pipe):
    both = encode(starter_pipe, "a red house BREAK the sea").prompt
    torch.testing.assert_close(both[:, 77:], encode(starter_pipe, "the sea").prompt)


@pytest.mark.parametrize(
    ("prompt", "negative"), [("a house", "a tree BREAK a boat"), ("a tree BREAK a boat", "a house")]
)
def test_the_shorter_of_both_prompts_is_filled_with_empty_chunks(starter_pipe, prompt, negative):
    ours = encode(starter_pipe, prompt, negative)
    assert ours.prompt.shape == ours.negative.shape
    shorter = ours.prompt if prompt == "a house" else ours.negative
    torch.testing.assert_close(shorter[:, 77:], encode(starter_pipe, "").prompt)


def test_without_guidance_the_negative_prompt_is_not_encoded(starter_pipe, calls):
    assert encode(starter_pipe, PROMPT, None).negative is None
    assert len(calls) == 1


def test_a_prompt_seen_before_costs_nothing(starter_pipe, calls):
    conditioner = Conditioner()
    first, second = (conditioner.encode(starter_pipe, PROMPT, "blue") for _ in range(2))
    assert len(calls) == 2
    assert torch.equal(first.prompt, second.prompt)


def test_other_adapters_encode_anew(starter_pipe, calls):
    conditioner = Conditioner()
    for version in ((), ("ink", 0.5)):
        conditioner.encode(starter_pipe, PROMPT, None, version=version)
    assert len(calls) == 2


def test_only_the_last_prompts_are_remembered(starter_pipe, calls):
    conditioner = Conditioner(remembered=2)
    for prompt in ("a", "b", "c", "a"):
        conditioner.encode(starter_pipe, prompt, None)
    assert len(calls) == 4
