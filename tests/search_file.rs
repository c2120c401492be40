//! The file of an index: what was committed comes back, and compaction keeps what lives.

mod items;

use jina_embeddings_web::search::{
    Batch, Error, Fields, FirstStage, Index, Metric, Query, Schema, TokenStorage, Value, Vectors,
};
use proptest::prelude::*;

use items::{
    Item, Items, MULTI, SINGLE, both, commit, compact, history, in_space, item, items, noise, open,
    order, put, read, schema, single, space,
};

/// An index with two items in its file, one of them removed since and a third one added.
fn changed() -> (Index, Vec<u8>) {
    let mut index = Index::new(both(3, 2)).expect("a schema");
    let mut file = Vec::new();
    put(&mut index, "a", &item(0));
    put(&mut index, "b", &item(1));
    commit(&mut index, &mut file);
    index.remove(&["a"]);
    put(&mut index, "c", &item(2));
    (index, file)
}

#[test]
fn every_kind_of_index_comes_back_as_it_was_committed() {
    let multi = || Vectors::Multi(space(MULTI, 2));
    for (name, schema) in [
        ("single", single(3)),
        ("both", both(3, 2)),
        (
            "bytes",
            Schema {
                token_storage: TokenStorage::Int8,
                ..both(3, 2)
            },
        ),
        (
            "dot",
            Schema {
                metric: Metric::Dot,
                ..both(3, 2)
            },
        ),
        ("multi", schema(multi())),
        (
            "stage",
            Schema {
                first_stage: FirstStage::Binary { dimensions: 2 },
                ..schema(multi())
            },
        ),
    ] {
        let mut index = Index::new(schema.clone()).expect("a schema");
        let mut file = Vec::new();
        for seed in [0, 2, 4] {
            let mut item = item(seed);
            item.vector = schema.single().and(item.vector);
            item.tokens = schema.multi().and(item.tokens);
            put(&mut index, &format!("id {seed}"), &item);
        }
        commit(&mut index, &mut file);
        let (opened, report) = open(&file).expect("sound");
        assert_eq!(opened.schema(), &schema, "{name}");
        assert_eq!(items(&opened), items(&index), "{name}");
        assert_eq!(order(&opened), order(&index), "{name}");
        assert_eq!(
            (report.n_commits, report.discarded_bytes, report.damage),
            (1, 0, None),
            "{name}"
        );
        assert_eq!(opened.written(), index.written(), "{name}");
    }
}

#[test]
fn the_size_of_the_pieces_does_not_matter() {
    let (file, states) = history(both(3, 2));
    for piece in [1, 7, 8, 55, 56, 57, 1_000] {
        let (index, _) = read(&file, piece, false).expect("sound");
        assert_eq!(
            &items(&index),
            &states.last().expect("one").1,
            "pieces of {piece}"
        );
    }
}

#[test]
fn a_commit_that_could_not_be_written_is_part_of_the_next() {
    let (mut index, mut file) = changed();
    index.commit().expect("a commit").expect("changes");
    // While it is under way things go on.
    index.remove(&["c", "b"]);
    put(&mut index, "c", &item(4));
    put(&mut index, "d", &item(6));
    let fields = Fields::from([("x".to_owned(), Value::Bool(true))]);
    index.set_fields(&["d"], &[fields]).expect("there");
    index.abandon().expect("abandoned");
    commit(&mut index, &mut file);
    assert_eq!(items(&open(&file).expect("sound").0), items(&index));
    assert_eq!(index.n_pending(), 0);
}

#[test]
fn changes_during_a_commit_are_part_of_the_one_after() {
    let mut index = Index::new(both(3, 2)).expect("a schema");
    put(&mut index, "a", &item(0));
    put(&mut index, "b", &item(1));
    let first = index.commit().expect("a commit").expect("changes");
    let during = items(&index);
    index.remove(&["a"]);
    put(&mut index, "b", &item(5));
    put(&mut index, "c", &item(2));
    assert_eq!(index.n_pending(), 4);
    index.confirm().expect("confirmed");
    let mut file = first.bytes;
    assert_eq!(items(&open(&file).expect("sound").0), during);
    commit(&mut index, &mut file);
    assert_eq!(items(&open(&file).expect("sound").0), items(&index));
    assert!(index.commit().expect("no commit").is_none());
}

