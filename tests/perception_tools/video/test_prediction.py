from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from perception.clips.clip import Clip
from perception.clips.resizing import resized
from perception.clips.sampling import view_images
from perception.errors import InputError
from perception_datasets.video.open_videos import open_videos
from perception_tools.video.model import load_recognizer
from perception_tools.video.prediction import Views, predict


def test_probabilities_are_the_mean_over_views_in_time_and_space(trained_recognizer: Path, clips: Path) -> None:
    trained, videos = load_recognizer(trained_recognizer), open_videos(clips, "val")
    found = predict(trained.recognizer, videos, views=Views(2, 3), shorter_side=20, batch=3)
    assert found.ids == videos.ids
    np.testing.assert_allclose(found.probabilities.sum(1), 1, atol=1e-5)
    for record, chances in zip(videos, found.probabilities, strict=True):
        expected = []
        for view in range(2):
            images = videos.decode(record, lambda n, view=view: view_images(n, 4, view, 2)).images
            for left in (0, 4, 8):  # 32 × 48 becomes 20 × 30, and that 16 × 24
                clip = Clip("x", resized(images, 20))
                square = trained.recognizer.input.squares(clip, 3)[left // 4]
                expected.append(trained.recognizer(square.unsqueeze(0)).softmax(-1).detach().numpy()[0])
        np.testing.assert_allclose(chances, np.mean(expected, 0), atol=1e-5)


def test_the_number_of_processes_and_clips_at_once_do_not_matter(trained_recognizer: Path, clips: Path) -> None:
    trained, videos = load_recognizer(trained_recognizer), open_videos(clips, "val")
    found = [predict(trained.recognizer, videos, batch=batch, workers=n) for batch, n in ((1, 0), (4, 2))]
    assert found[0].ids == found[1].ids
    np.testing.assert_allclose(found[0].probabilities, found[1].probabilities, atol=1e-5)


def test_the_order_of_images_can_be_taken_away(trained_recognizer: Path, clips: Path) -> None:
    trained, videos = load_recognizer(trained_recognizer), open_videos(clips, "val")
    by_order = {
        order: predict(trained.recognizer, videos, views=Views(1, 1, order)).probabilities
        for order in ("kept", "shuffled", "reversed", "still")
    }
    for order in ("shuffled", "reversed", "still"):
        assert np.abs(by_order[order] - by_order["kept"]).max() > 1e-5


@pytest.mark.parametrize("views", [(0, 3), (2, 0)])
def test_a_clip_is_seen_at_least_once(views: tuple[int, int]) -> None:
    with pytest.raises(InputError, match="-views 0: expected at least 1"):
        Views(*views)
