#!/usr/bin/env python3
"""Writes the decoder of a qwen2vl GGUF file as ONNX, so that ONNX Runtime computes from the same weights.

    python3 bench/peers/make_onnx.py TEXT.gguf OUT.onnx [--accuracy-level 4]

The graph is the one that onnxruntime-genai's exporter writes for this family, in the operators for which ONNX
Runtime has kernels of its own:

    token ids -> Gather -> for each layer:
        SimplifiedLayerNormalization -> MatMulNBits (q, k and v packed) -> Add
        -> GroupQueryAttention (causal, with RoPE) -> MatMulNBits -> SkipSimplifiedLayerNormalization
        -> MatMulNBits gate, up -> SiLU -> Mul -> MatMulNBits -> SkipSimplifiedLayerNormalization
    -> ReduceMean over tokens

No value changes: a Q4_0 block is 32 four-bit numbers q with one f16 scale d, its weights are d * (q - 8), and
MatMulNBits with block size 32 and without zero points computes with the same; only the nibbles are put in its
order. Scales and activations are f32, as adapters without `shader-f16` need them.

The attribute accuracy_level lets the runtime quantise activations to int8 (4), or says nothing (0: f32).

Inputs: input_ids i64 [1, S], seqlens_k i32 [1] = S - 1, total_sequence_length i32 = S. Output: mean f32 [1, C].
"""
import argparse

import numpy as np
from gguf import GGUFReader, GGMLQuantizationType, dequantize
from onnx import TensorProto, helper, numpy_helper, save_model

BLOCK = 32


