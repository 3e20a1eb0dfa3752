"""Stores at a URL that fsspec knows, such as s3://bucket/store: copied to a local disk and back, part by part.

A split is copied once instead of being read over the network record by record, since training reads it in random order
again and again. Parts are told apart by their digests, so a copy that was broken off is continued, and a part that did
not change is not copied again. The file that completes a split is copied last, so a reader never takes a split for
whole that is not. Nobody holds a lock at a URL: where two write the same split at the same time, its parts do not match
its list, which a reader is told.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import fsspec

from perception.errors import InputError
from perception.files import cache_folder
from perception_datasets.stores import part, shared_rows, store
from perception_datasets.stores.group import METADATA, load_attributes

_FILES = (part.CHUNK, f"{part.ARRAY}/{METADATA}", METADATA)
"""Files of a part, in the order in which they are written; a part without records has no chunk."""


def local_copy(url: str) -> Path:
    """Returns where the copy of a store is: in $PERCEPTION_CACHE, or else in ~/.cache/frozen-perception."""
    return cache_folder() / "stores" / hashlib.sha256(url.rstrip("/").encode()).hexdigest()[:16]


def download(url: str, split: str) -> Path:
    """Brings the local copy of a split up to date; returns the folder of the store's copy.

    Raises:
        InputError: There is no such store or split, it is damaged, or it cannot be read or copied.
    """
    folder = local_copy(url)
    with _at(url) as (files, root):
        if not files.exists(f"{root}/{METADATA}"):
            raise InputError(f"{url}: expected a store, found none; check the URL")
        _get(files, f"{root}/{METADATA}", folder / METADATA)
        store.read_info(folder)  # one of another version is refused before it is copied
        if not files.exists(f"{root}/{split}/{METADATA}"):
            raise InputError(f"{url}: expected a complete split {split!r}, found none; {part.CURE}")
        listed = folder / split / METADATA
        new = listed.with_name(".new") / METADATA
        _get(files, f"{root}/{split}/{METADATA}", new)
        for path, own in _contents(folder, split, load_attributes(new.parent, part.CURE) or {}):
            if _digest(path) != own:
                shutil.rmtree(path, ignore_errors=True)
                for name in _FILES:
                    source = f"{root}/{split}/{path.name}/{name}"
                    if name != part.CHUNK or files.exists(source):
                        _get(files, source, path / name)
        new.replace(listed)
        new.parent.rmdir()
    return folder


def upload(folder: Path, url: str, splits: Sequence[str]) -> None:
    """Writes splits of a local store to a URL; parts that are there already are left as they are.

    Raises:
        InputError: It cannot be written.
    """
    with _at(url) as (files, root):
        for split in splits:
            for path, own in _contents(folder, split, asdict(store.read_split(folder, split))):
                there = f"{root}/{split}/{path.name}"
                if files.exists(f"{there}/{METADATA}") and own in str(files.read_text(f"{there}/{METADATA}")):
                    continue
                if files.exists(f"{root}/{split}/{METADATA}"):  # it is not whole while its parts change
                    files.rm_file(f"{root}/{split}/{METADATA}")
                for name in (name for name in _FILES if (path / name).exists()):
                    _put(files, path / name, f"{there}/{name}")
            _put(files, folder / split / METADATA, f"{root}/{split}/{METADATA}")
        _put(files, folder / METADATA, f"{root}/{METADATA}")


def _contents(folder: Path, split: str, listed: Mapping[str, Any]) -> Iterator[tuple[Path, str]]:
    """Yields the folder and the digest of each segment and part that a split lists; records refer to segments."""
    for number, own in enumerate(listed.get("segments", ())):
        yield shared_rows.segment_path(folder / split, number), own
    for number, own in enumerate(listed.get("parts", ())):
        yield store.part_path(folder, split, number), own


def _digest(path: Path) -> object:
    """Returns the digest that a part of the copy states; None where there is none."""
    try:
        return (load_attributes(path, part.CURE) or {}).get("digest")
    except InputError:
        return None


def _get(files: fsspec.AbstractFileSystem, source: str, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    files.get_file(source, str(path))


def _put(files: fsspec.AbstractFileSystem, path: Path, target: str) -> None:
    files.makedirs(target.rpartition("/")[0], exist_ok=True)
    files.put_file(str(path), target)


@contextmanager
def _at(url: str) -> Iterator[tuple[fsspec.AbstractFileSystem, str]]:
    """Yields a file system and the path there; whatever a file system raises becomes an InputError."""
    try:
        files, root = fsspec.url_to_fs(url.rstrip("/"))
        files.invalidate_cache()
        yield files, root
    except InputError:
        raise
    except ImportError as error:
        raise InputError(f"{url}: {error}") from error
    except Exception as error:  # each file system has errors of its own
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise InputError(f"{url}: cannot be used ({reason}); check the URL and your credentials") from error
