"""Headers of checkpoints: exact bytes from files that the libraries themselves wrote, and damaged files refused in words."""

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from attometer.count.model_cost import cache, parameters
from attometer.errors import AttometerError
from attometer.formats.gguf_file import read_gguf
from attometer.formats.safetensors import read_folder, read_safetensors
from attometer.models import model
from attometer.models.stored import weight_formats


def write_safetensors(path: Path, tensors: dict[str, tuple[str, list[int], int]]) -> Path:
    header, at = {}, 0
    for name, (kind, shape, size) in tensors.items():
        header[name] = {"dtype": kind, "shape": shape, "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + bytes(at))
    return path


def text(value: str) -> bytes:
    return struct.pack("<Q", len(value)) + value.encode()


def write_gguf(path: Path, metadata: dict[str, Any], tensors: dict[str, tuple[list[int], int]], data: int) -> Path:
    out = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(metadata))
    for key, value in metadata.items():
        if isinstance(value, str):
            out += text(key) + struct.pack("<I", 8) + text(value)
        elif isinstance(value, list):
            out += text(key) + struct.pack("<IIQ", 9, 8, len(value)) + b"".join(map(text, value))
        else:
            out += text(key) + struct.pack("<II", 4, value)
    at = 0
    for name, (shape, kind) in tensors.items():
        out += text(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, kind, at)
    path.write_bytes(out + bytes(data))
    return path


def test_a_file_of_the_safetensors_library_is_read(tmp_path: Path) -> None:
    numpy = pytest.importorskip("safetensors.numpy")
    numpy.save_file(
        {"a.weight": np.zeros((3, 5), np.float16), "b": np.zeros(7, np.float32)}, tmp_path / "m.safetensors"
    )
    found = read_safetensors(tmp_path / "m.safetensors")
    assert found.tensors["a.weight"].shape == (3, 5)
    assert found.total == 3 * 5 * 2 + 7 * 4
    assert found.by_type() == {"F16": 30, "F32": 28}


def test_a_folder_is_read_by_its_index(tmp_path: Path) -> None:
    write_safetensors(tmp_path / "model-1.safetensors", {"a": ("BF16", [4], 8)})
    write_safetensors(tmp_path / "model-2.safetensors", {"b": ("F8_E4M3", [2, 3], 6), "c": ("F4", [3], 2)})
    assert read_folder(tmp_path).total == 16  # type: ignore[union-attr]
    index = {
        "metadata": {"total_size": 16},
        "weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors", "c": "model-2.safetensors"},
    }
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    assert read_folder(tmp_path).total == 16  # type: ignore[union-attr]
    index["metadata"]["total_size"] = 17
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(AttometerError, match=r"total_size is 17, its tensors take 16 bytes$"):
        read_folder(tmp_path)
    index["weight_map"]["d"] = "model-2.safetensors"
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(AttometerError, match=r'tensor "d" stands in the index or in the files, not in both$'):
        read_folder(tmp_path)
    (tmp_path / "model-2.safetensors").unlink()
    with pytest.raises(AttometerError, match=r"names model-2.safetensors, which is not in the folder$"):
        read_folder(tmp_path)


def test_an_index_alone_says_the_bytes(tmp_path: Path) -> None:
    index = {"metadata": {"total_size": 65_248_815_744}, "weight_map": {"a": "model-1.safetensors"}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    assert read_folder(tmp_path).total == 65_248_815_744  # type: ignore[union-attr]
    assert read_folder(tmp_path / "nothing") is None


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", r"is cut off: a safetensors file begins with 8 bytes of length, got 0$"),
        (b"\xff" * 20, r"is no safetensors file, or is cut off: its header would be"),
        (struct.pack("<Q", 4) + b"{{{{", r"is no safetensors file: its header is not JSON$"),
        (struct.pack("<Q", 2) + b"[]", r"is no safetensors file: its header is no object$"),
        (struct.pack("<Q", 8) + b'{"a": 1}', r'tensor "a" has no valid dtype, shape and data_offsets$'),
    ],
)
def test_damaged_safetensors_are_refused_in_words(tmp_path: Path, data: bytes, message: str) -> None:
    (tmp_path / "m.safetensors").write_bytes(data)
    with pytest.raises(AttometerError, match=message):
        read_safetensors(tmp_path / "m.safetensors")


def test_a_cut_file_is_refused(tmp_path: Path) -> None:
    file = write_safetensors(tmp_path / "m.safetensors", {"a": ("BF16", [40], 80)})
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(AttometerError, match=r"is cut off or too long: its tensors take 80 bytes, 79 are there$"):
        read_safetensors(file)
    odd = write_safetensors(tmp_path / "n.safetensors", {"a": ("BF16", [40], 81)})
    with pytest.raises(AttometerError, match=r'tensor "a" of BF16 \[40\] takes 81 bytes by its offsets$'):
        read_safetensors(odd)


