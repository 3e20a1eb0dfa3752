from __future__ import annotations

from pathlib import Path

import pytest

from perception.errors import InputError
from perception_nodes.ros.topics import RosNode
from perception_nodes.ros.wire import RmwZenoh
from perception_nodes.security.authority import make_certificates
from perception_tools.joining import joined


def test_a_command_joins_at_the_endpoint_or_at_that_of_the_deployment(router: str, tmp_path: Path) -> None:
    config = tmp_path / "a.yaml"
    config.write_text(f"router: {{listen: {router}}}\n")
    for connect, file in ((router, None), (None, config)):
        with joined(connect, file, "asker") as session, RosNode(session, RmwZenoh()) as ros:
            assert ros.others() == []


def test_without_a_router_there_is_one_sentence_with_the_cure(place: str) -> None:
    with (
        pytest.raises(InputError, match=f"{place}: expected a router, found nobody who listens; start `perception up`"),
        joined(place, None, "asker"),
    ):
        pass


def test_a_secure_deployment_asks_for_the_certificate_of_the_name(router: str, tmp_path: Path) -> None:
    make_certificates(tmp_path / "certificates", ["router", "asker"], server="router")
    config = tmp_path / "a.yaml"
    place = router.replace("tcp", "tls")
    config.write_text(f"router: {{listen: {place}}}\nsecurity: {{certificates: certificates}}\n")
    with pytest.raises(InputError, match=r"stranger\.pem"), joined(None, config, "stranger"):
        pass
    with pytest.raises(InputError, match="expected a router that accepts"), joined(None, config, "asker"):
        pass  # it speaks no TLS
