from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest


@pytest.fixture(scope="session")
def read_foxglove() -> Callable[[str, bytes, bytes], Any]:
    """Reads a message of Foxglove's own from the name of its schema, the schema, and the payload."""
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    def read(name: str, schema: bytes, payload: bytes) -> Any:
        pool = descriptor_pool.DescriptorPool()
        for file in descriptor_pb2.FileDescriptorSet.FromString(schema).file:
            pool.Add(file)
        return message_factory.GetMessageClass(pool.FindMessageTypeByName(name)).FromString(payload)

    return read
