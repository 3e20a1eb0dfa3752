from pathlib import Path

import pytest

from perception_datasets.argoverse.remembered import remembered
from perception_datasets.errors import RecordError


class Reader:
    """Counts its calls; a file that says "broken" cannot be read."""

    def __init__(self) -> None:
        self.calls = 0
        self.read = remembered(lambda path: [path], results=2)(self._read)

    def _read(self, path: Path) -> list[str]:
        self.calls += 1
        if not path.exists() or path.read_text() == "broken":
            raise RecordError(f"{path}: broken; repair it")
        return [path.read_text()]


def test_a_result_is_kept_until_its_file_changes(tmp_path: Path) -> None:
    reader, path = Reader(), tmp_path / "a"
    path.write_text("one")
    assert reader.read(path) is reader.read(path)
    assert reader.calls == 1
    path.write_text("two, longer")
    assert reader.read(path) == ["two, longer"]
    assert reader.calls == 2


def test_an_error_is_kept_too_and_raised_anew_each_time(tmp_path: Path) -> None:
    reader, path = Reader(), tmp_path / "a"
    path.write_text("broken")
    raised = []
    for _ in range(2):
        with pytest.raises(RecordError, match="a: broken; repair it") as caught:
            reader.read(path)
        raised.append(caught.value)
    assert reader.calls == 1
    assert raised[0] is not raised[1], "an error that is raised again would collect tracebacks"
    path.write_text("repaired")
    assert reader.read(path) == ["repaired"]


def test_a_file_that_was_missing_is_read_once_it_is_there(tmp_path: Path) -> None:
    reader, path = Reader(), tmp_path / "a"
    with pytest.raises(RecordError):
        reader.read(path)
    path.write_text("here")
    assert reader.read(path) == ["here"]


def test_the_oldest_result_makes_room(tmp_path: Path) -> None:
    reader = Reader()
    for name in "abcca":
        (tmp_path / name).write_text(name)
        assert reader.read(tmp_path / name) == [name]
    assert reader.calls == 5, "c was written anew, a had made room"
