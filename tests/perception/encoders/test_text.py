"""Text encoders: invariance to padding and batching, and frozen weights."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from perception.encoders.text import LstmText, TextEncoder, TransformerText
from perception.errors import InputError
from perception.texts.vocabulary import MAX_WORDS, Vocabulary

TEXTS = ["what is left of the chair ?", "", "zebra chair", "the " * 150]


def lstm(**options) -> LstmText:
    torch.manual_seed(0)
    return LstmText(Vocabulary(tuple("what is left of the chair ?".split())), dim=8, word_dim=6, **options).eval()


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny BERT in the hub's layout."""
    transformers = pytest.importorskip("transformers")
    folder = tmp_path_factory.mktemp("bert")
    words = "[PAD] [UNK] [CLS] [SEP] [MASK] what is left of the chair ?".split()
    transformers.BertTokenizerFast({word: i for i, word in enumerate(words)}).save_pretrained(folder)
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    transformers.BertModel(transformers.BertConfig(vocab_size=len(words), **sizes)).save_pretrained(folder)
    return folder


@pytest.fixture(params=["lstm", "transformer"])
def encoder(request: pytest.FixtureRequest, bert: Path) -> TextEncoder:
    return lstm() if request.param == "lstm" else TransformerText(bert, dim=8).eval()


def test_the_encoding_of_a_text_does_not_depend_on_the_batch(encoder: TextEncoder) -> None:
    together = encoder(encoder.batch(TEXTS))
    for row, text in enumerate(TEXTS):
        alone = encoder(encoder.batch([text]))
        assert alone.valid.all()
        torch.testing.assert_close(together.values[row, together.valid[row]], alone.values[0])
    assert together.valid.sum(1).max() == MAX_WORDS
    assert together.values.isfinite().all()


def test_packing_equals_encoding_each_text_separately() -> None:
    model = lstm()
    batch = model.batch(TEXTS)
    packed = model(batch)
    for row, length in enumerate(batch.valid.sum(1).tolist()):
        state = None
        for word in range(length):
            out, state = model.lstm(model.words(batch.ids[row : row + 1, word : word + 1]), state)
            torch.testing.assert_close(packed.values[row, word], out[0, 0])
    assert packed.values[~packed.valid].eq(0).all()


def test_unknown_words_are_zeros_that_are_not_trained_unless_vectors_are_given() -> None:
    model = lstm().train()
    model(model.batch(TEXTS)).values.sum().backward()
    assert model.words.weight[0].eq(0).all()
    assert model.words.weight.grad is not None
    assert model.words.weight.grad[0].eq(0).all()
    given = LstmText(model.vocabulary, dim=8, vectors=torch.randn(len(model.vocabulary), 5))
    given(given.batch(TEXTS)).values.sum().backward()
    assert [n for n, p in given.named_parameters() if p.grad is None] == ["words.weight"]


def test_a_wrong_number_of_vectors_is_refused() -> None:
    with pytest.raises(ValueError, match="expected 8 word vectors, got 7"):
        lstm(vectors=torch.zeros(7, 6))


def test_a_frozen_transformer_does_not_change_and_another_learns(bert: Path) -> None:
    frozen, free = TransformerText(bert, dim=8).train(), TransformerText(bert, dim=8, frozen=False).train()
    assert not frozen.encoder.training
    assert free.encoder.training
    for model in (frozen, free):
        model(model.batch(TEXTS)).values.square().sum().backward()
    assert all(p.grad is None for p in frozen.encoder.parameters())
    assert frozen.project.weight.grad is not None
    assert free.encoder.embeddings.word_embeddings.weight.grad.any()


def test_a_folder_without_a_text_encoder_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    with pytest.raises(InputError, match=r"found no config\.json"):
        TransformerText(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(InputError, match="expected a text encoder and its tokenizer, got"):
        TransformerText(tmp_path)


def test_a_tokenizer_without_a_token_for_an_empty_text_is_refused(bert: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    transformers = pytest.importorskip("transformers")
    monkeypatch.setattr(transformers.BertTokenizerFast, "__call__", lambda *_: {"input_ids": []})
    with pytest.raises(InputError, match="at least one token for an empty text"):
        TransformerText(bert)