#[test]
fn calls_at_the_wrong_time_are_refused_and_change_nothing() {
    let mut index = Index::new(single(3)).expect("a schema");
    let order = |result: Result<(), Error>| matches!(result, Err(Error::Order { .. }));
    assert!(order(index.confirm()));
    assert!(order(index.abandon()));
    assert!(order(index.finish_compaction(true)));
    assert!(order(index.compaction_chunk().map(drop)));
    index.commit().expect("a commit").expect("a header");
    assert!(order(index.commit().map(drop)));
    assert!(order(index.begin_compaction().map(drop)));
    index.confirm().expect("confirmed");
    index.begin_compaction().expect("begun");
    assert!(order(index.commit().map(drop)));
    assert!(order(index.confirm()));
    // The header is still to come.
    assert!(order(index.finish_compaction(true)));
    index.finish_compaction(false).expect("given up");
    assert!(index.commit().expect("idle").is_none());
}

#[test]
fn compaction_drops_what_is_dead_and_goes_on_from_there() {
    let mut index = Index::new(both(3, 2)).expect("a schema");
    let mut file = Vec::new();
    for seed in 0..40 {
        put(&mut index, &format!("item {seed}"), &item(seed));
        commit(&mut index, &mut file);
    }
    index.remove(&["item 3", "item 39"]);
    put(&mut index, "item 5", &item(50));
    let before = (items(&index), order(&index));
    assert_eq!(index.n_rows(), 41);
    let compacted = compact(&mut index, true);
    assert!(compacted.len() < file.len());
    assert_eq!(
        (items(&index), order(&index), index.n_rows()),
        (before.0.clone(), before.1.clone(), 38)
    );
    let (opened, report) = open(&compacted).expect("sound");
    assert_eq!((items(&opened), order(&opened)), before);
    assert_eq!((opened.written().generation, report.n_commits), (1, 1));

    let mut file = compacted;
    put(&mut index, "item 7", &item(70));
    index.remove(&["item 8"]);
    commit(&mut index, &mut file);
    assert_eq!(items(&open(&file).expect("sound").0), items(&index));
}

#[test]
fn an_export_leaves_the_index_and_its_file_as_they_are() {
    let (mut index, mut file) = changed();
    let export = compact(&mut index, false);
    assert_eq!(items(&open(&export).expect("sound").0), items(&index));
    commit(&mut index, &mut file);
    assert_eq!(items(&open(&file).expect("sound").0), items(&index));
}

#[test]
fn changes_during_a_compaction_are_part_of_the_commit_after() {
    // Large enough for several chunks of 4 MB.
    let mut index = Index::new(single(8_192)).expect("a schema");
    for seed in 0..400 {
        let fields = Fields::from([("n".to_owned(), Value::Number(seed as f64))]);
        let item = Item {
            vector: Some(noise(seed, 8_192)),
            tokens: None,
            fields,
        };
        put(&mut index, &format!("item {seed}"), &item);
    }
    let mut file = Vec::new();
    for keep in [false, true] {
        commit(&mut index, &mut file);
        let mut next = Vec::new();
        index.begin_compaction().expect("begun");
        next.extend(
            index
                .compaction_chunk()
                .expect("a chunk")
                .expect("the first"),
        );
        // One that is in the new file already and one that is not.
        index.remove(&["item 0", "item 399"]);
        let fields = Fields::from([("new".to_owned(), Value::Bool(keep))]);
        let item = Item {
            vector: Some(noise(500, 8_192)),
            tokens: None,
            fields: fields.clone(),
        };
        put(&mut index, "item 1", &item);
        index
            .set_fields(&["item 398", "item 2"], &[fields.clone(), fields])
            .expect("there");
        put(&mut index, "item 0", &item);
        let mut n_chunks = 1;
        while let Some(chunk) = index.compaction_chunk().expect("a chunk") {
            next.extend(chunk);
            n_chunks += 1;
        }
        assert!(n_chunks >= 3, "{n_chunks}");
        index.finish_compaction(keep).expect("finished");
        if keep {
            file = next;
        }
        commit(&mut index, &mut file);
        let (opened, _) = open(&file).expect("sound");
        assert_eq!(
            (items(&opened), order(&opened)),
            (items(&index), order(&index)),
            "keep: {keep}"
        );
        put(&mut index, "item 399", &item);
    }
}

