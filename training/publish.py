"""Writes a checkpoint as the published repository does: config, shards, adapters, tokenizer.

usage: TINY_MATERIALS=... python training/publish.py CHECKPOINT OUT_DIR
CHECKPOINT is the folder with the pieces that train.py wrote (weights-1 ...), or its last.pt. The other directory is what `jina-embed convert --from OUT_DIR` reads. Weights are written in f32.
"""
import io
import json
import pathlib
import sys

import torch
from safetensors.torch import save_file

import model as m
from sources import DATA

# Pictures of any size become about PICTURE_PX^2 pixels, so that a square one is the 6 x 6 patches that were trained.
MIN_PIXELS, MAX_PIXELS = 6900, 7300


def config(ids):
    text = dict(
        attention_dropout=0.0, bos_token_id=ids["<|endoftext|>"], eos_token_id=ids["<|im_end|>"], hidden_act="silu", hidden_size=m.H,
        initializer_range=0.02, intermediate_size=m.MLP, max_position_embeddings=32768, max_window_layers=70, num_attention_heads=m.HEADS,
        num_hidden_layers=m.LAYERS, num_key_value_heads=m.KV_HEADS, rms_norm_eps=1e-6,
        rope_scaling=dict(mrope_section=m.MROPE, rope_type="default", type="default"), rope_theta=m.THETA, use_sliding_window=False)
    return dict(
        _name_or_path="jina-embeddings-web-tiny", architectures=["JinaEmbeddingsV4Model"], **text,
        image_token_id=ids["<|image_pad|>"], video_token_id=ids["<|video_pad|>"], vision_start_token_id=ids["<|vision_start|>"],
        vision_end_token_id=ids["<|vision_end|>"], vision_token_id=ids["<|vision_pad|>"], tie_word_embeddings=True,
        single_vector_pool_strategy="mean", multi_vector_projector_dim=m.PROJECTOR, matryoshka_dims=m.MATRYOSHKA, task_names=m.TASKS,
        truncate_dim=None, torch_dtype="float32", text_config=dict(text, vocab_size=m.VOCAB_ROWS, model_type="qwen2_5_vl_text"),
        vision_config=dict(
            depth=m.DEPTH, fullatt_block_indexes=[1, 3], hidden_act="silu", hidden_size=m.D, in_channels=3, in_chans=3,
            intermediate_size=m.VISION_MLP, model_type="qwen2_5_vl", num_heads=m.VISION_HEADS, out_hidden_size=m.H, patch_size=m.PATCH,
            spatial_merge_size=2, spatial_patch_size=m.PATCH, temporal_patch_size=2, tokens_per_second=2, window_size=112))


def tensors(state):
    base, adapters = {}, {}
    for name, value in state.items():
        value = value.detach().float().contiguous()
        if ".lora_" in name:
            module, kind, task = name.rsplit(".", 2)
            module = module.replace("model.layers", "model.language_model.layers")
            adapters[f"base_model.model.{module}.{kind}.{task}.weight"] = value
        elif name == "visual.patch_embed.proj.weight":
            # The two moments of a picture are the same frame: half of the kernel for each.
            kernel = value.view(m.D, 3, 1, m.PATCH, m.PATCH) / 2
            base[name] = kernel.expand(-1, -1, 2, -1, -1).contiguous()
        else:
            base[name] = value
    return base, adapters


def weights(checkpoint):
    checkpoint = pathlib.Path(checkpoint)
    if checkpoint.is_dir():
        pieces = sorted(checkpoint.glob("weights-*"), key=lambda p: int(p.name.split("-")[1]))
        return torch.load(io.BytesIO(b"".join(p.read_bytes() for p in pieces)), map_location="cpu")
    return torch.load(checkpoint, weights_only=False, map_location="cpu")["model"]


def publish(checkpoint, out):
    out = pathlib.Path(out)
    (out / "adapters").mkdir(parents=True, exist_ok=True)
    tokenizer = json.loads((DATA / "tokenizer.json").read_text())
    ids = {a["content"]: a["id"] for a in tokenizer["added_tokens"]}
    base, adapters = tensors(weights(checkpoint))
    save_file(base, out / "model-00001-of-00001.safetensors", metadata={"format": "pt"})
    index = {"metadata": {"total_size": sum(t.numel() * 4 for t in base.values())},
             "weight_map": {name: "model-00001-of-00001.safetensors" for name in sorted(base)}}
    save_file(adapters, out / "adapters/adapter_model.safetensors", metadata={"format": "pt"})
    write = lambda name, value: (out / name).write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n")
    write("model.safetensors.index.json", index)
    write("config.json", config(ids))
    write("preprocessor_config.json", dict(
        do_convert_rgb=True, do_normalize=True, do_rescale=True, do_resize=True, image_mean=[0.48145466, 0.4578275, 0.40821073],
        image_std=[0.26862954, 0.26130258, 0.27577711], image_processor_type="Qwen2VLImageProcessor", min_pixels=MIN_PIXELS, max_pixels=MAX_PIXELS,
        merge_size=2, patch_size=m.PATCH, temporal_patch_size=2, resample=3, rescale_factor=0.00392156862745098,
        size=dict(shortest_edge=MIN_PIXELS, longest_edge=MAX_PIXELS)))
    write("adapters/adapter_config.json", dict(
        peft_type="LORA", r=m.LORA_R, lora_alpha=m.LORA_R, lora_dropout=0.0, bias="none", use_rslora=False, use_dora=False, task_names=m.TASKS))
    write("tokenizer_config.json", dict(
        tokenizer_class="Qwen2Tokenizer", model_max_length=32768, pad_token="<|endoftext|>", eos_token="<|im_end|>",
        added_tokens_decoder={str(a["id"]): {k: v for k, v in a.items() if k != "id"} for a in tokenizer["added_tokens"]}))
    # `convert` takes the licence from the front matter of the card.
    (out / "README.md").write_text((pathlib.Path(__file__).parent.parent / "models/tiny/README.md").read_text())
    (out / "tokenizer.json").write_text(json.dumps(tokenizer, ensure_ascii=False))


if __name__ == "__main__":
    publish(sys.argv[1], sys.argv[2])
