//! Any bytes are a header, a request for more, or an error; what is accepted holds its promises.
#![no_main]

use jina_embeddings_web::gguf::{Header, Parsed, split::Split};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let file_bytes = bytes.len() as u64;
    if let Ok(Parsed::NeedMore { at_least_bytes }) = Header::parse(bytes, None) {
        assert!(at_least_bytes > file_bytes);
    }
    let Ok(parsed) = Header::parse(bytes, Some(file_bytes)) else {
        return;
    };
    let Parsed::Complete(header) = parsed else {
        panic!("the whole file is not enough")
    };
    let mut end = header.data_offset;
    for tensor in &header.tensors {
        assert!(tensor.offset >= end);
        assert!((tensor.offset - header.data_offset).is_multiple_of(header.alignment));
        end = tensor.offset + tensor.n_bytes;
        assert_eq!(
            tensor.tensor_type.n_bytes(tensor.n_elements() as u64),
            Some(tensor.n_bytes)
        );
    }
    assert!(header.tensors.is_empty() || end <= file_bytes);
    for (key, _) in header.metadata.iter() {
        let _ = header.metadata.opt_u32(key);
        let _ = header.metadata.opt_u32s(key);
        let _ = header
            .metadata
            .opt_strs(key)
            .map(|strings| strings.map(|all| all.iter().count()));
    }
    let _ = Split::of(&header);
});