class Source:
    """A GGUF file: numbers of its header by key, tensors by name."""

    def __init__(self, path):
        reader = GGUFReader(path)
        self.fields = reader.fields
        self.tensors = {tensor.name: tensor for tensor in reader.tensors}

    def number(self, key):
        return self.fields[f'qwen2vl.{key}'].contents()

    def f32(self, name):
        """A tensor of any type as f32, in the shape of the model's code."""
        tensor = self.tensors[name]
        return np.ascontiguousarray(dequantize(tensor.data, tensor.tensor_type), dtype=np.float32)

    def q4_0(self, name):
        """Rows of Q4_0: `[N, K / 32, 16]` packed as MatMulNBits wants them, and scales `[N, K / 32]`."""
        tensor = self.tensors[name]
        if tensor.tensor_type != GGMLQuantizationType.Q4_0:
            raise SystemExit(f'{name}: needed Q4_0, found {tensor.tensor_type.name}')
        blocks = np.asarray(tensor.data).reshape(tensor.data.shape[0], -1, 2 + BLOCK // 2)
        scales = np.ascontiguousarray(blocks[..., :2]).view(np.float16)[..., 0].astype(np.float32)
        halves = blocks[..., 2:]
        # GGUF: byte j holds weights j and j + 16. ONNX Runtime: byte j holds weights 2j and 2j + 1.
        nibbles = np.concatenate([halves & 15, halves >> 4], axis=-1)
        return nibbles[..., 0::2] | nibbles[..., 1::2] << 4, scales


class Graph:
    """Nodes and weights, as they come up."""

    def __init__(self, accuracy_level):
        self.nodes, self.weights, self.accuracy_level = [], [], accuracy_level

    def weight(self, name, values):
        self.weights.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def node(self, kind, inputs, output, domain='', n_outputs=1, **attributes):
        outputs = [output, *(f'{output}.{i}' for i in range(1, n_outputs))]
        self.nodes.append(helper.make_node(kind, inputs, outputs, name=output, domain=domain, **attributes))
        return output

    def linear(self, source, x, names, output):
        """x [1, S, K] times the rows of all matrices named, one below the other."""
        packed, scales = zip(*(source.q4_0(name) for name in names))
        packed, scales = np.concatenate(packed), np.concatenate(scales)
        n_rows, n_blocks, _ = packed.shape
        inputs = [x, self.weight(f'{output}.packed', packed), self.weight(f'{output}.scales', scales.reshape(-1))]
        return self.node('MatMulNBits', inputs, output, domain='com.microsoft', K=n_blocks * BLOCK, N=n_rows,
                         bits=4, block_size=BLOCK, accuracy_level=self.accuracy_level)


def build(source, max_tokens, accuracy_level):
    n_heads, n_kv_heads = source.number('attention.head_count'), source.number('attention.head_count_kv')
    hidden = source.number('embedding_length')
    epsilon = source.number('attention.layer_norm_rms_epsilon')
    head_dim = hidden // n_heads
    graph = Graph(accuracy_level)

    # In f64 and rounded once. Text has equal positions on all three axes: plain RoPE.
    frequencies = source.number('rope.freq_base') ** (-np.arange(0, head_dim, 2, dtype=np.float64) / head_dim)
    angles = np.arange(max_tokens)[:, None] * frequencies[None]
    cos = graph.weight('cos_cache', np.cos(angles).astype(np.float32))
    sin = graph.weight('sin_cache', np.sin(angles).astype(np.float32))

    def skip_norm(x, residual, weight, output):
        """x + residual, normalised; and the sum, as the fourth output."""
        graph.node('SkipSimplifiedLayerNormalization', [x, residual, graph.weight(f'{output}.weight', source.f32(weight))],
                   output, domain='com.microsoft', n_outputs=4, epsilon=epsilon)
        # The second and third output belong to training.
        graph.nodes[-1].output[1] = graph.nodes[-1].output[2] = ''
        return output, f'{output}.3'

    residual = graph.node('Gather', [graph.weight('embed_tokens', source.f32('token_embd.weight')), 'input_ids'], 'embeddings')
    x = graph.node('SimplifiedLayerNormalization', [residual, graph.weight('norm.0.weight', source.f32('blk.0.attn_norm.weight'))],
                   'norm.0', epsilon=epsilon, axis=-1, stash_type=1)
    n_layers = source.number('block_count')
    for layer in range(n_layers):
        block, at = f'blk.{layer}', f'layer.{layer}'
        qkv = graph.linear(source, x, [f'{block}.attn_{part}.weight' for part in 'qkv'], f'{at}.qkv')
        bias = np.concatenate([source.f32(f'{block}.attn_{part}.bias') for part in 'qkv'])
        qkv = graph.node('Add', [qkv, graph.weight(f'{at}.qkv.bias', bias)], f'{at}.qkv_biased')
        attention = graph.node(
            'GroupQueryAttention', [qkv, '', '', '', '', 'seqlens_k', 'total_sequence_length', cos, sin], f'{at}.attention',
            domain='com.microsoft', n_outputs=3, num_heads=n_heads, kv_num_heads=n_kv_heads, do_rotary=1, rotary_interleaved=0)
        x = graph.linear(source, attention, [f'{block}.attn_output.weight'], f'{at}.o')
        x, residual = skip_norm(x, residual, f'{block}.ffn_norm.weight', f'{at}.mlp_norm')
        gate = graph.linear(source, x, [f'{block}.ffn_gate.weight'], f'{at}.gate')
        up = graph.linear(source, x, [f'{block}.ffn_up.weight'], f'{at}.up')
        sigmoid = graph.node('Sigmoid', [gate], f'{at}.sigmoid')
        silu = graph.node('Mul', [gate, sigmoid], f'{at}.silu')
        x = graph.node('Mul', [silu, up], f'{at}.gated')
        x = graph.linear(source, x, [f'{block}.ffn_down.weight'], f'{at}.down')
        is_last = layer + 1 == n_layers
        x, residual = skip_norm(x, residual, 'output_norm.weight' if is_last else f'blk.{layer + 1}.attn_norm.weight', f'norm.{layer + 1}')
    axes = graph.weight('token_axis', np.array([1], dtype=np.int64))
    graph.node('ReduceMean', [x, axes], 'mean', keepdims=0)

    def info(name, kind, shape):
        return helper.make_tensor_value_info(name, kind, shape)

    inputs = [info('input_ids', TensorProto.INT64, [1, 'S']), info('seqlens_k', TensorProto.INT32, [1]),
              info('total_sequence_length', TensorProto.INT32, [])]
    described = helper.make_graph(graph.nodes, 'decoder', inputs, [info('mean', TensorProto.FLOAT, [1, hidden])], graph.weights)
    opsets = [helper.make_opsetid('', 18), helper.make_opsetid('com.microsoft', 1)]
    # The oldest format that has everything used here: runtimes refuse one newer than they know.
    return helper.make_model(described, opset_imports=opsets, ir_version=9)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('gguf')
    parser.add_argument('out')
    parser.add_argument('--accuracy-level', type=int, default=0, choices=[0, 1, 4])
    parser.add_argument('--max-tokens', type=int, default=1024, help='rows of the RoPE tables')
    args = parser.parse_args()
    save_model(build(Source(args.gguf), args.max_tokens, args.accuracy_level), args.out)


if __name__ == '__main__':
    main()
