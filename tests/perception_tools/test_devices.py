from __future__ import annotations

import pytest
import torch

from perception.errors import InputError
from perception_tools.devices import find_device


def test_the_cpu_is_there() -> None:
    assert find_device("cpu") == torch.device("cpu")


@pytest.mark.parametrize("word", ["cuda:99", "gpu", "meta", ""])
def test_a_device_that_cannot_compute_here_is_refused_in_a_sentence(word: str) -> None:
    with pytest.raises(InputError, match=rf"^--device {word}: expected a device .*; give --device cpu$") as raised:
        find_device(word)
    assert "\n" not in str(raised.value)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_cuda_is_refused() -> None:
    with pytest.raises(InputError, match=r"^--device cuda: .*(NVIDIA|CUDA)"):
        find_device("cuda")
