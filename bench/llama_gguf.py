"""A Llama between GGUF and transformers: the same weights both ways. Used by dpo.py."""

import gguf
import numpy
import torch
from transformers import LlamaConfig, LlamaForCausalLM

LAYER = {"attn_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm", "attn_q": "self_attn.q_proj",
         "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj", "attn_output": "self_attn.o_proj",
         "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj"}
WHOLE = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}


def hf_name(name):
    """The name in transformers of a tensor of GGUF, both without ".weight"."""
    if name in WHOLE:
        return WHOLE[name]
    _, layer, part = name.split(".")
    return f"model.layers.{layer}.{LAYER[part]}"


def rotated(name, weight, heads, back=False):
    """Rows of q and k: GGUF rotates neighbours, transformers the halves of a head."""
    part = name.split(".")[-1]
    if part not in heads:
        return weight
    rows, columns = weight.shape
    if back:
        return weight.reshape(heads[part], 2, rows // heads[part] // 2, columns).swapaxes(1, 2).reshape(rows, columns)
    return weight.reshape(heads[part], rows // heads[part] // 2, 2, columns).swapaxes(1, 2).reshape(rows, columns)


class LlamaFile:
    def __init__(self, path):
        self.reader = gguf.GGUFReader(path)
        value = lambda key: self.reader.fields["llama." + key].contents()
        self.heads = {"attn_q": value("attention.head_count"), "attn_k": value("attention.head_count_kv")}
        self.weights = {tensor.name.removesuffix(".weight"): numpy.array(
            gguf.quants.dequantize(tensor.data, tensor.tensor_type), numpy.float32) for tensor in self.reader.tensors}
        self.config = LlamaConfig(
            vocab_size=len(self.weights["token_embd"]), hidden_size=value("embedding_length"),
            intermediate_size=value("feed_forward_length"), num_hidden_layers=value("block_count"),
            num_attention_heads=self.heads["attn_q"], num_key_value_heads=self.heads["attn_k"],
            max_position_embeddings=value("context_length"), rms_norm_eps=value("attention.layer_norm_rms_epsilon"),
            rope_theta=value("rope.freq_base"), tie_word_embeddings="output" not in self.weights)

    def model(self):
        """For transformers, in float32."""
        model = LlamaForCausalLM(self.config)
        state = {hf_name(name) + ".weight": torch.from_numpy(rotated(name, weight, self.heads).copy())
                 for name, weight in self.weights.items()}
        model.load_state_dict(state, strict=True)
        return model.eval()

    def write(self, model, path):
        """A GGUF file with the weights of `model`, in F32, and everything else as in the original."""
        state = model.state_dict()
        writer = gguf.GGUFWriter(path, "llama")
        for field in self.reader.fields.values():
            if field.name.startswith("GGUF.") or field.name == "general.architecture":
                continue
            kind = field.types[0]
            if field.name == "general.file_type":
                writer.add_file_type(gguf.LlamaFileType.ALL_F32)
            elif kind == gguf.GGUFValueType.ARRAY:
                writer.add_key_value(field.name, field.contents(), kind, sub_type=field.types[-1])
            else:
                writer.add_key_value(field.name, field.contents(), kind)
        for name in self.weights:
            weight = state[hf_name(name) + ".weight"].detach().numpy()
            writer.add_tensor(name + ".weight", numpy.ascontiguousarray(rotated(name, weight, self.heads, back=True)))
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