/// What a property test does to an index and to a plain map.
#[derive(Debug, Clone)]
enum Step {
    Put(u8, u64),
    Remove(u8),
    SetFields(u8, u64),
    Commit,
    AbandonCommit,
    Compact(bool),
    Reopen,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (0u8..12, 0u64..40).prop_map(|(id, seed)| Step::Put(id, seed)),
        3 => (0u8..12).prop_map(Step::Remove),
        2 => (0u8..12, 0u64..40).prop_map(|(id, seed)| Step::SetFields(id, seed)),
        3 => Just(Step::Commit),
        1 => Just(Step::AbandonCommit),
        1 => any::<bool>().prop_map(Step::Compact),
        2 => Just(Step::Reopen),
    ];
    prop::collection::vec(step, 1..60)
}

proptest! {
    #[test]
    fn an_index_and_its_file_hold_what_a_plain_map_holds(steps in steps()) {
        let mut index = Index::new(both(3, 2)).expect("a schema");
        let mut file = Vec::new();
        let (mut map, mut committed) = (Items::new(), None);
        for step in steps {
            match step {
                Step::Put(id, seed) => {
                    put(&mut index, &id.to_string(), &item(seed));
                    map.insert(id.to_string(), item(seed));
                }
                Step::Remove(id) => {
                    let n = index.remove(&[&id.to_string()]);
                    prop_assert_eq!(n, usize::from(map.remove(&id.to_string()).is_some()));
                }
                Step::SetFields(id, seed) => {
                    let fields = item(seed).fields;
                    let known = map.get_mut(&id.to_string());
                    let set = index.set_fields(&[&id.to_string()], std::slice::from_ref(&fields));
                    prop_assert_eq!(set.is_ok(), known.is_some());
                    if let Some(item) = known {
                        item.fields = fields;
                    }
                }
                Step::Commit => {
                    commit(&mut index, &mut file);
                    committed = Some(map.clone());
                }
                Step::AbandonCommit => {
                    if index.commit().expect("idle").is_some() {
                        index.abandon().expect("abandoned");
                    }
                }
                Step::Compact(keep) => {
                    let compacted = compact(&mut index, keep);
                    prop_assert_eq!(&items(&open(&compacted).expect("sound").0), &map);
                    if keep {
                        (file, committed) = (compacted, Some(map.clone()));
                    }
                }
                Step::Reopen => {
                    if let Some(state) = &committed {
                        index = open(&file).expect("sound").0;
                        map = state.clone();
                    }
                }
            }
            prop_assert_eq!(&items(&index), &map);
            prop_assert_eq!(index.len(), map.len());
        }
    }
}

#[test]
fn an_empty_index_makes_a_file_that_opens_empty() {
    let mut index = Index::new(single(3)).expect("a schema");
    let mut file = Vec::new();
    commit(&mut index, &mut file);
    assert_eq!(open(&file).expect("sound").0.len(), 0);
    let compacted = compact(&mut index, true);
    let (opened, report) = open(&compacted).expect("sound");
    assert_eq!(
        (opened.len(), opened.written().generation, report.n_commits),
        (0, 1, 0)
    );
}

#[test]
fn a_search_after_reopening_finds_the_same() {
    let stage = FirstStage::Int8 { dimensions: 3 };
    let mut index = Index::new(Schema {
        first_stage: stage,
        ..single(3)
    })
    .expect("a schema");
    let ids: Vec<String> = (0..300).map(|id| id.to_string()).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let values = noise(1, 900);
    index
        .add(&Batch {
            ids: &ids,
            vectors: in_space(&values, SINGLE),
            ..Batch::default()
        })
        .expect("added");
    let mut file = Vec::new();
    commit(&mut index, &mut file);
    let (opened, _) = open(&file).expect("sound");
    let vector = noise(2, 3);
    let query = Query {
        vector: in_space(&vector, SINGLE),
        multivector: None,
        k: 5,
        filter: None,
        candidates: Some(10),
        exact: false,
    };
    let found = |index: &Index| -> Vec<(String, f32)> {
        index
            .search(&query)
            .expect("found")
            .iter()
            .map(|hit| (hit.id().to_owned(), hit.score()))
            .collect()
    };
    assert_eq!(found(&opened), found(&index));
}
