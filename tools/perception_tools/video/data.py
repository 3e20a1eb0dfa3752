"""Clips as a model sees them: images chosen and decoded, in training cropped and changed alike, normalised."""

from __future__ import annotations

import zlib

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float32, Int, UInt8
from PIL import Image
from timm.data.random_erasing import RandomErasing
from torch import Tensor
from torch.utils.data import Dataset

from perception.clips.clip import Clip
from perception.clips.clip_input import ClipInput
from perception.clips.resizing import resized
from perception.clips.sampling import middle_images, random_images
from perception_datasets.images.cropping import RandomResizedCrop
from perception_datasets.video.decoding import Choose
from perception_datasets.video.records import VideoRecord, Videos
from perception_tools.classification.predictions import Prepared, prepare
from perception_tools.classification.records import ShownRecord, show_readable
from perception_tools.training.augmentation import seeded, timm_changes
from perception_tools.training.sampler import Key
from perception_tools.video.recipes import ActionRecipe, Order


class ClipReader:
    """Reads images of videos, and keeps whole videos in memory as long as there is room.

    Args:
        videos: The split.
        shorter_side: Shorter side in pixels to which images are resized; 0 leaves them as they are.
        keep_bytes: Size of all that is kept, together.
    """

    def __init__(self, videos: Videos, shorter_side: int = 0, keep_bytes: int = 0) -> None:
        self.videos, self._side, self._left = videos, shorter_side, keep_bytes
        self._kept: dict[str, np.ndarray] = {}

    def read(self, record: VideoRecord, choose: Choose) -> Clip:
        """Returns the images of a video that are chosen once their number is known.

        Raises:
            RecordError: They cannot be decoded.
        """
        whole = self._kept.get(record.id)
        if whole is None and self._left > 0:
            whole = resized(self.videos.decode(record, np.arange).images, self._side)
            if whole.nbytes <= self._left:
                self._left -= whole.nbytes
                self._kept[record.id] = whole
            else:
                self._left = 0  # those that follow are decoded in every pass
        if whole is not None:
            return Clip(record.id, whole[choose(len(whole))])
        clip = self.videos.decode(record, choose)
        return Clip(clip.id, resized(clip.images, self._side))

    def __len__(self) -> int:
        """Number of videos that are kept."""
        return len(self._kept)


def ordered(chosen: Int[np.ndarray, " images"], order: Order, seed: object) -> Int[np.ndarray, " images"]:
    """Returns the images of a clip in another order; a control that tells whether a model uses the order.

    Args:
        chosen: The images, in the order of time.
        order: `shuffled` is the same for the same seed.
        seed: Anything with a representation; the name of a clip.
    """
    if order == "shuffled":
        return np.random.default_rng(zlib.crc32(repr(seed).encode())).permutation(chosen)
    if order == "reversed":
        return chosen[::-1]
    return np.full_like(chosen, chosen[len(chosen) // 2]) if order == "still" else chosen


class TrainingClips(Dataset[ShownRecord]):
    """Clips by the sampler's keys; what is random is a function of seed, pass and video.

    A video that cannot be decoded is replaced by the next one, and named. Images are cropped before RandAugment changes
    them, as timm does with pictures; VideoMAE crops afterwards.

    Args:
        reader: Reads the training split; all of its videos have labels.
        recipe: Augmentation and size.
        shown: How the model is shown clips.

    Raises:
        InputError: timm does not know such an augmentation.
    """

    def __init__(self, reader: ClipReader, recipe: ActionRecipe, shown: ClipInput) -> None:
        self.reader, self.recipe, self._shown = reader, recipe, shown
        changes = recipe.augmentation
        self._change, _ = timm_changes(recipe.picture, changes.auto_augment, 0.0, 0.0, "pixel")
        self._erase = RandomErasing(changes.erasing, mode=changes.erasing_mode, device="cpu")
        self._crop = RandomResizedCrop(recipe.picture, scale=(changes.scale, 1.0), mirror=changes.mirror)

    def __len__(self) -> int:
        return len(self.reader.videos)

    def __getitem__(self, key: Key) -> ShownRecord:
        """A clip, cropped and changed.

        Raises:
            InputError: It and those after it cannot be decoded.
        """
        videos = self.reader.videos

        def show(index: int) -> list[Float32[Tensor, "3 time size size"]]:
            rng = np.random.default_rng((self.recipe.seed, key.data_pass, key.index))
            clip = self.reader.read(videos[index], self._chooser(videos.ids[index], rng))
            return [self._changed(clip, rng) for _ in range(self.recipe.augmentation.views)]

        return show_readable(videos, key.index, show, "videos")

    def _chooser(self, name: str, rng: np.random.Generator) -> Choose:
        def choose(length: int) -> Int[np.ndarray, " images"]:
            chosen = random_images(length, self.recipe.images, rng)
            return ordered(chosen, self.recipe.order, (name, int(rng.integers(2**32))))

        return choose

    def _changed(self, clip: Clip, rng: np.random.Generator) -> Float32[Tensor, "3 time size size"]:
        box = self._crop.draw(clip.images.shape[2], clip.images.shape[1], rng)
        part = clip.images[:, box.top : box.top + box.height, box.left : box.left + box.width]
        if rng.random() < self._crop.mirror:
            part = part[:, :, ::-1]
        planes = torch.from_numpy(np.ascontiguousarray(part)).permute(0, 3, 1, 2)
        size = (self._crop.size, self._crop.size)
        planes = F.interpolate(planes, size, mode=self._crop.interpolation, antialias=True)
        seed = int(rng.integers(2**32))
        if self.recipe.augmentation.auto_augment:
            planes = torch.stack([self._augmented(image, seed) for image in planes])
        made = self._shown.normalised(planes)
        with seeded(seed):
            return self._erase(made.flatten(0, 1)).view_as(made)  # as one picture: the same part of every image

    def _augmented(self, image: UInt8[Tensor, "3 size size"], seed: int) -> UInt8[Tensor, "3 size size"]:
        with seeded(seed):  # each image of a clip anew: all are changed alike
            changed = self._change(Image.fromarray(image.permute(1, 2, 0).numpy()))
        return torch.from_numpy(np.array(changed)).permute(2, 0, 1)


class ValidationClips(Dataset[Prepared]):
    """Clips as the model is shown them in service: images in the middles of segments, and of those the middle.

    Args:
        reader: Reads the split; all of its videos have labels.
        shown: How the model is shown clips.
        order: Order of the images.
    """

    def __init__(self, reader: ClipReader, shown: ClipInput, order: Order = "kept") -> None:
        self.reader, self._shown = reader, shown
        self._order: Order = order

    def __len__(self) -> int:
        return len(self.reader.videos)

    def __getitem__(self, index: int) -> Prepared:
        """A clip of the split."""
        record = self.reader.videos[index]

        def choose(length: int) -> Int[np.ndarray, " images"]:
            return ordered(middle_images(length, self._shown.images), self._order, record.id)

        return prepare(record.id, record.label, lambda: self._shown.prepare(self.reader.read(record, choose)))
