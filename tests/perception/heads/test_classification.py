from __future__ import annotations

import torch

from perception.heads.classification import ClassificationHead, ClsMaxHead
from perception.tokens import Tokens


def tokens() -> Tokens:
    return Tokens(torch.randn(2, 5, 8, generator=torch.Generator().manual_seed(0)), torch.ones(2, 5, dtype=torch.bool))


def test_the_class_token_alone_is_read() -> None:
    head, read = ClassificationHead(8, 3), tokens()
    readout = head.readout(read)
    assert readout.rows is not None
    assert readout.rows.tolist() == [[0], [0]]
    expected = read.values[:, 0] @ head.fc.weight.mT + head.fc.bias
    torch.testing.assert_close(head(readout.gather(read.values)), expected)
    torch.testing.assert_close(head(read.values), expected)


def test_the_mean_is_over_all_patches_and_not_the_class_token() -> None:
    head, read = ClassificationHead(8, 3, "mean"), tokens()
    assert head.readout(read).rows is None
    expected = read.values[:, 1:].mean(1) @ head.fc.weight.mT + head.fc.bias
    torch.testing.assert_close(head(read.values), expected)


def test_initial_weights_are_small_and_biases_zero() -> None:
    torch.manual_seed(0)
    head = ClassificationHead(384, 1000)
    assert 0.018 < head.fc.weight.std() < 0.021
    assert not head.fc.bias.any()


def test_the_head_of_point_bert_reads_the_class_token_and_the_largest_of_the_others() -> None:
    head, rows = ClsMaxHead(4, 3, hidden=5).eval(), torch.randn(2, 6, 4)
    tokens = Tokens(rows, torch.ones(2, 6, dtype=torch.bool))
    assert head.readout(tokens).rows is None
    read = torch.cat([rows[:, 0], rows[:, 1:].max(1).values], 1)
    expected = head.mlp[3](head.mlp[0](read).relu())
    assert torch.equal(head(rows), expected)
    assert not torch.equal(head.train()(rows), expected)  # dropout
