"""Draws the picture of the house in README.md: `python .readme/make_house.py` writes house.svg beside this file."""

from __future__ import annotations

from pathlib import Path
from xml.sax.saxutils import escape

WIDTH, HEIGHT = 960, 456
INK, GREY, PAPER = "#1f2328", "#656d76", "#ffffff"
BLUE, ICE, SAND = ("#ddf4ff", "#54aeff"), ("#0b3d66", "#0b3d66"), ("#fff8e5", "#d4a72c")

HEADINGS = ((110, "sense"), (310, "encoder"), (480, "block"), (650, "head"), (838, "answer"))
ROWS = (  # sense, encoder, head, answer
    ("tracks and map", "VectorNet", "trajectory head", "futures of every agent"),
    ("point cloud and question", "VoteNet, LSTM", "answer head", "ranked answers"),
    ("images, clouds, clips", "next encoders", "next heads", "classes, actions"),
)
FOLDERS = (  # name, job
    ("datasets/", "files → perception types", 40),
    ("perception/", "tensors in, tensors out", 280),
    ("nodes/", "streams → answers", 520),
    ("tools/", "what people run", 280),
    ("tests/", "one test file a source file", 760),
)


def text(x: float, y: float, words: str, size: int = 14, color: str = INK, *, bold: bool = False) -> str:
    """Centred text."""
    weight = ' font-weight="600"' if bold else ""
    return (
        f'<text x="{x}" y="{y}" font-size="{size}" fill="{color}" text-anchor="middle"{weight}>{escape(words)}</text>'
    )


def box(x: float, y: float, width: float, height: float, paint: tuple[str, str], *, dashed: bool = False) -> str:
    """A rounded box; a dashed one is not built yet."""
    fill, stroke = paint
    dash = ' stroke-dasharray="5 4"' if dashed else ""
    size = f'x="{x}" y="{y}" width="{width}" height="{height}"'
    return f'<rect {size} rx="8" fill="{fill}" stroke="{stroke}" stroke-width="1.5"{dash}/>'


def arrow(x: float, y: float, to_x: float, to_y: float, *, dashed: bool = False) -> str:
    """A line with a head at its end."""
    dash = ' stroke-dasharray="5 4"' if dashed else ""
    line = f'x1="{x}" y1="{y}" x2="{to_x}" y2="{to_y}"'
    return f'<line {line} stroke="{GREY}" stroke-width="1.5" marker-end="url(#head)"{dash}/>'


def pipeline() -> list[str]:
    """The upper half: each row goes through the one block."""
    parts = [text(x, 34, name, 13, GREY) for x, name in HEADINGS]
    for row, (sense, encoder, head, answer) in enumerate(ROWS):
        y, dashed = 48 + 62 * row, row == len(ROWS) - 1
        color = GREY if dashed else INK
        parts += [
            text(110, y + 28, sense, 14, color),
            arrow(204, y + 23, 240, y + 23, dashed=dashed),
            box(245, y, 130, 46, BLUE, dashed=dashed),
            text(310, y + 28, encoder, 14, color),
            arrow(375, y + 23, 406, y + 23, dashed=dashed),
            arrow(550, y + 23, 580, y + 23, dashed=dashed),
            box(585, y, 130, 46, BLUE, dashed=dashed),
            text(650, y + 28, head, 14, color),
            arrow(715, y + 23, 740, y + 23, dashed=dashed),
            text(838, y + 28, answer, 14, color),
        ]
    return [
        *parts,
        box(411, 48, 138, 170, ICE),
        text(480, 108, "one block", 16, PAPER, bold=True),
        text(480, 131, "of a language", 13, PAPER),
        text(480, 150, "model, frozen,", 13, PAPER),
        text(480, 169, "shared by all", 13, PAPER),
    ]


def folders() -> list[str]:
    """The lower half: the five folders, and which imports which."""
    parts = []
    for name, job, x in FOLDERS:
        y = 380 if name == "tools/" else 280
        parts += [
            box(x, y, 180, 54, SAND),
            text(x + 90, y + 23, name, 15, INK, bold=True),
            text(x + 90, y + 42, job, 12, GREY),
        ]
    parts += [
        arrow(220, 307, 275, 307),
        arrow(520, 307, 465, 307),
        arrow(370, 380, 370, 339),
        arrow(300, 380, 170, 338),
        arrow(440, 380, 570, 338),
        text(850, 356, "tests import everything", 12, GREY),
        text(590, 414, "A → B: A imports B", 12, GREY),
    ]
    return parts


def draw() -> str:
    """The whole picture as SVG."""
    marker = (
        '<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        f'<path d="M0 0 8 4 0 8z" fill="{GREY}"/></marker></defs>'
    )
    frame = f'<rect width="{WIDTH}" height="{HEIGHT}" rx="12" fill="{PAPER}"/>'
    rule = f'<line x1="40" y1="248" x2="{WIDTH - 40}" y2="248" stroke="#d0d7de"/>'
    opening = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" '
        'font-family="-apple-system, Segoe UI, Helvetica, Arial, sans-serif">'
    )
    return "\n".join([opening, marker, frame, rule, *pipeline(), *folders(), "</svg>", ""])


if __name__ == "__main__":
    Path(__file__).with_name("house.svg").write_text(draw(), encoding="utf-8")
