"""Classes of ScanNet: NYU40 for points, and the 18 benchmark classes for boxes."""

NYU40 = (
    "unannotated",
    "wall",
    "floor",
    "cabinet",
    "bed",
    "chair",
    "sofa",
    "table",
    "door",
    "window",
    "bookshelf",
    "picture",
    "counter",
    "blinds",
    "desk",
    "shelves",
    "curtain",
    "dresser",
    "pillow",
    "mirror",
    "floor mat",
    "clothes",
    "ceiling",
    "books",
    "refrigerator",
    "television",
    "paper",
    "towel",
    "shower curtain",
    "box",
    "whiteboard",
    "person",
    "night stand",
    "toilet",
    "sink",
    "lamp",
    "bathtub",
    "bag",
    "other structure",
    "other furniture",
    "other prop",
)
"""Class names by NYU40 number."""

STRUCTURE = tuple(NYU40.index(name) for name in ("unannotated", "wall", "floor", "ceiling"))
"""Classes that are not objects; SQA3D has boxes for all others."""

BOX_CLASS_NYU40 = (3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 14, 16, 24, 28, 33, 34, 36)
"""NYU40 numbers of the first 17 box classes."""

BOX_CLASSES = (*(NYU40[i] for i in BOX_CLASS_NYU40), "others")
"""ScanNet's 18 benchmark classes as numbered by ScanRefer, ScanQA and SQA3D; the rest is `others`."""
