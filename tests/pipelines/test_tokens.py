"""Counting tokens as the text encoder will see them."""

import subprocess
import sys
from pathlib import Path

import pytest

from pipelines.engine.tokens import TokenCounter, chunked

ENGINE = Path(__file__).parents[2] / "pipelines" / "engine"
CLIP = ENGINE / "configs" / "clip"
STARTER = ENGINE / "starter" / "tokenizer"
COMMA = 7


@pytest.fixture(scope="module")
def counter():
    return TokenCounter(CLIP)


@pytest.mark.parametrize("folder", [CLIP, STARTER], ids=["clip", "starter"])
def test_counts_are_those_of_the_clip_tokenizer(folder):
    from transformers import CLIPTokenizer

    reference, counter = CLIPTokenizer.from_pretrained(folder), TokenCounter(folder)
    texts = [
        "",
        "A red house",
        "don't  \n stop!!",
        "日本の家",
        "🏠🌊 emoji",
        "ÄÖÜ café ﬁ",
        "1234 a1b2",
        "a, b,,c",
        "x" * 300,
    ]
    for text in texts:
        expected = len(reference(text, add_special_tokens=False, truncation=False).input_ids)
        assert counter.count(text).tokens == expected, text


def test_syntax_does_not_count(counter):
    plain = counter.count("a red house").tokens
    assert counter.count("a (red:1.3) [house] <lora:ink:0.5>").tokens == plain


def test_chunks_are_counted_with_break(counter):
    assert counter.count("a house BREAK a boat").chunks == 2
    assert counter.count("").chunks == 1
    assert counter.count("house " * 76).chunks == 2


def test_a_prompt_with_a_refused_weight_still_counts(counter):
    assert counter.count("(a:nan)").tokens > 1


def test_a_folder_without_a_tokenizer_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=str(tmp_path)):
        TokenCounter(tmp_path)


def test_counting_loads_neither_torch_nor_transformers():
    code = "import sys, pipelines.engine.tokens; sys.exit(bool({'torch', 'transformers'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], cwd=ENGINE.parents[1], check=False).returncode == 0


def tokens(*numbers):
    return [(number, 1.0) for number in numbers]


def test_a_chunk_ends_at_a_comma_nearby():
    content = tokens(*[1] * 60, COMMA, *[2] * 20)
    assert [len(chunk) for chunk in chunked([content], 75, COMMA)] == [61, 20]


def test_a_comma_too_far_back_does_not_end_a_chunk():
    content = tokens(*[1] * 50, COMMA, *[2] * 30)
    assert [len(chunk) for chunk in chunked([content], 75, COMMA)] == [75, 6]


def test_chunks_lose_nothing():
    content = tokens(*[number % 23 for number in range(1000)])
    assert sum(chunked([content], 75, COMMA), []) == content
