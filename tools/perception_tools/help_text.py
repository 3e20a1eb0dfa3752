"""Docstrings as help: where a line of the source was only full, the help does not break."""

from __future__ import annotations

import re

SOURCE_WIDTH = 120
"""Width to which docstrings are filled in the source."""
_ENTRY = re.compile(r"\w+:")


def join_lines(text: str) -> str:
    """Joins each line to the one before that breaks off within a sentence, or that had no room for its first word.

    Other breaks are meant, as between the entries of a list or of `Args`.
    """
    joined: list[str] = []
    before = ""  # the line before, as it stands in the source
    for line in text.split("\n"):
        word = (line.split(maxsplit=1) or [""])[0]
        full = len(before) + 1 + len(word) > SOURCE_WIDTH or not before.endswith((".", ":"))
        if word and before.strip() and full and not _ENTRY.fullmatch(word):
            joined[-1] += " " + line.strip()
        else:
            joined.append(line)
        before = line
    return "\n".join(joined)
