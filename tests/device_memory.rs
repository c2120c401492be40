//! What a model takes on the graphics device, by the device's own count.
#![cfg(feature = "gpu")]

mod common;

use common::{fixture, load, targets};
use jina_embeddings_web::{gguf::Header, weights::Role};

/// Each tensor is an allocation of its own, which the device rounds up.
const ALIGNMENT_BYTES: u64 = 256;

#[test]
fn quantised_weights_take_on_the_device_what_they_take_in_the_file() {
    let [_, target, ..] = targets();
    for file in [
        "tiny_gguf/tiny-jina-v4-a-retrieval-Q4_0.gguf",
        "tiny_gguf/tiny-jina-v4-a-retrieval-Q8_0.gguf",
        "tiny_gguf/tiny-jina-v4-a-retrieval-F16.gguf",
        "kquant/tiny-jina-v4-c-retrieval-Q4_K_M.gguf",
        "kquant/tiny-jina-v4-c-retrieval-IQ4_XS.gguf",
    ] {
        let path = fixture(file);
        let mut bytes = std::fs::File::open(&path).expect(file);
        let length = bytes.metadata().expect(file).len();
        let header = Header::read(&mut bytes, length).expect(file);
        let n_tensors = header.tensors.len() as u64;
        let in_file: u64 = header.tensors.iter().map(|tensor| tensor.n_bytes).sum();

        let before = target.device.bytes_in_use();
        let embedder = load(&target, &[(Role::Text, path)]);
        let on_device = target.device.bytes_in_use() - before;
        let most = in_file + in_file / 20 + n_tensors * ALIGNMENT_BYTES;
        println!("{file}: {in_file} bytes in the file, {on_device} on the device");
        assert!(
            on_device >= in_file,
            "{file}: {on_device} counted, {in_file} in the file"
        );
        assert!(
            on_device <= most,
            "{file}: {on_device} on the device, at most {most}"
        );
        drop(embedder);
    }
}
