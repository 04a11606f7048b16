"""Writes a checkpoint of train.py as a GGUF file that llama.cpp loads."""

import argparse
import json
import os
import pathlib
import sys

import gguf
import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from model.corpus import BEGIN, END, SPECIAL, STUDENT, TUTOR  # noqa: E402

TEMPLATE = (
    "{{ bos_token }}"
    "{% for message in messages %}"
    "{% if message['role'] == 'user' %}" + STUDENT + "{{ message['content'] }}" + END +
    "{% elif message['role'] == 'assistant' %}" + TUTOR + "{{ message['content'] }}" + END +
    "{% else %}{{ raise_exception('this model knows the roles user and assistant only') }}{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}" + TUTOR + "{% endif %}")


def load_tokenizer(folder):
    """Token texts by id, and merges."""
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    vocabulary = {**tokenizer["model"]["vocab"], **{token["content"]: token["id"] for token in tokenizer["added_tokens"]}}
    merges = [" ".join(merge) if isinstance(merge, list) else merge for merge in tokenizer["model"]["merges"]]
    return [token for token, _ in sorted(vocabulary.items(), key=lambda entry: entry[1])], merges


def write(folder, path):
    shape = json.loads((folder / "shape.json").read_text())
    tokens, merges = load_tokenizer(folder)
    if len(tokens) != shape["vocabulary"]:
        raise SystemExit(f"{folder}: the tokenizer has {len(tokens)} tokens, the network {shape['vocabulary']}")

    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("coala tutor 3M")
    writer.add_description("speaks of the tutoring world of coala's demo")
    writer.add_license("MIT")
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
    writer.add_context_length(shape["context"])
    writer.add_embedding_length(shape["dimension"])
    writer.add_block_count(shape["layers"])
    writer.add_feed_forward_length(shape["hidden"])
    writer.add_head_count(shape["heads"])
    writer.add_head_count_kv(shape["key_heads"])
    writer.add_rope_dimension_count(shape["dimension"] // shape["heads"])
    writer.add_rope_freq_base(shape["rope_base"])
    writer.add_layer_norm_rms_eps(shape["norm_epsilon"])
    writer.add_vocab_size(shape["vocabulary"])

    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types([gguf.TokenType.CONTROL if token in SPECIAL else gguf.TokenType.NORMAL for token in tokens])
    writer.add_token_merges(merges)
    writer.add_bos_token_id(tokens.index(BEGIN))
    writer.add_eos_token_id(tokens.index(END))
    writer.add_eot_token_id(tokens.index(END))
    writer.add_add_bos_token(True)
    writer.add_chat_template(TEMPLATE)

    with np.load(folder / "checkpoint.npz") as checkpoint:
        for key in sorted(checkpoint.files):
            group, _, name = key.partition("/")
            if group != "weights":
                continue
            weight = checkpoint[key]
            if weight.ndim == 1:
                writer.add_tensor(name + ".weight", weight.astype(np.float32))
            else:  # ours are [in, out], GGUF's rows are outputs; the embedding's rows are tokens already
                weight = weight if name == "token_embd" else weight.T
                writer.add_tensor(name + ".weight", np.ascontiguousarray(weight).astype(np.float16))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--from", dest="folder", type=pathlib.Path, required=True, help="folder that train.py wrote")
    parser.add_argument("--out", type=pathlib.Path, required=True)
    options = parser.parse_args()
    temporary = options.out.with_suffix(".tmp")
    write(options.folder, temporary)
    os.replace(temporary, options.out)
    print(f"{options.out}: {options.out.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