def test_a_gguf_header_is_read(tmp_path: Path) -> None:
    metadata = {"general.architecture": "llama", "llama.block_count": 2, "tokenizer.ggml.tokens": ["a", "b", "c"]}
    file = write_gguf(tmp_path / "m.gguf", metadata, {"output.weight": ([256, 3], 14), "norm": ([256], 0)}, 2000)
    found = read_gguf(file)
    assert found.metadata["llama.block_count"] == 2
    assert found.metadata["tokenizer.ggml.tokens"] == ["a", "b", "c"]
    assert found.checkpoint.by_type() == {"fp32": 1024, "q6_k": 630}  # 3 blocks of 256 in 210 bytes each
    file.write_bytes(file.read_bytes()[:-1500])
    with pytest.raises(AttometerError, match=r"is cut off: its tensors end at byte"):
        read_gguf(file)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_any_damage_to_a_gguf_header_is_read_or_refused_in_words(tmp_path: Path, data: st.DataObject) -> None:
    file = write_gguf(tmp_path / "m.gguf", {"general.architecture": "llama", "x": 7}, {"w": ([256], 14)}, 210)
    whole = bytearray(file.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    file.write_bytes(bytes(whole[: data.draw(st.integers(0, len(whole)))]))
    try:
        total = read_gguf(file).checkpoint.total
    except AttometerError:
        return  # refused in words
    assert total >= 0


@given(st.binary(max_size=200))
def test_any_bytes_are_no_safetensors_or_are_read(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    file = tmp_path_factory.mktemp("fuzz") / "m.safetensors"
    file.write_bytes(data)
    with pytest.raises(AttometerError):
        read_safetensors(file)


# GGUF's names of what configurations state (ggml-org/ggml, docs/gguf.md; llama.cpp, src/llama-arch.cpp).
_KEYS = {
    "block_count": "num_hidden_layers", "context_length": "max_position_embeddings", "embedding_length": "hidden_size",
    "feed_forward_length": "intermediate_size", "attention.head_count": "num_attention_heads",
    "attention.head_count_kv": "num_key_value_heads", "attention.sliding_window": "sliding_window", "vocab_size": "vocab_size",
    "attention.key_length": "head_dim",
}  # fmt: skip
_EXPERTS = {"expert_used_count": "num_experts_per_tok", "expert_feed_forward_length": "moe_intermediate_size"}
_LATENTS = {
    "attention.q_lora_rank": "q_lora_rank", "attention.kv_lora_rank": "kv_lora_rank", "attention.value_length": "v_head_dim",
    "rope.dimension_count": "qk_rope_head_dim", "leading_dense_block_count": "first_k_dense_replace",
    "expert_shared_count": "n_shared_experts", "expert_count": "n_routed_experts",
}  # fmt: skip


@pytest.mark.parametrize(
    ("architecture", "name", "more"),
    [
        ("llama", "llama-3.1-8b", {}),
        ("llama", "mixtral-8x7b", {"expert_count": "num_local_experts"}),
        ("qwen2", "qwen2.5-7b", {}),
        ("qwen3", "qwen3-8b", {}),
        ("qwen3moe", "qwen3-30b-a3b", {"expert_count": "num_experts"}),
        ("gemma2", "gemma-2-2b", {}),
        ("gemma3", "gemma-3-1b", {}),
        ("phi3", "phi-4-mini", {}),
        (
            "gpt-oss",
            "gpt-oss-20b",
            {"expert_count": "num_local_experts", "expert_feed_forward_length": "intermediate_size"},
        ),
        ("deepseek2", "deepseek-v3", _LATENTS),
    ],
)
def test_the_metadata_of_a_gguf_file_is_its_model(
    architecture: str, name: str, more: dict[str, str], tmp_path: Path
) -> None:
    wanted = model(name)
    keys = _KEYS | _EXPERTS | more
    found = {k: wanted.values[v] for k, v in keys.items() if isinstance(wanted.values.get(v), int)}
    if architecture == "deepseek2":
        found |= {"attention.key_length": 192, "expert_gating_func": 2}
    metadata = {"general.architecture": architecture, **{f"{architecture}.{k}": v for k, v in found.items()}}
    tied = any(part.tied for part in wanted.head)
    tensors = {"token_embd.weight": ([256, 2], 12), **({} if tied else {"output.weight": ([256, 2], 14)})}
    file = write_gguf(tmp_path / f"{name}-Q4_K_M.gguf", metadata, tensors, 4000)
    read = model(str(file))
    assert read.name == f"{name}-Q4_K_M"
    assert parameters(read) == parameters(wanted)
    assert cache(read).at(4096) == cache(wanted).at(4096)
    assert weight_formats(read).of(None, "embedding", "embedding").name == "q4_k"


def test_a_gguf_file_of_another_family_is_refused(tmp_path: Path) -> None:
    file = write_gguf(tmp_path / "m.gguf", {"general.architecture": "rwkv6"}, {"norm": ([256], 0)}, 2000)
    with pytest.raises(AttometerError, match='unknown GGUF architecture "rwkv6"'):
        model(str(file))
    file = write_gguf(tmp_path / "n.gguf", {"general.architecture": "llama"}, {"norm": ([256], 0)}, 2000)
    with pytest.raises(AttometerError, match=r"llama\.attention\.head_count must be a whole number"):
        model(str(file))
