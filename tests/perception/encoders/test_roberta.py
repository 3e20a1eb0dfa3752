"""RoBERTa's text tower against transformers' own, and whether padding changes a text."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from perception.encoders.roberta import RobertaText, load_roberta
from perception.encoders.vit import VitSize
from perception.errors import InputError
from perception.texts.tokenizer import WordTokenizer

transformers = pytest.importorskip("transformers")
TEXTS = ["is it red ?", "red", "", "is it a zebra ?"]
SIZES = {"hidden_size": 16, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}


@pytest.fixture(scope="module")
def folder(bpe_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A RoBERTa with random weights and its tokenizer, in the hub's layout."""
    torch.manual_seed(0)
    path = Path(shutil.copytree(bpe_folder, tmp_path_factory.mktemp("roberta"), dirs_exist_ok=True))
    words = len(transformers.AutoTokenizer.from_pretrained(path))
    numbers = {"vocab_size": words, "max_position_embeddings": 20, "type_vocab_size": 1, "pad_token_id": 1}
    model = transformers.RobertaModel(transformers.RobertaConfig(**numbers, **SIZES, layer_norm_eps=1e-5))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    model.save_pretrained(path)
    return path


def test_values_equal_transformers(folder: Path) -> None:
    theirs, ours = transformers.RobertaModel.from_pretrained(folder).eval(), load_roberta(folder, 12).eval()
    batch = ours.batch(TEXTS)
    expected = theirs(input_ids=batch.ids, attention_mask=batch.valid.long()).last_hidden_state
    torch.testing.assert_close(ours(batch).values[batch.valid], expected[batch.valid])


def test_a_text_does_not_depend_on_the_batch_nor_on_attention_to_earlier_words_alone(folder: Path) -> None:
    tower = load_roberta(folder, 12).eval()
    together = tower(tower.batch(TEXTS))
    for row, text in enumerate(TEXTS):
        torch.testing.assert_close(tower(tower.batch([text])).values[0], together.values[row, together.valid[row]])
    last_changed = tower(tower.batch(["is it red ?", "is it red a"])).values
    assert not torch.allclose(last_changed[0, 0], last_changed[1, 0]), "the first token reads the last"


def test_what_cannot_be_used_is_refused(bpe_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="expected 3 to 8 tokens in a text, got 9"):
        RobertaText(WordTokenizer(["red"]), VitSize(16, 1, 2), longest=9, positions=10)
    with pytest.raises(InputError, match=r"found no config\.json"):
        load_roberta(tmp_path, 5)
    shutil.copytree(bpe_folder, tmp_path, dirs_exist_ok=True)
    numbers = {"vocab_size": 99, "type_vocab_size": 1, "pad_token_id": 1}
    transformers.RobertaModel(transformers.RobertaConfig(**numbers, **SIZES)).save_pretrained(tmp_path)
    with pytest.raises(InputError, match="a tokenizer of its 99 tokens"):
        load_roberta(tmp_path, 5)
