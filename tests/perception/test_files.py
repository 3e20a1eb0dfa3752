from __future__ import annotations

import errno
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from perception import files
from perception.errors import InputError
from perception.files import alone_in, reading, url_of, whole_file


@pytest.fixture
def former(tmp_path: Path) -> Path:
    """A file that is to be replaced, alone in its folder."""
    path = tmp_path / "metrics.json"
    path.write_text("former")
    return path


def assert_untouched(path: Path) -> None:
    assert path.read_text() == "former"
    assert list(path.parent.iterdir()) == [path]


def test_the_new_content_replaces_the_former_when_the_block_ends(former: Path) -> None:
    with whole_file(former) as temporary:
        temporary.write_text("new")
        assert temporary.parent == former.parent
        assert former.read_text() == "former"
    assert former.read_text() == "new"
    assert list(former.parent.iterdir()) == [former]


def test_what_is_no_file_is_written_to_and_never_replaced(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    descriptor = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    with whole_file(pipe) as place:
        place.write_text("new")
    assert os.read(descriptor, 10) == b"new"
    os.close(descriptor)
    assert list(tmp_path.iterdir()) == [pipe]
    with whole_file(Path("/dev/null")) as place:
        assert place == Path("/dev/null")
    assert Path("/dev/null").is_char_device()


def test_missing_folders_are_made(tmp_path: Path) -> None:
    with whole_file(tmp_path / "a" / "b" / "c.txt") as temporary:
        temporary.write_text("new")
    assert (tmp_path / "a" / "b" / "c.txt").read_text() == "new"


def test_mode_and_owner_rights_are_those_that_the_block_gives(tmp_path: Path) -> None:
    with whole_file(tmp_path / "key") as temporary:
        temporary.touch(0o400)
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o400


def test_the_content_is_on_the_disk_before_it_gets_its_name(former: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def fsync(descriptor: int) -> None:
        seen.append((os.fstat(descriptor).st_size, former.read_text()))

    monkeypatch.setattr(os, "fsync", fsync)
    with whole_file(former) as temporary:
        temporary.write_text("new content")
    assert seen[0] == (len("new content"), "former")
    assert seen[1][1] == "new content"  # then the name, in its folder


@pytest.mark.parametrize("failure", [ValueError("bad value"), InputError("bad input"), KeyboardInterrupt()])
def test_a_writer_that_fails_or_is_interrupted_leaves_the_former_file(former: Path, failure: BaseException) -> None:
    def write() -> None:
        with whole_file(former) as temporary:
            temporary.write_text("half")
            raise failure

    with pytest.raises(type(failure)) as raised:
        write()
    assert raised.value is failure
    assert_untouched(former)


def test_a_full_disk_is_an_input_error_that_says_so(former: Path) -> None:
    def write() -> None:
        with whole_file(former) as temporary:
            temporary.symlink_to("/dev/full")  # every write to it fails as on a full disk
            temporary.write_text("new")

    message = f"{former}: cannot be written (No space left on device); free some space, or choose another disk"
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        write()
    assert_untouched(former)


def test_numpys_words_for_a_full_disk_are_said_in_ours(former: Path) -> None:
    words = re.escape(f"{former}: cannot be written (only 3 of 10 values fit on the disk); free some space, or choose")
    with pytest.raises(InputError, match=words), whole_file(former):
        raise OSError("10 requested and 3 written")  # as ndarray.tofile does, and with it numpy.save
    assert_untouched(former)


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS])
def test_a_place_that_may_not_be_written_is_an_input_error_that_says_so(former: Path, number: int) -> None:
    with pytest.raises(InputError, match="choose a folder that you may write to") as raised, whole_file(former) as file:
        raise OSError(number, os.strerror(number), str(file))
    assert f"{former}: cannot be written ({os.strerror(number)});" in str(raised.value)
    assert_untouched(former)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_nothing_is_written_to_a_read_only_folder(former: Path) -> None:
    former.parent.chmod(0o500)
    try:
        with pytest.raises(InputError, match="Permission denied"), whole_file(former) as temporary:
            temporary.write_text("new")
        assert_untouched(former)
    finally:
        former.parent.chmod(0o700)


def test_a_file_in_the_place_of_the_folder_is_named(former: Path) -> None:
    expected = pytest.raises(InputError, match=rf"File exists: {former}\); choose another path")
    with expected, whole_file(former / "inside"):
        pytest.fail("the block must not run")
    assert_untouched(former)


def test_a_rename_that_fails_leaves_what_is_there(tmp_path: Path) -> None:
    path = tmp_path / "folder"
    path.mkdir()
    with pytest.raises(InputError, match=r"folder: cannot be written \(Is a directory\)"), whole_file(path) as file:
        file.write_text("new")
    assert list(tmp_path.iterdir()) == [path]


