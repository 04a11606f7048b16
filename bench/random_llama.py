"""A Llama with random weights (187 M parameters, F16, tied output), as a folder for transformers and as a GGUF file with
the very same weights. Tokenizer: a SentencePiece model. Used by extraction.py."""

import pathlib
import struct

import numpy
import sentencepiece
import torch
from transformers import LlamaConfig, LlamaForCausalLM

SHAPE = {"hidden_size": 1024, "intermediate_size": 2816, "num_hidden_layers": 12, "num_attention_heads": 16,
         "num_key_value_heads": 16, "vocab_size": 32000, "max_position_embeddings": 2048, "tie_word_embeddings": True,
         "rms_norm_eps": 1e-5}
U32, I32, F32, BOOL, STRING, ARRAY = 4, 5, 6, 7, 8, 9


def entry(key, kind, value):
    head = struct.pack("<Q", len(key)) + key.encode() + struct.pack("<I", kind)
    if kind == STRING:
        return head + string(value)
    return head + struct.pack({U32: "<I", F32: "<f", BOOL: "<?"}[kind], value)


def string(text):
    return struct.pack("<Q", len(text.encode())) + text.encode()


def array(key, kind, items):
    return (struct.pack("<Q", len(key)) + key.encode() + struct.pack("<IIQ", ARRAY, kind, len(items))
            + b"".join(items))


def tokenizer_entries(path):
    """A SentencePiece model as llama.cpp wants it."""
    model = sentencepiece.SentencePieceProcessor(model_file=str(path))
    ids = range(model.get_piece_size())
    kinds = [2 if model.is_unknown(i) else 3 if model.is_control(i) else 6 if model.is_byte(i) else 1 for i in ids]
    return [entry("tokenizer.ggml.model", STRING, "llama"),
            array("tokenizer.ggml.tokens", STRING, [string(model.id_to_piece(i)) for i in ids]),
            array("tokenizer.ggml.scores", F32, [struct.pack("<f", model.get_score(i)) for i in ids]),
            array("tokenizer.ggml.token_type", I32, [struct.pack("<i", kind) for kind in kinds]),
            entry("tokenizer.ggml.bos_token_id", U32, 1), entry("tokenizer.ggml.eos_token_id", U32, 2),
            entry("tokenizer.ggml.unknown_token_id", U32, 0), entry("tokenizer.ggml.add_bos_token", BOOL, True),
            entry("tokenizer.ggml.add_space_prefix", BOOL, True)]


def permuted(weight, heads):
    """Rows in the order of llama.cpp's rotation: pairs side by side instead of halves."""
    rows, columns = weight.shape
    return weight.reshape(heads, 2, rows // heads // 2, columns).swapaxes(1, 2).reshape(rows, columns)


def write_gguf(path, state, vocabulary):
    entries = [entry("general.architecture", STRING, "llama"), entry("general.name", STRING, "random-187m"),
               entry("general.file_type", U32, 1)]
    for key, value in {"context_length": 2048, "embedding_length": SHAPE["hidden_size"],
                       "block_count": SHAPE["num_hidden_layers"], "feed_forward_length": SHAPE["intermediate_size"],
                       "attention.head_count": 16, "attention.head_count_kv": 16, "rope.dimension_count": 64,
                       "vocab_size": SHAPE["vocab_size"]}.items():
        entries.append(entry("llama." + key, U32, value))
    entries.append(entry("llama.attention.layer_norm_rms_epsilon", F32, SHAPE["rms_norm_eps"]))
    entries += tokenizer_entries(vocabulary)
    names = {"self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
             "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
             "mlp.down_proj": "ffn_down", "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm"}
    tensors = [("token_embd.weight", state["model.embed_tokens.weight"]), ("output_norm.weight", state["model.norm.weight"])]
    for layer in range(SHAPE["num_hidden_layers"]):
        for theirs, ours in names.items():
            weight = state[f"model.layers.{layer}.{theirs}.weight"]
            if ours in ("attn_q", "attn_k"):
                weight = permuted(weight, 16)
            tensors.append((f"blk.{layer}.{ours}.weight", weight))
    infos, blobs, offset = [], [], 0
    for name, weight in tensors:
        weight = weight.astype(numpy.float32 if weight.ndim == 1 else numpy.float16)
        infos.append(struct.pack("<Q", len(name)) + name.encode() + struct.pack("<I", weight.ndim)
                     + struct.pack(f"<{weight.ndim}Q", *reversed(weight.shape))
                     + struct.pack("<IQ", 0 if weight.ndim == 1 else 1, offset))
        blob = weight.tobytes()
        blobs.append(blob + b"\0" * (-len(blob) % 32))
        offset += len(blobs[-1])
    head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(entries)) + b"".join(entries) + b"".join(infos)
    path.write_bytes(head + b"\0" * (-len(head) % 32) + b"".join(blobs))


def make(folder, vocabulary):
    """@returns (transformers folder, GGUF file), made on the first call"""
    folder = pathlib.Path(folder)
    if not (folder / "complete").exists():
        folder.mkdir(parents=True, exist_ok=True)
        torch.manual_seed(0)
        model = LlamaForCausalLM(LlamaConfig(**SHAPE)).to(torch.float16)
        model.save_pretrained(folder / "hf")
        state = {name: weight.numpy() for name, weight in model.state_dict().items()}
        write_gguf(folder / "random-187m-f16.gguf", state, vocabulary)
        (folder / "complete").touch()
    return folder / "hf", folder / "random-187m-f16.gguf"
