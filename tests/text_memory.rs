//! What the tokeniser takes of memory. A browser never gets memory of WebAssembly back: what building
//! it takes at most is what it costs for good.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
};

use jina_embeddings_web::text::Tokenizer;

#[path = "common/vocabulary.rs"]
mod vocabulary;

static HELD: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);

/// The system's, counting what is held.
struct Counting;

// SAFETY: every call is the system allocator's.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        MOST.fetch_max(
            HELD.fetch_add(layout.size(), Relaxed) + layout.size(),
            Relaxed,
        );
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), Relaxed);
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(place, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Published: 151,936 rows and 151,387 merges. The library's own tables took 291 bytes of each token
/// while they were built, and 169 after.
#[test]
fn a_tokeniser_is_built_in_at_most_64_bytes_a_token_and_keeps_them_all_in_place() {
    let n_rows = 151_936;
    let metadata = vocabulary::gguf_of(&vocabulary::full_json(), n_rows);
    let before = HELD.load(Relaxed);
    MOST.store(before, Relaxed);
    let tokenizer = Tokenizer::from_gguf(&metadata).unwrap();
    let built = (MOST.load(Relaxed) - before) / n_rows;
    let kept = (HELD.load(Relaxed) - before) / n_rows;
    println!("{built} bytes a token while it is built, {kept} after");
    assert!(built <= 64, "{built} bytes a token");
    assert!(kept <= 64, "{kept} bytes a token");
    drop(tokenizer);
    assert_eq!((HELD.load(Relaxed) - before) / n_rows, 0);
}
