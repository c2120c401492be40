//! Any bytes are blocks of any type; what can be written reads back as what was written.
#![no_main]

use jina_embeddings_web::gguf::{TensorType, dequantize, quantize};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u8, Vec<u8>)| {
    let (kind, bytes) = input;
    let kind = TensorType::ALL[usize::from(kind) % TensorType::ALL.len()];
    let n_blocks = bytes.len() / kind.block_bytes();
    let mut values = vec![0.0; n_blocks * kind.block_elements()];
    let exact = dequantize(kind, &bytes, &mut values).is_ok();
    assert_eq!(exact, bytes.len() == n_blocks * kind.block_bytes());
    if !exact {
        return;
    }
    let mut again = Vec::new();
    if quantize(kind, &values, &mut again).is_ok() {
        assert_eq!(again.len(), bytes.len());
        let mut back = vec![0.0; values.len()];
        dequantize(kind, &again, &mut back).expect("own blocks have the right length");
    }
});
