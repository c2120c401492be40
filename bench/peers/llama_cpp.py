#!/usr/bin/env python3
"""llama.cpp on the processor (PyPI xllamacpp), driven by lines as `jina-embed bench --requests` is.

    python3 bench/peers/llama_cpp.py TEXT.gguf THREADS MAX_TOKENS

First line written: {"notes": [...]}. Then for each line {"ids": [...]} read: {"ms", "vector"}. One sequence, one
batch: the whole text at once, as an embedder does it.
"""
import json
import os
import sys
import time

import xllamacpp as xllama


def main():
    # Whatever llama.cpp prints on standard output must not mix with the answers.
    answers = os.fdopen(os.dup(1), 'w')
    os.dup2(2, 1)
    path, n_threads, max_tokens = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    params = xllama.CommonParams()
    params.model.path = path
    params.embedding = True
    params.pooling_type = xllama.llama_pooling_type.LLAMA_POOLING_TYPE_MEAN
    params.n_ctx = params.n_batch = params.n_ubatch = max_tokens
    params.n_parallel = 1
    params.n_gpu_layers = 0
    params.warmup = False
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = n_threads
    server = xllama.Server(params)

    def answer(value):
        answers.write(json.dumps(value) + '\n')
        answers.flush()

    answer({'notes': [xllama.get_system_info().strip()]})
    for line in sys.stdin:
        ids = json.loads(line)['ids']
        began = time.perf_counter()
        result = server.handle_embeddings({'input': ids, 'model': 'model'})
        ms = (time.perf_counter() - began) * 1e3
        if 'data' not in result or result['usage']['prompt_tokens'] != len(ids):
            answer({'error': json.dumps(result)[:500]})
        else:
            answer({'ms': ms, 'vector': result['data'][0]['embedding']})


if __name__ == '__main__':
    main()
