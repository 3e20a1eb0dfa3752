"""Text encoders with one token per word: an LSTM over word vectors, as in ScanQA and SQA3D, or a transformer.

ScanQA (https://arxiv.org/abs/2112.10482), SQA3D (https://arxiv.org/abs/2210.07474).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from perception.errors import InputError
from perception.texts.vocabulary import MAX_WORDS, UNKNOWN, TextBatch, Vocabulary
from perception.tokens import Tokens


class LstmText(nn.Module):
    """A unidirectional LSTM of one layer over word vectors.

    Args:
        vocabulary: Known words.
        dim: Width of the tokens.
        vectors: Frozen vector of each number of the vocabulary (`WordVectors.table`); None trains vectors from scratch,
            with zeros for unknown words.
        word_dim: Width of vectors that are trained from scratch.
        dropout: Dropout of word vectors.
    """

    def __init__(
        self,
        vocabulary: Vocabulary,
        dim: int = 256,
        *,
        vectors: Float[Tensor, "numbers word_dim"] | None = None,
        word_dim: int = 300,
        dropout: float = 0.3,
    ) -> None:
        super().__init__()
        self.vocabulary, self.dim = vocabulary, dim
        if vectors is None:
            self.words = nn.Embedding(len(vocabulary), word_dim, padding_idx=UNKNOWN)
        elif len(vectors) != len(vocabulary):
            raise ValueError(f"LstmText: expected {len(vocabulary)} word vectors, got {len(vectors)}")
        else:
            self.words = nn.Embedding.from_pretrained(vectors)
        self.dropout = nn.Dropout(dropout)
        self.lstm = nn.LSTM(self.words.embedding_dim, dim, batch_first=True)

    def batch(self, texts: Sequence[str]) -> TextBatch:
        """Encodes texts as input of `forward`."""
        return self.vocabulary.encode(texts).to(self.words.weight.device)

    def forward(self, texts: TextBatch) -> Tokens:
        """Returns the LSTM's output after each word; zeros for padding."""
        words = self.dropout(self.words(texts.ids))
        if torch.compiler.is_exporting():  # an LSTM that reads forwards never sees the padding behind a text
            return Tokens(_lstm_in_graph(self.lstm, words) * texts.valid.unsqueeze(-1), texts.valid)
        packed = pack_padded_sequence(words, texts.valid.sum(1).cpu(), batch_first=True, enforce_sorted=False)
        encoded, _ = pad_packed_sequence(self.lstm(packed)[0], batch_first=True, total_length=texts.ids.shape[1])
        return Tokens(encoded, texts.valid)


def _lstm_in_graph(lstm: nn.LSTM, x: Float[Tensor, "texts words word_dim"]) -> Float[Tensor, "texts words dim"]:
    """ONNX's operator, for any number of words; PyTorch's exporter would write out the words of one batch."""

    def ordered(name: str) -> Tensor:
        of_input, of_forget, of_cell, of_output = lstm.get_parameter(name).chunk(4)
        return torch.cat([of_input, of_output, of_forget, of_cell]).unsqueeze(0)

    biases = torch.cat([ordered("bias_ih_l0"), ordered("bias_hh_l0")], dim=1)
    inputs = (x.transpose(0, 1), ordered("weight_ih_l0"), ordered("weight_hh_l0"), biases)
    shape = (x.shape[1], 1, x.shape[0], lstm.hidden_size)
    read = torch.onnx.ops.symbolic("LSTM", inputs, {"hidden_size": lstm.hidden_size}, dtype=x.dtype, shape=shape)
    return read.squeeze(1).transpose(0, 1)


class TransformerText(nn.Module):
    """A pretrained text encoder of the transformers library with a linear projection.

    Args:
        folder: Folder of a model and its tokenizer in the hub's layout; nothing is downloaded.
        dim: Width of the tokens.
        frozen: Whether the pretrained weights are frozen.

    Raises:
        InputError: The folder cannot be used.
    """

    def __init__(self, folder: Path, dim: int = 256, *, frozen: bool = True) -> None:
        super().__init__()
        self.dim, self.frozen = dim, frozen
        self.tokenizer, encoder = _load_pretrained(folder)
        self.encoder = encoder.requires_grad_(not frozen).train(not frozen)
        self.project = nn.Linear(encoder.config.hidden_size, dim)
        if self.tokenizer.pad_token_id is None or not self.tokenizer("")["input_ids"]:
            raise InputError(
                f"{folder}: expected a tokenizer with a padding token and with at least one token for an empty text; "
                "use a model of BERT's family"
            )

    def train(self, mode: bool = True) -> TransformerText:
        """Sets the mode, but keeps a frozen encoder in evaluation mode, without dropout."""
        super().train(mode)
        self.encoder.train(mode and not self.frozen)
        return self

    def batch(self, texts: Sequence[str]) -> TextBatch:
        """Encodes texts as input of `forward`: the first `MAX_WORDS` tokens of each."""
        options = {"padding": True, "truncation": True, "max_length": MAX_WORDS, "return_tensors": "pt"}
        tokens = self.tokenizer(list(texts), **options)
        return TextBatch(tokens["input_ids"], tokens["attention_mask"].bool()).to(self.project.weight.device)

    def forward(self, texts: TextBatch) -> Tokens:
        """Returns one token for each token of the tokenizer."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            encoded = self.encoder(input_ids=texts.ids, attention_mask=texts.valid.long()).last_hidden_state
        return Tokens(self.project(encoded), texts.valid)


TextEncoder = LstmText | TransformerText


def _load_pretrained(folder: Path) -> tuple[Any, Any]:
    """Loads tokenizer and model from a folder."""
    try:
        from transformers import AutoModel, AutoTokenizer
    except ImportError as error:
        raise InputError("transformers: expected it to be installed; pip install 'frozen-perception[text]'") from error
    if not (folder / "config.json").is_file():
        raise InputError(f"{folder}: expected a model folder in the hub's layout, found no config.json in it")
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        return tokenizer, AutoModel.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError) as error:
        raise InputError(f"{folder}: expected a text encoder and its tokenizer, got: {error}") from error
