//! Items for the tests of the search: made from numbers, compared as a whole.
#![allow(dead_code)] // each test file uses its part

use std::collections::BTreeMap;

use jina_embeddings_web::search::{
    Batch, Fields, FirstStage, InSpace, Index, Metric, Opened, Query, Reader, Schema, Space,
    TokenStorage, Value, Vectors,
};

pub const SINGLE: &str = "model/retrieval/single";
pub const MULTI: &str = "model/retrieval/multi";

pub fn space(name: &str, dimensions: usize) -> Space {
    Space {
        name: name.to_owned(),
        dimensions,
    }
}

pub fn schema(vectors: Vectors) -> Schema {
    Schema {
        vectors,
        metric: Metric::Cosine,
        first_stage: FirstStage::None,
        token_storage: TokenStorage::Float32,
    }
}

/// Single vectors of this length, compared by cosine.
pub fn single(dimensions: usize) -> Schema {
    schema(Vectors::Single(space(SINGLE, dimensions)))
}

pub fn both(dimensions: usize, multi_dimensions: usize) -> Schema {
    schema(Vectors::Both {
        single: space(SINGLE, dimensions),
        multi: space(MULTI, multi_dimensions),
    })
}

/// Numbers between -1 and 1 that look random and are always the same.
pub fn noise(seed: u64, n: usize) -> Vec<f32> {
    let mut state = seed.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let next = || {
        // SplitMix64, Steele and others 2014.
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) >> 40) as f32 / (1u32 << 23) as f32 - 1.0
    };
    std::iter::repeat_with(next).take(n).collect()
}

pub fn text(value: &str) -> Value {
    Value::String(value.to_owned())
}

pub fn in_space<'a>(values: &'a [f32], space: &'a str) -> Option<InSpace<'a, [f32]>> {
    Some(InSpace { values, space })
}

/// Adds items of one vector each.
pub fn add(index: &mut Index, items: &[(&str, &[f32])]) {
    let ids: Vec<&str> = items.iter().map(|(id, _)| *id).collect();
    let values: Vec<f32> = items
        .iter()
        .flat_map(|(_, values)| values.to_vec())
        .collect();
    let batch = Batch {
        ids: &ids,
        vectors: in_space(&values, SINGLE),
        ..Batch::default()
    };
    index.add(&batch).expect("added");
}

/// An item with everything.
#[derive(Debug, Clone, PartialEq)]
pub struct Item {
    pub vector: Option<Vec<f32>>,
    pub tokens: Option<Vec<f32>>,
    pub fields: Fields,
}

/// Every item of an index by id.
pub type Items = BTreeMap<String, Item>;

pub fn items(index: &Index) -> Items {
    let ids = index.ids_where(None).expect("ids");
    let item = |id: &str| Item {
        vector: index.vector(id).map(<[f32]>::to_vec),
        tokens: index.multivector(id),
        fields: index.fields(id).expect("there"),
    };
    ids.into_iter()
        .map(|id| (id.to_owned(), item(id)))
        .collect()
}

/// The ids in the order in which they came.
pub fn order(index: &Index) -> Vec<String> {
    index
        .ids_where(None)
        .expect("ids")
        .into_iter()
        .map(str::to_owned)
        .collect()
}

/// Upserts one item.
pub fn put(index: &mut Index, id: &str, item: &Item) {
    let tokens = [item.tokens.as_deref()];
    let multivectors = index.schema().multi().map(|_| InSpace {
        values: &tokens[..],
        space: MULTI,
    });
    let batch = Batch {
        ids: &[id],
        vectors: item.vector.as_deref().map(|values| InSpace {
            values,
            space: SINGLE,
        }),
        multivectors,
        fields: Some(std::slice::from_ref(&item.fields)),
    };
    index.upsert(&batch).expect("put");
}

/// Writes what is pending at the end of a file that lies in memory.
pub fn commit(index: &mut Index, file: &mut Vec<u8>) {
    if let Some(append) = index.commit().expect("a commit") {
        file.truncate(append.offset as usize);
        assert_eq!(file.len() as u64, append.offset);
        file.extend(append.bytes);
        index.confirm().expect("confirmed");
    }
}

/// The whole file of a compaction, which is kept or not.
pub fn compact(index: &mut Index, keep: bool) -> Vec<u8> {
    index.begin_compaction().expect("begun");
    let mut file = Vec::new();
    while let Some(chunk) = index.compaction_chunk().expect("a chunk") {
        file.extend(chunk);
    }
    index.finish_compaction(keep).expect("finished");
    file
}

type Error = jina_embeddings_web::search::Error;

pub fn open(file: &[u8]) -> Result<(Index, Opened), Error> {
    read(file, file.len().max(1), false)
}

/// Opens a file that is fed in pieces.
pub fn read(file: &[u8], piece: usize, recover: bool) -> Result<(Index, Opened), Error> {
    let mut reader = Reader::new(recover);
    for piece in file.chunks(piece) {
        reader.push(piece)?;
    }
    reader.finish()
}

/// An item that the number decides.
pub fn item(seed: u64) -> Item {
    let tags = vec![format!("tag {}", seed % 3), "schön".to_owned()];
    Item {
        vector: Some(noise(seed, 3)),
        tokens: seed
            .is_multiple_of(2)
            .then(|| noise(seed + 100, 2 * (1 + seed as usize % 3))),
        fields: Fields::from([
            ("number".to_owned(), Value::Number(seed as f64 / 7.0)),
            (format!("only {}", seed % 4), Value::Bool(true)),
            ("tags".to_owned(), Value::Strings(tags)),
        ]),
    }
}

/// A file of several commits, with how long it was after each and what the index held.
pub fn history(schema: Schema) -> (Vec<u8>, Vec<(usize, Items)>) {
    let mut index = Index::new(schema).expect("a schema");
    let mut file = Vec::new();
    let mut states = Vec::new();
    let mut note = |index: &mut Index, file: &mut Vec<u8>| {
        commit(index, file);
        states.push((file.len(), items(index)));
    };
    note(&mut index, &mut file);
    for seed in 0..3 {
        put(&mut index, &format!("item {seed}"), &item(seed));
    }
    note(&mut index, &mut file);
    index.remove(&["item 1", "never there"]);
    put(&mut index, "item 2", &item(9));
    put(&mut index, "item 3", &item(3));
    note(&mut index, &mut file);
    let fields = Fields::from([("new name".to_owned(), text("changed"))]);
    index.set_fields(&["item 0"], &[fields]).expect("there");
    note(&mut index, &mut file);
    (file, states)
}

pub fn ask<'a>(vector: &'a [f32], k: usize) -> Query<'a> {
    Query {
        vector: in_space(vector, SINGLE),
        multivector: None,
        k,
        filter: None,
        candidates: None,
        exact: false,
    }
}
