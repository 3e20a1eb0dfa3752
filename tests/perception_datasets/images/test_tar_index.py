from __future__ import annotations

import gzip
import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perception_datasets.errors import RecordError
from perception_datasets.images.tar_index import MemberPlace, read_index

WriteTar = Callable[..., Path]
parts = st.text(st.characters(codec="utf-8", exclude_characters="/\0\n", exclude_categories=("Cs",)), min_size=1)
names = st.lists(parts.filter(lambda part: part not in (".", "..")), min_size=1, max_size=4).map("/".join)


def by_tarfile(path: Path) -> list[tuple[str, int, int]]:
    with tarfile.open(path) as archive:
        return [(m.name, m.offset_data, m.size) for m in archive if m.isfile()]


@settings(max_examples=30)  # each writes a file
@given(
    st.dictionaries(names, st.binary(max_size=1500), max_size=6),
    st.sampled_from([tarfile.PAX_FORMAT, tarfile.GNU_FORMAT]),
)
def test_members_are_those_that_tarfile_finds(
    write_tar: WriteTar, tmp_path_factory: pytest.TempPathFactory, members: dict[str, bytes], format: int
) -> None:
    path = write_tar(tmp_path_factory.mktemp("tar") / "a.tar", members, format)
    found = read_index(path)
    assert [(m.name, m.offset, m.size) for m in found] == by_tarfile(path)
    for member in found:
        assert MemberPlace(path, member.name, member.offset, member.size).read() == members[member.name]


@pytest.mark.parametrize("format", [tarfile.USTAR_FORMAT, tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_long_names_folders_and_a_leading_dot_are_read(tmp_path: Path, format: int) -> None:
    long = "/".join(["n01440764"] * 14) + "/picture.JPEG"
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w", format=format) as archive:
        folder = tarfile.TarInfo("train")
        folder.type = tarfile.DIRTYPE
        archive.addfile(folder)
        for name in ("./train/a.jpg", long):
            member = tarfile.TarInfo(name)
            member.size = 700
            archive.addfile(member, io.BytesIO(b"x" * 700))
    assert [(m.name, m.size) for m in read_index(path)] == [("train/a.jpg", 700), (long, 700)]


def test_every_cut_of_an_archive_is_refused(write_tar: WriteTar, tmp_path: Path) -> None:
    path = write_tar(tmp_path / "a.tar", {"a.jpg": b"x" * 600, "b.jpg": b"y" * 600})
    data = path.read_bytes()
    end = 2 * (512 + 1024)
    for length in (0, 100, 512, 1000, 1536, 1537, 2048, end - 1, end, end + 511):
        path.write_bytes(data[:length])
        with pytest.raises(RecordError, match=r"a\.tar: .*; copy the archive again, or write it anew with tar$"):
            read_index(path)
    path.write_bytes(data[: end + 512])  # the end of the archive is one empty block
    assert len(read_index(path)) == 2


def test_a_damaged_header_is_refused_where_tarfile_ends_in_silence(write_tar: WriteTar, tmp_path: Path) -> None:
    path = write_tar(tmp_path / "a.tar", {"a.jpg": b"x" * 600, "b.jpg": b"y" * 600})
    data = bytearray(path.read_bytes())
    data[1536] ^= 1
    path.write_bytes(data)
    assert len(by_tarfile(path)) == 1
    with pytest.raises(RecordError, match="expected the header of a member at byte 1,536, found something else"):
        read_index(path)


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        (tarfile.SYMTYPE, "a.jpg: expected a file, found a link; write the archive with tar --dereference"),
        (tarfile.LNKTYPE, "a.jpg: expected a file, found a link"),
        (tarfile.FIFOTYPE, "a.jpg: expected a file, found a member of kind b'6'"),
        (tarfile.GNUTYPE_SPARSE, "a.jpg: expected a file, found a member of kind b'S'; write it without --sparse"),
    ],
)
def test_what_is_no_file_is_refused(tmp_path: Path, kind: bytes, reason: str) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        member = tarfile.TarInfo("a.jpg")
        member.type = kind
        archive.addfile(member)
    with pytest.raises(RecordError, match=reason):
        read_index(tmp_path / "a.tar")


def test_compressed_archives_are_refused_with_the_cure(write_tar: WriteTar, tmp_path: Path) -> None:
    path = write_tar(tmp_path / "a.tar", {"a.jpg": b"x" * 600})
    path.write_bytes(gzip.compress(path.read_bytes()) + b"\0" * 512)
    with pytest.raises(RecordError, match=r"expected an archive that is not compressed, found one .*; decompress it"):
        read_index(path)


def test_an_archive_that_shrank_since_it_was_indexed_is_refused_by_member(write_tar: WriteTar, tmp_path: Path) -> None:
    path = write_tar(tmp_path / "a.tar", {"a.jpg": b"x" * 600})
    (member,) = read_index(path)
    path.write_bytes(path.read_bytes()[:700])
    with pytest.raises(RecordError, match=r"a\.tar/a\.jpg: expected 600 bytes, found 188"):
        MemberPlace(path, member.name, member.offset, member.size).read()


def test_real_archives_have_the_members_that_tarfile_finds(real_data: Path) -> None:
    path = real_data / "tiny_imagenet40" / "test.tar"
    assert [(m.name, m.offset, m.size) for m in read_index(path)] == by_tarfile(path)
