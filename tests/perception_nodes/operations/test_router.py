from __future__ import annotations

import json
import queue
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import zenoh

from perception.errors import InputError
from perception_nodes.operations.access import Grant, access_control
from perception_nodes.operations.endpoints import StopSignal
from perception_nodes.operations.router import join_router, open_router, open_secure_router, router_answers
from perception_nodes.ros.topics import NoRouter, open_secure_session, open_session
from perception_nodes.security import authority
from perception_nodes.security.authority import make_certificates
from perception_nodes.security.identity import identity_in, read_certificates


@pytest.fixture(scope="module")
def place(certificates: Path, free_place: Callable[[str], str]) -> Iterator[str]:
    """Rules of a router: the talker may publish, the listener subscribe, the worker answer and the client ask."""
    grants = {
        "talker": Grant(publishes=("word",)),
        "listener": Grant(subscribes=("word",)),
        "worker": Grant(answers=("work",), announces=("alive/worker",)),
        "client": Grant(asks=("work",), watches=("alive/*",)),
    }
    place = free_place("tls")
    with open_secure_router(place, identity_in(certificates, "router"), access_control(grants)):
        yield place


def test_two_peers_meet_through_it_and_a_second_at_its_place_is_refused(free_place: Callable[[str], str]) -> None:
    place = free_place("tcp")
    heard: queue.Queue[bytes] = queue.Queue()
    with open_router(place), open_session([place]) as one, open_session([place]) as other:
        one.declare_subscriber("word", lambda sample: heard.put(sample.payload.to_bytes()))
        end = time.monotonic() + 60
        while heard.empty() and time.monotonic() < end:
            other.put("word", b"hello")
            time.sleep(0.05)
        assert heard.get(timeout=1) == b"hello"
        with pytest.raises(InputError, match="choose another place"):
            open_router(place)


def test_beyond_loopback_it_listens_only_where_somebody_wants_that() -> None:
    with pytest.raises(InputError, match="expected a place on loopback"):
        open_router("tcp/0.0.0.0:0")
    with pytest.raises(InputError, match="expected a place on loopback"):
        open_session([], ["tcp/0.0.0.0:0"])
    open_router("tcp/0.0.0.0:0", allow_unencrypted=True).close()


def say_until_heard(session: zenoh.Session, heard: queue.Queue[str], text: str) -> str:
    """Returns the first message after repeated sending, which shows that the connection works."""
    end = time.monotonic() + 60
    while heard.empty() and time.monotonic() < end:
        session.put("word", text)
        time.sleep(0.05)
    return heard.get(timeout=1)


def test_who_may_speak_is_heard_and_who_may_not_never_is(place: str, certificates: Path) -> None:
    heard: queue.Queue[str] = queue.Queue()
    overheard: list[str] = []
    with (
        open_secure_session(place, identity_in(certificates, "talker")) as talker,
        open_secure_session(place, identity_in(certificates, "listener")) as listener,
        open_secure_session(place, identity_in(certificates, "stranger")) as stranger,
        open_secure_session(place, identity_in(certificates, "worker")) as worker,
    ):
        listener.declare_subscriber("word", lambda sample: heard.put(sample.payload.to_string()))
        for spy in (stranger, worker):
            spy.declare_subscriber("**", lambda sample: overheard.append(sample.payload.to_string()))
        assert say_until_heard(talker, heard, "hello") == "hello"
        for intruder in (stranger, worker):
            intruder.put("word", "forged")
        talker.put("word", "goodbye")
        said = [heard.get(timeout=60)]
        while said[-1] != "goodbye":
            said.append(heard.get(timeout=60))
        talker.put("word", "and again")  # by now what the intruders put would be here
        assert heard.get(timeout=60) == "and again"
    assert "forged" not in said
    assert set(overheard) <= {"forged"}  # a session receives its own messages


def ask(session: zenoh.Session) -> list[str]:
    return [reply.ok.payload.to_string() for reply in session.get("work", timeout=2.0) if reply.ok]


def test_who_may_ask_is_answered_and_who_may_not_is_not_even_heard(place: str, certificates: Path) -> None:
    asked: list[str] = []

    def answer(query: zenoh.Query) -> None:
        with query:
            asked.append(str(query.selector))
            query.reply("work", "done")

    alive: queue.Queue[str] = queue.Queue()
    with (
        open_secure_session(place, identity_in(certificates, "worker")) as worker,
        open_secure_session(place, identity_in(certificates, "client")) as client,
        open_secure_session(place, identity_in(certificates, "talker")) as talker,
        open_secure_session(place, identity_in(certificates, "stranger")) as stranger,
    ):
        client.liveliness().declare_subscriber("alive/*", lambda s: alive.put(str(s.key_expr)), history=True)
        worker.declare_queryable("work", answer)
        tokens = [worker.liveliness().declare_token("alive/worker")]  # kept, since a token that is dropped is withdrawn
        assert alive.get(timeout=60) == "alive/worker"
        end = time.monotonic() + 60
        while not ask(client) and time.monotonic() < end:
            time.sleep(0.05)
        before = len(asked)
        assert ask(talker) == ask(stranger) == []
        assert [str(reply.ok) for reply in stranger.liveliness().get("**", timeout=2.0) if reply.ok] == []
        stranger.declare_queryable("work", lambda query: query.reply("work", "forged"))
        tokens += [intruder.liveliness().declare_token("alive/forged") for intruder in (stranger, talker)]
        assert ask(client) == ["done"]  # and nothing from the stranger, who declared earlier
        assert len(asked) == before + 1
        assert "alive/forged" not in list(alive.queue)


