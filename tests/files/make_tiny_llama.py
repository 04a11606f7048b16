#!/usr/bin/env python3
"""Makes tiny-llama.gguf and tiny-llama-states.safetensors beside this script.

The model is a Llama with random weights: small enough to be committed, complete enough to be loaded like a real one
(SentencePiece vocabulary with byte tokens, control tokens, chat template, grouped-query attention). The states are
those of the same weights in transformers, float32: an implementation that shares nothing with llama.cpp.

    python3 -m venv venv && venv/bin/pip install numpy gguf safetensors torch transformers
    venv/bin/python tests/files/make_tiny_llama.py
"""

import importlib.metadata
import pathlib

import gguf
import numpy as np
import torch
import transformers
from safetensors.numpy import save_file

DIM, LAYERS, HEADS, KV_HEADS, FFN, CONTEXT = 32, 2, 4, 2, 64, 256
EPS, THETA = 1e-5, 10000.0

TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}"
    "{% if message['role'] not in ['system', 'user', 'assistant'] %}{{ raise_exception('unknown role') }}{% endif %}"
    "{{ '<|' + message['role'] + '|>' + '\\n' + message['content'] | trim + '<|end|>' + '\\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>' + '\\n' }}{% endif %}"
)


def vocabulary():
    """Pieces with type and score. As in SentencePiece BPE, a piece that is made earlier has the higher score."""
    normal, control, unknown, byte = (
        gguf.TokenType.NORMAL, gguf.TokenType.CONTROL, gguf.TokenType.UNKNOWN, gguf.TokenType.BYTE)
    pieces = [("<unk>", unknown), ("<s>", control), ("</s>", control)]
    pieces += [(f"<0x{b:02X}>", byte) for b in range(256)]
    pieces += [(f"<|{name}|>", control) for name in ("system", "user", "assistant", "end")]
    merged = ["▁t", "he", "▁a", "in", "▁the", "er", "nd", "▁and"]
    pieces += [(piece, normal) for piece in merged]
    pieces += [(c, normal) for c in "▁etaoinshrdlucmfwygpbvk.,!?"]
    first = len(pieces) - len(merged) - 27
    return [(text, kind, -float(i - first) if kind == normal else 0.0) for i, (text, kind) in enumerate(pieces)]


def random_weights(vocab_size, rng):
    def matrix(rows, cols):
        return rng.standard_normal((rows, cols)).astype(np.float32) / np.float32(np.sqrt(cols))

    def norm():
        return (1 + 0.1 * rng.standard_normal(DIM)).astype(np.float32)

    kv = DIM // HEADS * KV_HEADS
    weights = {"model.embed_tokens.weight": rng.standard_normal((vocab_size, DIM)).astype(np.float32),
               "model.norm.weight": norm(), "lm_head.weight": matrix(vocab_size, DIM)}
    for i in range(LAYERS):
        layer = f"model.layers.{i}."
        weights |= {layer + "input_layernorm.weight": norm(), layer + "post_attention_layernorm.weight": norm(),
                    layer + "self_attn.q_proj.weight": matrix(DIM, DIM) * 2,
                    layer + "self_attn.k_proj.weight": matrix(kv, DIM) * 2,
                    layer + "self_attn.v_proj.weight": matrix(kv, DIM),
                    layer + "self_attn.o_proj.weight": matrix(DIM, DIM),
                    layer + "mlp.gate_proj.weight": matrix(FFN, DIM), layer + "mlp.up_proj.weight": matrix(FFN, DIM),
                    layer + "mlp.down_proj.weight": matrix(DIM, FFN)}
    return weights


def permute(weight, heads):
    """From the half-split rotary layout of transformers to the interleaved one of GGUF Llamas."""
    rows, cols = weight.shape
    return weight.reshape(heads, 2, rows // heads // 2, cols).swapaxes(1, 2).reshape(rows, cols)


def write_gguf(path, vocab, weights):
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("tiny-llama")
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(DIM)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(FFN)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_rope_dimension_count(DIM // HEADS)
    writer.add_rope_freq_base(THETA)
    writer.add_layer_norm_rms_eps(EPS)
    writer.add_vocab_size(len(vocab))
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    writer.add_tokenizer_model("llama")
    writer.add_tokenizer_pre("default")
    writer.add_token_list([text for text, _, _ in vocab])
    writer.add_token_types([kind for _, kind, _ in vocab])
    writer.add_token_scores([score for _, _, score in vocab])
    writer.add_unk_token_id(0)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_add_bos_token(True)
    writer.add_add_eos_token(False)
    writer.add_chat_template(TEMPLATE)
    names = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}
    parts = {"input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm", "self_attn.q_proj": "attn_q",
             "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output",
             "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down"}
    names |= {f"model.layers.{i}.{a}": f"blk.{i}.{b}" for i in range(LAYERS) for a, b in parts.items()}
    for name, weight in weights.items():
        if "q_proj" in name:
            weight = permute(weight, HEADS)
        elif "k_proj" in name:
            weight = permute(weight, KV_HEADS)
        writer.add_tensor(names[name.removesuffix(".weight")] + ".weight", np.ascontiguousarray(weight))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def reference_states(vocab_size, weights, sequences):
    config = transformers.LlamaConfig(
        vocab_size=vocab_size, hidden_size=DIM, intermediate_size=FFN, num_hidden_layers=LAYERS,
        num_attention_heads=HEADS, num_key_value_heads=KV_HEADS, max_position_embeddings=CONTEXT, rms_norm_eps=EPS,
        rope_theta=THETA, tie_word_embeddings=False, attn_implementation="eager")
    model = transformers.LlamaForCausalLM(config).eval()
    model.load_state_dict({name: torch.from_numpy(weight) for name, weight in weights.items()})
    with torch.no_grad():
        return [model(torch.tensor([tokens]), output_hidden_states=True).hidden_states[-1][0].numpy()
                for tokens in sequences]


def main():
    here = pathlib.Path(__file__).parent
    rng = np.random.default_rng(20240726)
    vocab = vocabulary()
    weights = random_weights(len(vocab), rng)
    write_gguf(here / "tiny-llama.gguf", vocab, weights)
    sequences = [[1] + rng.integers(3, len(vocab), n - 1).tolist() for n in (1, 2, 40, 200)]
    tensors = {}
    for i, states in enumerate(reference_states(len(vocab), weights, sequences)):
        tensors[f"tokens.{i}"] = np.array(sequences[i], dtype=np.int32)
        tensors[f"states.{i}"] = np.ascontiguousarray(states)
    versions = {name: importlib.metadata.version(name) for name in ("numpy", "gguf", "torch", "transformers")}
    save_file(tensors, here / "tiny-llama-states.safetensors",
              metadata={"what": "transformers hidden_states[-1] of tiny-llama.gguf's weights, float32",
                        "made_by": "make_tiny_llama.py"} | versions)


if __name__ == "__main__":
    main()
