import pytest
import torch
from safetensors.torch import save_file

from pipelines.engine.catalog import Catalog
from pipelines.engine.conditioning import Conditioner
from pipelines.engine.embeddings import Embeddings
from pipelines.engine.errors import EmbeddingRefused
from tests.checkpoints import tiny_sd1, tiny_sdxl


@pytest.fixture(scope="module")
def sd1():
    return tiny_sd1().to(torch.float32)


@pytest.fixture(scope="module")
def sdxl():
    return tiny_sdxl().to(torch.float32)


@pytest.fixture
def conditioner(tmp_path):
    return Conditioner(embeddings=Embeddings(Catalog((tmp_path,))))


def write(root, name, **tensors):
    path = root / "embeddings" / f"{name}.safetensors"
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, path)
    return path


def rows(encoder, tokenizer, words):
    """What the encoder's own table has for `words`."""
    tokens = tokenizer(words, add_special_tokens=False).input_ids
    return encoder.get_input_embeddings().weight[tokens].clone()


def encoded(conditioner, pipe, prompt):
    return conditioner.encode(pipe, prompt, None).prompt


def test_a_word_of_ones_own_is_read_as_its_vectors(tmp_path, sd1, conditioner):
    write(tmp_path, "style/My-Word", emb_params=rows(sd1.text_encoder, sd1.tokenizer, "red house"))
    ours = encoded(conditioner, sd1, "a (my-word:1.2) by the sea")
    assert ours.equal(encoded(conditioner, sd1, "a (red house:1.2) by the sea"))
    assert not ours.equal(encoded(Conditioner(), sd1, "a (my-word:1.2) by the sea"))


def test_both_encoders_of_sdxl_read_their_own_vectors(tmp_path, sdxl, conditioner):
    first = rows(sdxl.text_encoder, sdxl.tokenizer, "red house")
    second = rows(sdxl.text_encoder_2, sdxl.tokenizer_2, "red house")
    write(tmp_path, "word", clip_l=first, clip_g=second)
    ours, plain = (conditioner.encode(sdxl, prompt, None) for prompt in ("a word", "a red house"))
    assert ours.prompt.equal(plain.prompt) and ours.pooled.equal(plain.pooled)


def test_encoders_are_as_before_afterwards(tmp_path, sd1, conditioner):
    before = encoded(Conditioner(), sd1, "a word")
    path = write(tmp_path, "word", emb_params=torch.ones(2, 64))
    changed = encoded(conditioner, sd1, "a word")
    assert not changed.equal(before)
    assert encoded(Conditioner(), sd1, "a word").equal(before)
    path.unlink()
    assert encoded(conditioner, sd1, "a word").equal(before)
    assert not sd1.text_encoder._forward_pre_hooks and not sd1.text_encoder.get_input_embeddings()._forward_hooks


def test_only_whole_words_count(tmp_path, sd1, conditioner):
    write(tmp_path, "word", emb_params=torch.ones(1, 64))
    assert encoded(conditioner, sd1, "a sword, wordy").equal(encoded(Conditioner(), sd1, "a sword, wordy"))


@pytest.mark.parametrize(
    ("tensors", "reason", "code"),
    [
        ({"emb_params": torch.ones(2, 768)}, "768 wide, and the checkpoint's text encoder reads 64", "E-EMBEDDING"),
        ({"emb_params": torch.full((2, 64), float("nan"))}, "NaN", "E-NAN"),
        ({"emb_params": torch.ones(76, 64)}, "at most 75", "E-EMBEDDING"),
        ({"x": torch.ones(1, 1, 64)}, "it is none", "E-EMBEDDING"),
        ({"x": torch.ones(20_000)}, "at most 16,384 numbers", "E-EMBEDDING"),
        ({f"x{number}": torch.ones(1, 64) for number in range(17)}, "it is none", "E-EMBEDDING"),
    ],
)
def test_what_does_not_fit_is_named_and_nothing_stays_changed(tmp_path, sd1, conditioner, tensors, reason, code):
    write(tmp_path, "word", **tensors)
    with pytest.raises(EmbeddingRefused, match=reason) as caught:
        encoded(conditioner, sd1, "a word")
    assert (caught.value.code, caught.value.field) == (code, "prompt")
    assert not sd1.text_encoder._forward_pre_hooks
    encoded(conditioner, sd1, "a house")


def test_a_file_whose_header_lies_is_refused_before_a_library_reads_it(tmp_path, sd1, conditioner):
    path = write(tmp_path, "word", emb_params=torch.ones(1, 64))
    path.write_bytes(path.read_bytes() + b"x")
    with pytest.raises(EmbeddingRefused, match="longer than its header says"):
        encoded(conditioner, sd1, "a word")
