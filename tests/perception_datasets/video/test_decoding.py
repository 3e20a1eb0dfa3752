from __future__ import annotations

from collections.abc import Callable
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perception_datasets.errors import RecordError
from perception_datasets.video import decoding
from perception_datasets.video.decoding import count_images, decode_images

Write = Callable[..., Path]


def pictures(count: int, height: int = 32, width: int = 48) -> np.ndarray:
    """Images whose brightness tells which one they are, with a bright corner at the top left."""
    images = np.zeros((count, height, width, 3), np.uint8)
    images += (20 + 6 * np.arange(count, dtype=np.uint8))[:, None, None, None]
    images[:, : height // 4, : width // 4] = 250
    return images


def write_video(
    path: Path,
    count: int,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    times: np.ndarray | None = None,
    options: dict[str, str] | None = None,
) -> Path:
    usual = {"g": "5", "bf": "2", "sc_threshold": "0"} if codec == "libx264" else {"g": "5"}
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(codec, rate=10, options=usual | (options or {}))
        stream.width, stream.height, stream.pix_fmt = 48, 32, pix_fmt
        stream.codec_context.time_base = stream.time_base = Fraction(1, 1000)
        for number, image in enumerate(pictures(count)):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts = int(100 * number if times is None else times[number])
            frame.time_base = Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def of(numbers: list[int]) -> Callable[[int], np.ndarray]:
    return lambda _count: np.array(numbers)


def every(count: int) -> np.ndarray:
    return np.arange(count)


@pytest.fixture(scope="module")
def h264(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_video(tmp_path_factory.mktemp("videos") / "b.mp4", 23)


@settings(max_examples=25)
@given(st.lists(st.integers(0, 22), min_size=1, max_size=6))
def test_chosen_images_are_those_of_decoding_everything(h264: Path, numbers: list[int]) -> None:
    whole = decode_images(h264, h264, every, seek=False)
    assert len(whole) == count_images(h264, h264) == 23
    for video in (h264, h264.read_bytes()):
        np.testing.assert_array_equal(decode_images(video, h264, of(numbers)), whole[numbers])


@pytest.mark.parametrize(
    ("codec", "ending", "pix_fmt"),
    [("libx264", "mkv", "yuv420p"), ("libx264", "mp4", "yuv420p10le"), ("libvpx-vp9", "webm", "yuv420p"),
     ("libvpx", "webm", "yuv420p"), ("mpeg4", "avi", "yuv420p"), ("mjpeg", "avi", "yuvj420p")],
)  # fmt: skip
def test_formats_give_the_images_that_were_written(codec: str, ending: str, pix_fmt: str, tmp_path: Path) -> None:
    path = write_video(tmp_path / f"v.{ending}", 12, codec, pix_fmt)
    whole = decode_images(path, path, every, seek=False)
    assert whole.shape == (12, 32, 48, 3)
    assert np.abs(whole.mean((1, 2, 3)) - pictures(12).mean((1, 2, 3))).max() < 8
    chosen = [11, 3, 3, 7]
    np.testing.assert_array_equal(decode_images(path, path, of(chosen)), whole[chosen])


def test_only_what_is_between_a_keyframe_and_a_chosen_image_is_decoded(
    h264: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded = []
    opened = decoding._opened

    def counted(*args: Any) -> Any:
        @contextmanager
        def inside() -> Any:
            with opened(*args) as (container, stream):
                yield Counting(container), stream

        return inside()

    class Counting:
        def __init__(self, container: Any) -> None:
            self.container = container

        def __getattr__(self, name: str) -> Any:
            return getattr(self.container, name)

        def decode(self, stream: Any) -> Any:
            for frame in self.container.decode(stream):
                decoded.append(frame.pts)
                yield frame

    monkeypatch.setattr(decoding, "_opened", counted)
    decode_images(h264, h264, of([21]))
    assert len(decoded) <= 4, "the last keyframe is image 20"
    decoded.clear()
    decode_images(h264, h264, of([1, 21]))
    assert len(decoded) <= 6


def test_images_of_a_video_of_variable_rate_are_counted_not_timed(tmp_path: Path) -> None:
    times = np.array([0, 10, 20, 30, 900, 5000, 5010, 9000])
    path = write_video(tmp_path / "variable.mkv", 8, times=times)
    whole = decode_images(path, path, every, seek=False)
    assert len(whole) == 8
    np.testing.assert_array_equal(decode_images(path, path, of([4, 6])), whole[[4, 6]])


def test_a_single_image_is_a_video(tmp_path: Path) -> None:
    path = write_video(tmp_path / "one.mp4", 1)
    assert decode_images(path, path, of([0, 0])).shape == (2, 32, 48, 3)


@pytest.mark.parametrize(("degrees", "shape"), [(90, (48, 32)), (-90, (48, 32)), (180, (32, 48))])
def test_the_display_matrix_is_applied(
    degrees: int, shape: tuple[int, int], monkeypatch: pytest.MonkeyPatch, h264: Path
) -> None:
    class Turned:
        def __init__(self, frame: Any) -> None:
            self.frame, self.rotation = frame, degrees

        def __getattr__(self, name: str) -> Any:
            return getattr(self.frame, name)

    add = decoding._Images.add
    monkeypatch.setattr(decoding._Images, "add", lambda self, frame, places: add(self, Turned(frame), places))  # pyright: ignore[reportArgumentType]
    image = decode_images(h264, h264, of([2]))[0]
    assert image.shape == (*shape, 3)
    corners = {90: (-1, 0), -90: (0, -1), 180: (-1, -1)}  # where the top left corner goes, counter-clockwise
    assert image[corners[degrees]].mean() > 200
    assert image[0, 0].mean() < 100


@pytest.mark.parametrize("content", [b"", b"no video at all", b"#EXTM3U\n#EXTINF:1,\n/etc/passwd\n"])
def test_what_is_no_video_is_named(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    path.write_bytes(content)
    with pytest.raises(RecordError, match=r"clip\.mp4: .*; copy the video again"):
        decode_images(path, path, every)


def test_a_playlist_opens_no_other_file(h264: Path, tmp_path: Path) -> None:
    path = tmp_path / "list.m3u8"
    path.write_text(f"#EXTM3U\n#EXTINF:1,\n{h264}\n#EXT-X-ENDLIST\n")
    with pytest.raises(RecordError, match=r"list\.m3u8"):
        decode_images(path, path, every)


def test_a_missing_video_is_named(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match=r"gone\.webm: .*no such file|gone\.webm.*No such file"):
        decode_images(tmp_path / "gone.webm", tmp_path / "gone.webm", every)


def test_a_video_that_was_cut_short_gives_what_it_has(tmp_path: Path) -> None:
    content = write_video(tmp_path / "v.mkv", 40, options={"g": "4"}).read_bytes()
    for part in (0.8, 0.9):
        images = decode_images(content[: int(part * len(content))], Path("cut.mkv"), every)
        assert 0 < len(images) < 40
    with pytest.raises(RecordError, match=r"cut\.mkv"):
        decode_images(content[:300], Path("cut.mkv"), every)


def test_a_file_without_images_is_named(tmp_path: Path) -> None:
    path = tmp_path / "sound.mkv"
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("pcm_s16le", rate=8000)
        frame: Any = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), layout="mono")
        frame.rate = 8000
        container.mux(stream.encode(frame))
    with pytest.raises(RecordError, match="found a file without any"):
        decode_images(path, path, every)


@pytest.mark.parametrize(("name", "limit"), [("MAX_IMAGE_PIXELS", 1000), ("MAX_CLIP_BYTES", 5000)])
def test_huge_images_are_refused_before_they_take_memory(
    name: str, limit: int, h264: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoding, name, limit)
    with pytest.raises(RecordError, match=r"expected .*at most.*48"):
        decode_images(h264, h264, every)


def test_too_many_images_are_refused(h264: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "MAX_IMAGES", 10)
    with pytest.raises(RecordError, match="at most 10 images"):
        decode_images(h264, h264, every)
    with pytest.raises(RecordError, match="at most 10 images, found 23"):
        count_images(h264, h264)


def test_real_videos_are_decoded_exactly_or_named(real_data: Path) -> None:
    expected = {
        "video_clips/smth-smth-1.webm": (47, 240, 427),
        "video_clips/RATRACE_wave_f_nm_np1_fr_goo_37.avi": (72, 240, 560),
        "video_clips/hmdb51_Turnk_r_Pippi_Michel_cartwheel_f_cm_np2_le_med_6.avi": (
            83,
            240,
            320,
        ),  # metadata in Latin-1
        "video_clips/decord_unordered.mov": (4, 50, 50),
        "video_clips/decord_video_90.mov": (3, 568, 320),
        "video_clips/decord_video_180.mov": (3, 320, 568),
        "video/rawvideo_dataset__part_0.mp4": (32, 256, 340),
    }
    rng = np.random.default_rng(0)
    for name, shape in expected.items():
        path = real_data / name
        whole = decode_images(path, path, every, seek=False)
        assert whole.shape == (*shape, 3)
        chosen = rng.integers(0, len(whole), 4).tolist()
        np.testing.assert_array_equal(decode_images(path, path, of(chosen)), whole[chosen])
    broken = real_data / "video_clips" / "decord_corrupted.mp4"
    with pytest.raises(RecordError, match=r"decord_corrupted\.mp4: .*Invalid data"):
        decode_images(broken, broken, every)