def test_who_has_no_certificate_or_a_rogue_one_does_not_come_in(
    place: str, certificates: Path, forged_certificates: Path, free_place: Callable[[str], str]
) -> None:
    with pytest.raises(NoRouter, match="compare the certificates"):
        open_secure_session(place, identity_in(forged_certificates, "talker"))
    bare = zenoh.Config()
    for key, value in {
        "mode": "client",
        "connect/endpoints": [place],
        "scouting/multicast/enabled": False,
        "transport/link/tls/root_ca_certificate": str(certificates / "ca.pem"),
    }.items():
        bare.insert_json5(key, json.dumps(value))
    with pytest.raises(zenoh.ZError):
        zenoh.open(bare)
    with pytest.raises(InputError, match="expected tls/HOST:PORT"):
        open_secure_session(place.replace("tls", "tcp"), identity_in(certificates, "talker"))
    with pytest.raises(InputError, match="expected tls/HOST:PORT"):
        open_secure_router(free_place("tcp"), identity_in(certificates, "router"), access_control({}))


def test_a_router_that_is_none_is_not_spoken_to(
    certificates: Path, forged_certificates: Path, free_place: Callable[[str], str]
) -> None:
    """Neither one of another authority, nor one with a certificate that is valid for clients only."""
    for identity in (identity_in(forged_certificates, "router"), identity_in(certificates, "stranger")):
        false_place = free_place("tls")
        with open_secure_router(false_place, identity, access_control({})), pytest.raises(NoRouter):
            open_secure_session(false_place, identity_in(certificates, "talker"))


def test_when_the_router_comes_back_so_do_all_who_were_there(
    certificates: Path, free_place: Callable[[str], str]
) -> None:
    place, heard = free_place("tls"), queue.Queue[str]()
    access = access_control({"talker": Grant(publishes=("word",)), "listener": Grant(subscribes=("word",))})
    router = open_secure_router(place, identity_in(certificates, "router"), access)
    with (
        open_secure_session(place, identity_in(certificates, "talker")) as talker,
        open_secure_session(place, identity_in(certificates, "listener")) as listener,
    ):
        listener.declare_subscriber("word", lambda sample: heard.put(sample.payload.to_string()))
        assert say_until_heard(talker, heard, "before") == "before"
        router.close()
        while not heard.empty():
            heard.get()
        with open_secure_router(place, identity_in(certificates, "router"), access):
            said = say_until_heard(talker, heard, "after")
            while said == "before":
                said = heard.get(timeout=60)
            assert said == "after"


class Patience(StopSignal):
    """A wait that ends without a signal of the process: True after some checks, if any number is given."""

    def __init__(self, checks: int | None = None) -> None:
        self.checks = checks

    def wait(self, works: Callable[[], bool] = lambda: True, every_s: float = 0.05) -> bool:
        while works():
            if self.checks is not None:
                self.checks -= 1
                if self.checks < 0:
                    return True
            time.sleep(every_s)
        return False


def test_a_process_waits_for_a_router_that_starts_later(certificates: Path, free_place: Callable[[str], str]) -> None:
    place = free_place("tls")
    assert not router_answers(place)
    assert join_router(place, identity_in(certificates, "talker"), Patience(3)) is None
    routers: queue.Queue[zenoh.Session] = queue.Queue()

    def open_later() -> None:
        time.sleep(0.3)
        routers.put(open_secure_router(place, identity_in(certificates, "router"), access_control({})))

    opening = threading.Thread(target=open_later)
    opening.start()
    session = join_router(place, identity_in(certificates, "talker"), Patience())
    opening.join()
    with routers.get():
        assert session is not None
        session.close()
        assert router_answers(place)


def test_a_router_that_does_not_accept_the_certificate_is_an_error_in_the_end(
    place: str, forged_certificates: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("perception_nodes.operations.router.ATTEMPTS", 2)
    with pytest.raises(InputError, match="compare the certificates"):
        join_router(place, identity_in(forged_certificates, "talker"), Patience())


def test_a_client_takes_its_renewed_certificate_when_the_former_expires(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free_place: Callable[[str], str]
) -> None:
    """No message is lost to the listener after it, and nothing is started again."""
    make_certificates(tmp_path, ["router", "listener"], server="router")
    place, heard = free_place("tls"), queue.Queue[str]()
    access = access_control({"talker": Grant(publishes=("word",)), "listener": Grant(subscribes=("word",))})
    monkeypatch.setattr(authority, "PROCESS_DAYS", 15 / 86_400)
    make_certificates(tmp_path, ["talker"], server="router")
    expires = read_certificates(tmp_path / "talker.pem")[0].not_valid_after_utc
    monkeypatch.setattr(authority, "PROCESS_DAYS", 825)
    with (
        open_secure_router(place, identity_in(tmp_path, "router"), access),
        open_secure_session(place, identity_in(tmp_path, "talker")) as talker,
        open_secure_session(place, identity_in(tmp_path, "listener")) as listener,
    ):
        listener.declare_subscriber("word", lambda sample: heard.put(sample.payload.to_string()))
        assert say_until_heard(talker, heard, "with the former") == "with the former"
        assert list(make_certificates(tmp_path, ["talker"], server="router")) == ["talker"]
        while datetime.now(UTC) <= expires + timedelta(seconds=2):
            time.sleep(0.1)
        while not heard.empty():
            heard.get()
        said = say_until_heard(talker, heard, "with the renewed")
        while said == "with the former":
            said = heard.get(timeout=60)
        assert said == "with the renewed"
