"""RoBERTa's text tower, one token for each token of its tokenizer (https://arxiv.org/abs/1907.11692).

The layers are those of the transformers library.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

from perception.encoders.vit import MLP_RATIO, VitSize
from perception.errors import InputError, first_of
from perception.hub import expect_model, load_pretrained
from perception.texts.tokenizer import PAD, HubTokenizer, Tokenizer
from perception.texts.vocabulary import TextBatch
from perception.tokens import Tokens

POSITIONS = 514
"""Rows of RoBERTa's table of positions; the first two are never read."""


class RobertaText(nn.Module):
    """A text as tokens.

    Args:
        tokenizer: Splits texts.
        size: Width, number of layers, and heads.
        longest: Maximum number of tokens of a text, with `<s>` and `</s>`; the rest is cut off.
        positions: Rows of the table of positions.
        dropout: Dropout of attention weights, and of what each part adds.

    Raises:
        InputError: Texts are longer than the table of positions, or transformers is not installed.
    """

    def __init__(
        self, tokenizer: Tokenizer, size: VitSize, *, longest: int, positions: int = POSITIONS, dropout: float = 0.1
    ) -> None:
        super().__init__()
        if not 3 <= longest <= positions - PAD - 1:
            raise InputError(
                f"longest: expected 3 to {positions - PAD - 1} tokens in a text, got {longest}; give another number"
            )
        try:
            from transformers import RobertaConfig, RobertaModel
        except ImportError as error:
            raise InputError(
                "transformers: expected it to be installed; pip install 'frozen-perception[text]'"
            ) from error
        self.tokenizer, self.size, self.longest, self.positions = tokenizer, size, longest, positions
        config = RobertaConfig(
            vocab_size=len(tokenizer),
            hidden_size=size.dim,
            num_hidden_layers=size.depth,
            num_attention_heads=size.heads,
            intermediate_size=MLP_RATIO * size.dim,
            max_position_embeddings=positions,
            type_vocab_size=1,
            pad_token_id=PAD,
            layer_norm_eps=1e-5,
            hidden_dropout_prob=dropout,
            attention_probs_dropout_prob=dropout,
        )
        model = RobertaModel(config, add_pooling_layer=False)
        self.embeddings, self.encoder = model.embeddings, model.encoder

    def batch(self, texts: Sequence[str]) -> TextBatch:
        """Encodes texts as input of `forward`."""
        return self.tokenizer.encode(texts, self.longest).to(self.embeddings.word_embeddings.weight.device)

    def forward(self, texts: TextBatch) -> Tokens:
        """Returns the states after the last layer."""
        # Always with a mask: without one some of the library's attentions turn causal.
        x = self.embeddings(input_ids=texts.ids)
        mask = torch.zeros_like(texts.valid, dtype=x.dtype).masked_fill_(~texts.valid, torch.finfo(x.dtype).min)
        mask = mask[:, None, None]
        for layer in self.encoder.layer:
            out = layer(x, attention_mask=mask)
            x = out[0] if isinstance(out, tuple) else out
        return Tokens(x, texts.valid)


def load_roberta(folder: str | Path, longest: int, dropout: float = 0.1) -> RobertaText:
    """A pretrained tower and its tokenizer from a folder in the hub's layout or from huggingface.co.

    Args:
        folder: Folder with `config.json`, safetensors and a tokenizer, or the name of a model on huggingface.co.
        longest: Maximum number of tokens of a text.
        dropout: Dropout in training.

    Raises:
        InputError: The folder cannot be used.
    """
    expect_model(folder)
    try:
        from transformers import RobertaModel
    except ImportError as error:
        raise InputError("transformers: expected it to be installed; pip install 'frozen-perception[text]'") from error
    options = {"use_safetensors": True, "add_pooling_layer": False, "output_loading_info": True}
    model, found = load_pretrained(RobertaModel, folder, "RoBERTa", **options)
    tokenizer = HubTokenizer.from_folder(folder)
    if missing := sorted(found["missing_keys"]):  # the library fills them with random numbers
        raise InputError(f"{folder}: expected RoBERTa, it lacks {first_of(missing)}; give another folder")
    config = model.config
    size = VitSize(config.hidden_size, config.num_hidden_layers, config.num_attention_heads)
    if (
        len(tokenizer) != config.vocab_size
        or config.type_vocab_size != 1
        or config.hidden_act != "gelu"
        or config.intermediate_size != MLP_RATIO * config.hidden_size
    ):
        raise InputError(
            f"{folder}: expected RoBERTa with one token type, gelu, MLPs {MLP_RATIO} times as wide and a tokenizer of "
            f"its {config.vocab_size} tokens, got another model or a tokenizer of {len(tokenizer)}; give its own"
        )
    tower = RobertaText(tokenizer, size, longest=longest, positions=config.max_position_embeddings, dropout=dropout)
    weights = model.state_dict()
    tower.load_state_dict({name: weights[name] for name in tower.state_dict()})
    return tower
