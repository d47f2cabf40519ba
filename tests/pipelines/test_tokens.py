"""Counting tokens as the text encoder will see them."""

import subprocess
import sys
from pathlib import Path

import pytest

from pipelines.engine.errors import ModelCorrupt
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
    with pytest.raises(ModelCorrupt, match="neither"):
        TokenCounter(tmp_path)


@pytest.mark.parametrize(
    "files",
    [
        {"tokenizer.json": b"{"},
        {"tokenizer.json": b"7"},
        {"tokenizer.json": b"{}"},
        {"tokenizer.json": b"\xff"},
        {"vocab.json": b"\xff", "merges.txt": b""},
        {"vocab.json": b"[]", "merges.txt": b""},
        {"vocab.json": b'{"a": 0}', "merges.txt": b"x y"},
        {"vocab.json": b'{"a": 0}', "merges.txt": b""},
    ],
)
def test_a_broken_tokenizer_is_a_corrupt_model(tmp_path, files):
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    with pytest.raises(ModelCorrupt) as caught:
        TokenCounter(tmp_path)
    assert caught.value.code == "E-MODEL-CORRUPT"


@pytest.mark.parametrize("config", [b"{", b"[]", b"\xff", b'{"model_max_length": "x"}'])
def test_a_broken_length_is_clips(tmp_path, config):
    for name in ("vocab.json", "merges.txt"):
        (tmp_path / name).symlink_to(CLIP / name)
    (tmp_path / "tokenizer_config.json").write_bytes(config)
    assert TokenCounter(tmp_path).count("").chunk_size == 75


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
