#!/usr/bin/env python3
"""Rewrites a GGUF file with every tensor in f32 and no value changed: what a device holds that does not compute from
quantised weights.

    python3 bench/peers/expand.py IN.gguf OUT.gguf
"""
import sys

import numpy as np
from gguf import GGUFReader, GGUFValueType, GGUFWriter, dequantize

# Written by the writer itself.
OWN_KEYS = ('GGUF.', 'general.architecture')
ALL_F32 = 0


def main():
    source, out = sys.argv[1:]
    reader = GGUFReader(source)
    writer = GGUFWriter(out, reader.fields['general.architecture'].contents())
    for key, field in reader.fields.items():
        if key == 'general.file_type':
            writer.add_file_type(ALL_F32)
        elif not key.startswith(OWN_KEYS):
            kind = field.types[0]
            writer.add_key_value(key, field.contents(), kind, field.types[-1] if kind == GGUFValueType.ARRAY else None)
    for tensor in reader.tensors:
        writer.add_tensor(tensor.name, np.ascontiguousarray(dequantize(tensor.data, tensor.tensor_type), dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


if __name__ == '__main__':
    main()
