#!/usr/bin/env python3
"""What every engine has to compute: the decoder of a qwen2vl GGUF file in f64, with numpy alone.

    python3 bench/peers/reference.py TEXT.gguf INPUTS.json OUT.json LENGTH...

For each length of INPUTS (make_inputs.py): the mean of the last hidden states, with length 1. Written from the
model's description and not from any engine's code, so that none of those compared is its own judge.

Letters: S = tokens, C = hidden size, H = heads, G = key/value heads, D = size of a head.
"""
import json
import sys

import numpy as np

from make_onnx import Source


def rms_norm(x, weight, epsilon):
    return x / np.sqrt((x * x).mean(-1, keepdims=True) + epsilon) * weight


def rotate(x, base):
    """RoPE by position, half-split: x [S, heads, D]."""
    n_tokens, _, head_dim = x.shape
    angles = np.arange(n_tokens)[:, None] * base ** (-np.arange(0, head_dim, 2) / head_dim)
    cos, sin = np.cos(angles)[:, None], np.sin(angles)[:, None]
    low, high = np.split(x, 2, axis=-1)
    return np.concatenate([low * cos - high * sin, high * cos + low * sin], axis=-1)


def attention(q, k, v):
    """Causal; q [S, H, D], k and v [S, G, D]."""
    n_tokens, n_heads, head_dim = q.shape
    later = np.triu(np.ones((n_tokens, n_tokens), dtype=bool), 1)
    outputs = []
    for head in range(n_heads):
        group = head * k.shape[1] // n_heads
        scores = q[:, head] @ k[:, group].T / np.sqrt(head_dim)
        scores[later] = -np.inf
        weights = np.exp(scores - scores.max(-1, keepdims=True))
        outputs.append(weights / weights.sum(-1, keepdims=True) @ v[:, group])
    return np.concatenate(outputs, axis=-1)


def decode(source, tensor, ids):
    n_heads, n_kv_heads = source.number('attention.head_count'), source.number('attention.head_count_kv')
    epsilon, base = source.number('attention.layer_norm_rms_epsilon'), float(source.number('rope.freq_base'))
    x = tensor('token_embd.weight')[ids]
    for layer in range(source.number('block_count')):
        def weight(name):
            return tensor(f'blk.{layer}.{name}')
        normed = rms_norm(x, weight('attn_norm.weight'), epsilon)
        q, k, v = (normed @ weight(f'attn_{part}.weight').T + weight(f'attn_{part}.bias') for part in 'qkv')
        q, k, v = (part.reshape(len(ids), n, -1) for part, n in ((q, n_heads), (k, n_kv_heads), (v, n_kv_heads)))
        x = x + attention(rotate(q, base), rotate(k, base), v) @ weight('attn_output.weight').T
        normed = rms_norm(x, weight('ffn_norm.weight'), epsilon)
        gate, up = normed @ weight('ffn_gate.weight').T, normed @ weight('ffn_up.weight').T
        x = x + (gate / (1 + np.exp(-gate)) * up) @ weight('ffn_down.weight').T
    return rms_norm(x, tensor('output_norm.weight'), epsilon)


def main():
    gguf, inputs, out, *lengths = sys.argv[1:]
    source, kept = Source(gguf), {}

    def tensor(name):
        if name not in kept:
            kept[name] = source.f32(name).astype(np.float64)
        return kept[name]

    with open(inputs) as file:
        inputs = json.load(file)
    vectors = {}
    for length in lengths:
        mean = decode(source, tensor, inputs[length]['ids']).mean(0)
        vectors[length] = (mean / np.linalg.norm(mean)).tolist()
    with open(out, 'w') as file:
        json.dump(vectors, file)


if __name__ == '__main__':
    main()