def test_a_block_that_wrote_nothing_fails(former: Path) -> None:
    with pytest.raises(InputError, match="No such file"), whole_file(former):
        pass
    assert_untouched(former)


def test_two_writers_do_not_disturb_each_other_and_the_last_wins(former: Path) -> None:
    with whole_file(former) as slow:
        slow.write_text("slow, ")
        with whole_file(former) as fast:
            fast.write_text("fast")
        assert former.read_text() == "fast"
        with slow.open("a") as file:
            file.write("but whole")
    assert former.read_text() == "slow, but whole"
    assert list(former.parent.iterdir()) == [former]


def test_a_killed_process_leaves_the_former_file(former: Path) -> None:
    code = f"""
import os, signal
from pathlib import Path
from perception import files
from perception.errors import InputError
from perception.files import alone_in, reading, whole_file
with whole_file(Path({str(former)!r})) as temporary:
    temporary.write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -9
    assert former.read_text() == "former"
    assert [path.name[0] for path in former.parent.iterdir() if path != former] == ["."]


class OtherError(InputError):
    """A reader's own class of errors."""


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (FileNotFoundError("x"), "no such file"),
        (KeyError("name"), "it lacks 'name'"),
        (OSError("disk\nsecond line"), "it cannot be parsed (disk)"),
        (TypeError(), "it cannot be parsed (TypeError)"),
        (AttributeError("'list' has no get"), "it cannot be parsed (AttributeError: 'list' has no get)"),
        (ZeroDivisionError("division by zero"), "it cannot be parsed (ZeroDivisionError: division by zero)"),
        (MemoryError(), "reading it needs more memory than there is"),
        (InputError("a word is missing"), "a word is missing"),
        (InputError("a/file.json: why; cure"), None),
        (OtherError("other.json: why; cure"), None),
    ],
)
def test_whatever_a_parser_raises_becomes_one_sentence(error: Exception, reason: str | None) -> None:
    with pytest.raises(OtherError) as raised, reading(Path("a/file.json"), "copy it again", OtherError):
        raise error
    expected = str(error) if reason is None else f"a/file.json: {reason}; copy it again"
    assert str(raised.value) == expected
    assert raised.value is error or raised.value.__cause__ is error


def test_what_nests_too_deeply_is_named_too() -> None:
    with pytest.raises(InputError, match=r"a\.json: it cannot be parsed"), reading(Path("a.json"), "copy it again"):
        json.loads("[" * 100_000)


def test_stopping_is_not_taken_for_a_bad_file() -> None:
    with pytest.raises(KeyboardInterrupt), reading(Path("a.json"), "copy it again"):
        raise KeyboardInterrupt


def test_one_writer_holds_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "LOCK_WAIT_S", 0.0)
    out = tmp_path / "new" / "out"
    found = rf"out: expected no other writer, found a sweep \(process {os.getpid()}\) at work there; wait until"
    with alone_in(out, "a sweep"), pytest.raises(InputError, match=found), alone_in(out, "another sweep"):
        pass
    with alone_in(out, "another sweep"):
        pass


def test_a_folder_that_a_full_disk_leaves_no_room_to_hold_is_an_input_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as full:
        full.setattr(os, "write", fail)
        complaint = rf"{tmp_path}: cannot be written \(No space left on device\); free some space"
        with pytest.raises(InputError, match=complaint), alone_in(tmp_path, "a sweep"):
            pytest.fail("the block must not run")
    with alone_in(tmp_path, "a sweep"):
        pass


def test_a_lock_goes_with_its_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "LOCK_WAIT_S", 0.0)
    code = "import sys; from perception.files import alone_in; context = alone_in(sys.argv[1], 'x')"
    code = code.replace("sys.argv[1]", "__import__('pathlib').Path(sys.argv[1])")
    hold = f"{code}; context.__enter__(); print('held', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", hold, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(InputError, match=rf"x \(process {holder.pid}\)"), alone_in(tmp_path, "y"):
            pass
        holder.kill()
        holder.wait()
        with alone_in(tmp_path, "y"):
            pass


def test_a_panic_of_a_library_in_rust_names_the_file_and_an_interruption_passes(tmp_path: Path) -> None:
    panic = type("PanicException", (BaseException,), {})("index out of bounds")
    with pytest.raises(InputError, match=r"a\.bin: it cannot be parsed .*index out of bounds.*; copy it again"):
        with reading(tmp_path / "a.bin", "copy it again"):
            raise panic
    with pytest.raises(KeyboardInterrupt), reading(tmp_path / "a.bin", "copy it again"):
        raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("s3://bucket/store", "s3://bucket/store"),
        ("file:///data/store", "file:///data/store"),
        ("memory://a", "memory://a"),
        ("data/store", None),
        ("/data/s3:/x", None),
        ("c:/data", None),
    ],
)
def test_a_path_is_a_url_where_it_begins_like_one(path: str, expected: str | None) -> None:
    assert url_of(Path(path)) == expected
