"""Damaged files that a robot loads: blocks, models, recordings, messages, clouds and maps."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gguf import GGUFWriter
from PIL import Image
from rosbags.interfaces import Nodetype
from rosbags.rosbag2 import StoragePlugin, Writer
from safetensors.torch import save_file
from torch import Tensor

from perception.encoders.vit import Vit, VitSize
from perception.encoders.vit_weights import load_vit
from perception.errors import InputError
from perception.frozen.folded_file import load_folded
from perception.frozen.weights import load_blocks, write_slice
from perception.frozen.weights.gguf import NAMING as GGUF_NAMING
from perception.frozen.weights.hugging_face import LLAMA_BLOCK
from perception.frozen.weights.meta import NAMING as META_NAMING
from perception.scenes.classes import BOX_CLASSES
from perception.texts.answers import AnswerVocabulary
from perception.texts.vocabulary import Vocabulary
from perception.traffic.map_index import MapIndex
from perception.traffic.scenario import MapPolylines
from perception_nodes.forecasting.messages import READERS
from perception_nodes.recordings.reader import read_recording
from perception_nodes.recordings.recording import Recorder
from perception_nodes.recordings.recovery import recover
from perception_nodes.ros import messages as ros
from perception_nodes.ros.cdr import read_predicted_objects
from perception_nodes.ros.image import read_compressed_image, read_image
from perception_nodes.ros.map_message import map_message, map_of
from perception_nodes.ros.odometry import ego_pose_of
from perception_nodes.ros.point_cloud import read_point_cloud
from perception_nodes.ros.wire import Topic
from perception_nodes.scene_qa.messages import asked_question_of
from perception_nodes.scene_qa.scan_file import read_scan
from perception_tools.forecasting.model import Training, build_forecaster, load_model, save_model
from perception_tools.forecasting.recipes import ForecastRecipe
from perception_tools.model_metadata import MODEL_FILE
from perception_tools.scene_qa.model import KnownWords, SceneQaTraining, build_answerer, load_answerer, save_answerer
from perception_tools.scene_qa.recipes import ROOMS
from perception_tools.training.recipes import BlockRecipe

Fuzz = Callable[..., None]

SHAPE = "random:16x24x4x2"
LAYERS = 2


def _named(names: Mapping[str, str], layer: str) -> dict[str, Tensor]:
    """The blocks of a small model, and its final norm, under the names of a format."""
    tensors = {}
    for index, state in enumerate(load_blocks(f"{SHAPE}#0,1").states):
        tensors |= {layer.format(layer=index) + names[name]: value for name, value in state.items()}
    return tensors


def _read_block(folder: Path) -> None:
    load_blocks(f"{folder}#0,1")


def test_a_hugging_face_folder(fuzz: Fuzz, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    config = {
        "model_type": "llama",
        "hidden_size": 16,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "intermediate_size": 24,
        "num_hidden_layers": LAYERS,
        "rms_norm_eps": 1e-5,
    }
    (folder / "config.json").write_text(json.dumps(config))
    tensors = _named(LLAMA_BLOCK, "model.layers.{layer}.")
    first = {name: value for name, value in tensors.items() if ".0." in name}
    second = {name: value for name, value in tensors.items() if name not in first}
    index = {}
    for number, part in enumerate((first, second)):
        save_file(part, folder / f"model-{number}.safetensors")
        index |= dict.fromkeys(part, f"model-{number}.safetensors")
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": index}))
    fuzz(_read_block, folder)


def test_a_folder_of_metas(fuzz: Fuzz, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    params = {"dim": 16, "n_heads": 4, "n_kv_heads": 2, "n_layers": LAYERS, "norm_eps": 1e-5, "multiple_of": 8}
    (folder / "params.json").write_text(json.dumps(params | {"ffn_dim_multiplier": 0.5}))
    torch.save(_named(META_NAMING.block, META_NAMING.layer), folder / "consolidated.00.pth")
    fuzz(_read_block, folder)


def _read_gguf(folder: Path) -> None:
    load_blocks(f"{folder / 'model.gguf'}#0,1")


def _read_vit(folder: Path) -> None:
    encoder = Vit(VitSize(8, 1, 2), 4, (8, 8))
    for name in ("vit.pth", "vit.safetensors"):
        load_vit(folder / name, encoder, drop_head=True, resample=True)


def test_checkpoints_of_a_vision_transformer(fuzz: Fuzz, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    state = {**Vit(VitSize(8, 1, 2), 4, (12, 12)).state_dict(), "head.weight": torch.ones(3, 8)}
    torch.save({"model": state}, folder / "vit.pth")
    save_file(state, folder / "vit.safetensors")
    fuzz(_read_vit, folder)


def test_a_gguf_file(fuzz: Fuzz, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    writer = GGUFWriter(folder / "model.gguf", "llama")
    writer.add_block_count(LAYERS)
    writer.add_embedding_length(16)
    writer.add_feed_forward_length(24)
    writer.add_head_count(4)
    writer.add_head_count_kv(2)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_token_list([f"t{number}" for number in range(20)])
    for name, value in _named(GGUF_NAMING.block, GGUF_NAMING.layer).items():
        writer.add_tensor(name, value.numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    fuzz(_read_gguf, folder)


def _read_slice(folder: Path) -> None:
    load_blocks(str(folder / "block.safetensors"))


def test_a_sliced_block(fuzz: Fuzz, tmp_path: Path) -> None:
    write_slice(load_blocks(f"{SHAPE}#0,1"), tmp_path / "slice" / "block.safetensors")
    fuzz(_read_slice, tmp_path / "slice")


def _read_folded(folder: Path) -> None:
    load_folded(folder / "pipeline.safetensors")


def test_a_folded_block(fuzz: Fuzz, tmp_path: Path) -> None:
    from perception.frozen.adapter import build_adapter
    from perception.frozen.folded import fold
    from perception.frozen.folded_file import save_folded

    save_folded(fold(build_adapter(8, source=SHAPE), "int8"), tmp_path / "folded", "pipeline")
    fuzz(_read_folded, tmp_path / "folded")


def _message(kind: str) -> Any:
    """A message of a type, with three elements in every list."""

    def value(field: Any) -> Any:
        match field:
            case (Nodetype.BASE, ("string", _)):
                return "map"
            case (Nodetype.BASE, (name, _)):
                return name == "bool" or 1
            case (Nodetype.NAME, name):
                return _message(name)
            case (Nodetype.ARRAY | Nodetype.SEQUENCE as form, (element, length)):
                count = length if form is Nodetype.ARRAY else 3
                name = element[1][0] if element[0] is Nodetype.BASE else ""
                if name and name != "string":
                    return np.ones(count, name)
                return [value(element) for _ in range(count)]
        raise ValueError(field)

    fields = ros.typestore().fielddefs[kind][1]
    return ros.make(kind, **{name: value(field) for name, field in fields})


def _write_messages(folder: Path) -> None:
    """One message of every type that a node decodes, each in a file."""
    folder.mkdir()
    polylines = MapPolylines(
        ids=np.arange(2),
        points=np.arange(8, dtype=np.float64).reshape(2, 2, 2),
        kinds=np.zeros(2, np.int64),
        turns=np.zeros(2, np.int64),
        is_intersection=np.zeros(2, bool),
        has_traffic_control=np.zeros(2, bool),
    )
    cloud = replace(
        _message(ros.POINT_CLOUD),
        width=2,
        height=2,
        point_step=16,
        row_step=32,
        data=np.ones(64, np.uint8),
        fields=[
            ros.make("sensor_msgs/msg/PointField", name=name, offset=4 * index, datatype=kind, count=1)
            for index, (name, kind) in enumerate({"x": 7, "y": 7, "z": 7, "rgb": 6}.items())
        ],
    )
    camera = {"encoding": "yuv422", "height": 2, "width": 2, "step": 4, "data": np.ones(8, np.uint8)}
    file = io.BytesIO()
    Image.new("RGB", (4, 3), (9, 8, 7)).save(file, "PNG")
    packed = {"format": "png", "data": np.frombuffer(file.getvalue(), np.uint8)}
    made = {
        ros.IMAGE: replace(_message(ros.IMAGE), **camera),
        ros.COMPRESSED_IMAGE: replace(_message(ros.COMPRESSED_IMAGE), **packed),
        ros.POINT_CLOUD: cloud,
        ros.POLYLINE_MAP: map_message(MapIndex(polylines), "PIT"),
        **{kind: _message(kind) for kind in (ros.TRACKED_OBJECTS, ros.PREDICTED_OBJECTS, ros.DETECTIONS)},
        **{kind: _message(kind) for kind in (ros.ODOMETRY, ros.SCENE_QUESTION, ros.SCENE_ANSWER, ros.FORECAST_STATUS)},
    }
    for kind, message in made.items():
        (folder / kind.replace("/", "-")).write_bytes(ros.serialize(message, kind))


def _decode_messages(folder: Path) -> None:
    """Decodes every message; the first that is malformed must not hide what a later one does."""
    decoders: dict[str, Callable[[bytes], object]] = {
        ros.POINT_CLOUD: read_point_cloud,
        ros.IMAGE: read_image,
        ros.COMPRESSED_IMAGE: read_compressed_image,
        ros.POLYLINE_MAP: lambda cdr: map_of(ros.deserialize(cdr, ros.POLYLINE_MAP)),
        ros.TRACKED_OBJECTS: READERS[ros.TRACKED_OBJECTS],
        ros.DETECTIONS: READERS[ros.DETECTIONS],
        ros.PREDICTED_OBJECTS: read_predicted_objects,
        ros.ODOMETRY: lambda cdr: ego_pose_of(ros.deserialize(cdr, ros.ODOMETRY)),
        ros.SCENE_QUESTION: lambda cdr: asked_question_of(ros.deserialize(cdr, ros.SCENE_QUESTION), 0),
        ros.SCENE_ANSWER: lambda cdr: ros.deserialize(cdr, ros.SCENE_ANSWER),
        ros.FORECAST_STATUS: lambda cdr: ros.deserialize(cdr, ros.FORECAST_STATUS),
    }
    for kind, decode in decoders.items():
        path = folder / kind.replace("/", "-")
        with suppress(InputError):
            decode(path.read_bytes() if path.exists() else b"")


def test_messages(fuzz: Fuzz, tmp_path: Path) -> None:
    _write_messages(tmp_path / "messages")
    fuzz(_decode_messages, tmp_path / "messages")


def _record(path: Path) -> None:
    with Recorder(path, lossless=True) as recorder:
        for number in range(40):
            for kind in (ros.ODOMETRY, ros.FORECAST_STATUS):
                recorder.record(Topic(f"/{kind[:3]}", kind, "RIHS01_0"), number, ros.serialize(_message(kind), kind))


def _read_mcap(folder: Path) -> None:
    for _ in read_recording(folder / "a.mcap"):
        pass


def _recover_mcap(folder: Path) -> None:
    recover(folder / "a.mcap", folder.with_name("recovered.mcap"))


@pytest.mark.parametrize("read", [_read_mcap, _recover_mcap])
def test_an_mcap_recording(fuzz: Fuzz, tmp_path: Path, read: Callable[[Path], None]) -> None:
    (tmp_path / "recording").mkdir()
    _record(tmp_path / "recording" / "a.mcap")
    fuzz(read, tmp_path / "recording")


def _read_folder(folder: Path) -> None:
    for _ in read_recording(folder):
        pass


@pytest.mark.parametrize("storage", StoragePlugin)
def test_a_rosbag2_folder(fuzz: Fuzz, tmp_path: Path, storage: StoragePlugin) -> None:
    message = ros.serialize(_message(ros.ODOMETRY), ros.ODOMETRY)
    with Writer(tmp_path / "bag", version=9, storage_plugin=storage) as writer:
        connection = writer.add_connection("/odometry", ros.ODOMETRY, typestore=ros.typestore())
        for number in range(20):
            writer.write(connection, number, message)
    fuzz(_read_folder, tmp_path / "bag")


def _load_models(folder: Path) -> None:
    """Loads a model of either task; the first that is damaged must not hide what the other does."""
    for load, name in ((load_model, "forecaster"), (load_answerer, "answerer")):
        with suppress(InputError):
            load(folder / name)


def test_a_model_of_either_task(fuzz: Fuzz, tmp_path: Path) -> None:
    block = BlockRecipe(source=SHAPE)
    recipe = ForecastRecipe(block=block, dim=8, heads=2, global_layers=1, modes=2)
    training = Training("forecast/vectornet-llama", "made", 1, 2, 3, 1)
    save_model(tmp_path / "models" / "forecaster" / MODEL_FILE, build_forecaster(recipe, 3), recipe, training)
    asked = replace(ROOMS, block=block, blind=True, dim=8, heads=2, layers=1, pooled_dim=8, word_dim=8, text_dim=8)
    words = KnownWords(Vocabulary(("chair", "left")), AnswerVocabulary(("one", "two")))
    answerer = build_answerer(asked, words, torch.ones(len(BOX_CLASSES), 3))
    done = SceneQaTraining("scene-qa/rooms", "made", 1, 2, 3)
    save_answerer(tmp_path / "models" / "answerer" / MODEL_FILE, answerer, asked, words, done)
    fuzz(_load_models, tmp_path / "models")


def _read_scans(folder: Path) -> None:
    for name in ("a.ply", "b.ply", "a.pcd", "b.pcd"):
        with suppress(InputError):
            read_scan(folder / name, stamp_ns=0)


def test_a_scan(fuzz: Fuzz, tmp_path: Path) -> None:
    pytest.importorskip("trimesh")
    (tmp_path / "scans").mkdir()
    point = np.dtype([(name, "<f4") for name in "xyz"] + [(name, "u1") for name in ("red", "green", "blue")])
    packed = np.dtype([("xyz", "<f4", 3), ("rgb", "<u4")])
    kinds = {"f": "float", "u": "uchar"}
    head = "element vertex 9\n" + "".join(f"property {kinds[point[n].kind]} {n}\n" for n in point.names or ())
    fields = "FIELDS x y z rgb\nSIZE 4 4 4 4\nTYPE F F F U\nCOUNT 1 1 1 1\nWIDTH 9\nHEIGHT 1\nPOINTS 9\n"
    contents = {
        "a.ply": f"ply\nformat ascii 1.0\n{head}end_header\n".encode() + b"1 2 3 4 5 6\n" * 9,
        "b.ply": f"ply\nformat binary_little_endian 1.0\n{head}end_header\n".encode() + np.ones(9, point).tobytes(),
        "a.pcd": f"{fields}DATA ascii\n".encode() + b"1 2 3 4\n" * 9,
        "b.pcd": f"{fields}DATA binary\n".encode() + np.ones(9, packed).tobytes(),
    }
    for name, content in contents.items():
        (tmp_path / "scans" / name).write_bytes(content)
    _read_scans(tmp_path / "scans")
    fuzz(_read_scans, tmp_path / "scans")


@pytest.mark.parametrize("name", ["long-word.ply"])
def test_scans_that_ended_the_process_are_refused(corpus: Path, name: str) -> None:
    """Open3D's reader of PLY overruns its buffer with a word of more than 1023 letters."""
    pytest.importorskip("trimesh")
    with pytest.raises(InputError, match=f"{name}: "):
        read_scan(corpus / name, stamp_ns=0)


@pytest.mark.parametrize("name", ["endless-list.gguf", "endless-list-of-lists.gguf"])
def test_blocks_that_filled_the_memory_are_refused(corpus: Path, name: str) -> None:
    with pytest.raises(InputError, match=f"{name}: "):
        load_blocks(str(corpus / name))


def test_a_recording_with_a_chunk_of_3_gb_is_refused_and_left_out(corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"large-chunk\.mcap: .*a chunk of 3221225472 bytes; expected at most"):
        list(read_recording(corpus / "large-chunk.mcap"))
    with pytest.raises(InputError, match="holds no message that can be read"):
        recover(corpus / "large-chunk.mcap", tmp_path / "a.mcap")
