//! The file of an index: what was committed comes back, whatever happens to the bytes after it.

mod items;

use jina_embeddings_web::Code;
use jina_embeddings_web::search::{
    Batch, Error, Fields, FirstStage, Index, Metric, Query, Reader, Schema, TokenStorage, Value,
    Vectors,
};
use proptest::prelude::*;

use items::{
    Item, Items, MULTI, SINGLE, both, commit, compact, in_space, items, noise, open, order, put,
    read, schema, single, space, text,
};

fn item(seed: u64) -> Item {
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
fn history(schema: Schema) -> (Vec<u8>, Vec<(usize, Items)>) {
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
fn a_file_cut_at_any_byte_opens_as_of_its_last_whole_commit() {
    let (file, states) = history(both(3, 2));
    for end in 0..=file.len() {
        match open(&file[..end]) {
            Ok((index, report)) => {
                let (n_bytes, state) = states
                    .iter()
                    .rev()
                    .find(|(n, _)| *n <= end)
                    .expect("a state");
                assert_eq!(&items(&index), state, "cut at {end}");
                assert_eq!(
                    report.discarded_bytes,
                    (end - n_bytes) as u64,
                    "cut at {end}"
                );
            }
            Err(error) => {
                assert!(end < states[0].0, "cut at {end}: {error}");
                assert_eq!(error.code(), Code::IndexInvalid);
            }
        }
    }
}

#[test]
fn any_flipped_bit_is_an_error_or_the_last_state_before_it() {
    let (file, states) = history(both(3, 2));
    for bit in 0..file.len() * 8 {
        let mut flipped = file.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let before = states.iter().rev().find(|(n, _)| *n <= bit / 8);
        // Only what nobody wrote after is taken for a commit that never finished.
        let is_in_last = bit / 8 >= states[states.len() - 2].0;
        match open(&flipped) {
            Ok((index, report)) => {
                assert!(is_in_last, "bit {bit}");
                assert_eq!(
                    Some(&items(&index)),
                    before.map(|(_, state)| state),
                    "bit {bit}"
                );
                assert!(report.discarded_bytes > 0, "bit {bit}");
            }
            Err(error) => {
                assert!(!is_in_last, "bit {bit}: {error}");
                let code = error.code();
                assert!(
                    matches!(code, Code::IndexInvalid | Code::IndexUnsupported),
                    "bit {bit}: {error}"
                );
            }
        }
        // And what comes before the damage can be had on demand.
        if let (Some((n_bytes, state)), false) = (before, is_in_last) {
            let (index, report) = read(&flipped, 100, true).expect("recovered");
            assert_eq!(&items(&index), state, "bit {bit}");
            assert!(
                report
                    .damage
                    .is_some_and(|what| what.contains(&n_bytes.to_string())),
                "bit {bit}"
            );
        }
    }
}

#[test]
fn bytes_of_zero_after_a_commit_are_dropped_and_a_later_commit_takes_their_place() {
    let (mut file, states) = history(both(3, 2));
    let sound = file.len();
    file.resize(sound + 1_000, 0);
    let (mut index, report) = open(&file).expect("sound");
    assert_eq!(report.discarded_bytes, 1_000);
    assert_eq!(&items(&index), &states.last().expect("one").1);
    put(&mut index, "later", &item(8));
    commit(&mut index, &mut file);
    let (again, report) = open(&file).expect("sound");
    assert_eq!((items(&again), report.discarded_bytes), (items(&index), 0));
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
fn a_file_that_is_none_is_refused_at_its_first_bytes() {
    let mut reader = Reader::new(true);
    let refused = reader.push(b"PK");
    assert!(matches!(refused, Err(Error::NotAnIndex { .. })));
    assert!(matches!(reader.push(b""), Err(Error::NotAnIndex { .. })));
    assert!(matches!(reader.finish(), Err(Error::NotAnIndex { .. })));
    assert!(matches!(
        open(b""),
        Err(Error::Incomplete { n_bytes: 0, .. })
    ));
}

#[test]
fn a_file_of_a_later_version_says_so() {
    let (mut file, _) = history(single(3));
    file[8] = 2;
    let refused = open(&file).expect_err("a later version");
    assert_eq!(
        refused,
        Error::Version {
            needed: 1,
            found: 2
        }
    );
    assert_eq!(refused.code(), Code::IndexUnsupported);
}

#[test]
fn a_commit_that_could_not_be_written_is_part_of_the_next() {
    let mut index = Index::new(both(3, 2)).expect("a schema");
    let mut file = Vec::new();
    put(&mut index, "a", &item(0));
    put(&mut index, "b", &item(1));
    commit(&mut index, &mut file);
    index.remove(&["a"]);
    put(&mut index, "c", &item(2));
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
    let mut index = Index::new(both(3, 2)).expect("a schema");
    let mut file = Vec::new();
    put(&mut index, "a", &item(0));
    put(&mut index, "b", &item(1));
    commit(&mut index, &mut file);
    index.remove(&["a"]);
    put(&mut index, "c", &item(2));
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

#[test]
fn a_compacted_file_that_was_not_written_to_its_end_is_refused() {
    let mut index = Index::new(single(8_192)).expect("a schema");
    for seed in 0..200 {
        put(
            &mut index,
            &format!("{seed}"),
            &Item {
                vector: Some(noise(seed, 8_192)),
                tokens: None,
                fields: Fields::new(),
            },
        );
    }
    index.begin_compaction().expect("begun");
    let first = index
        .compaction_chunk()
        .expect("a chunk")
        .expect("the first");
    let refused = open(&first).expect_err("unfinished");
    assert!(matches!(refused, Error::Incomplete { .. }), "{refused}");
    let (part, report) = read(&first, first.len(), true).expect("recovered");
    assert!((1..200).contains(&part.len()));
    assert!(report.damage.is_some());
}

#[test]
fn a_row_that_repeats_an_id_is_damage_even_under_sound_checksums() {
    // The commit of one file after the header of another whose first commit it repeats.
    let mut index = Index::new(single(3)).expect("a schema");
    put(
        &mut index,
        "a",
        &Item {
            tokens: None,
            ..item(0)
        },
    );
    let mut file = Vec::new();
    commit(&mut index, &mut file);
    let end = file.len();
    put(
        &mut index,
        "b",
        &Item {
            tokens: None,
            ..item(1)
        },
    );
    commit(&mut index, &mut file);
    let second = file.split_off(end);
    file.extend(&second);
    file.extend(&second);
    let (index, report) = open(&file).expect("the copy follows nothing");
    assert_eq!(
        (index.len(), report.discarded_bytes as usize),
        (2, second.len())
    );
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

    #[test]
    fn no_bytes_make_the_reader_panic(
        mut changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..20),
        end in any::<prop::sample::Index>(),
        recover in any::<bool>(),
    ) {
        let (file, _) = history(both(3, 2));
        let mut changed = file.clone();
        for (at, value) in changes.drain(..) {
            let at = at.index(changed.len());
            changed[at] = value;
        }
        changed.truncate(end.index(changed.len() + 1));
        if let Ok((index, _)) = read(&changed, 64, recover) {
            items(&index);
        }
    }
}

/// Makes every checksum of a file fit what it now holds, as whoever means harm would.
fn reseal(file: &mut [u8]) {
    let number =
        |file: &[u8], at: usize| u64::from_le_bytes(file[at..at + 8].try_into().expect("eight"));
    let seal = |file: &mut [u8], from: usize, to: usize| {
        let sum = twox_hash::XxHash64::oneshot(0, &file[from..to]);
        file[to..to + 8].copy_from_slice(&sum.to_le_bytes());
        sum
    };
    let mut at = number(file, 8) as usize >> 32;
    let mut chain = number(file, at - 8);
    while at < file.len() {
        file[at + 16..at + 24].copy_from_slice(&chain.to_le_bytes());
        let end = at + 56 + number(file, at + 24) as usize;
        seal(file, at, at + 48);
        chain = seal(file, at, end);
        at = end + 8;
    }
}

#[test]
fn a_file_that_is_sealed_again_unchanged_is_the_same() {
    let (file, _) = history(both(3, 2));
    let mut sealed = file.clone();
    reseal(&mut sealed);
    assert_eq!(sealed, file);
}

proptest! {
    #[test]
    fn what_sound_checksums_hide_is_an_error_or_an_index_that_can_be_used(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        int8 in any::<bool>(),
    ) {
        let token_storage = if int8 { TokenStorage::Int8 } else { TokenStorage::Float32 };
        let (file, states) = history(Schema { token_storage, ..both(3, 2) });
        let mut changed = file.clone();
        for (at, value) in changes {
            // Anywhere in the payload of a commit, or in its counts.
            let (start, end) = (states[at.index(3)].0, states[at.index(3) + 1].0);
            let places: Vec<usize> = (start + 32..start + 48).chain(start + 56..end - 8).collect();
            changed[places[at.index(places.len())]] = value;
        }
        reseal(&mut changed);
        match open(&changed) {
            Ok((mut index, _)) => {
                let before = items(&index);
                let vector = [1.0, 2.0, 3.0];
                let query = Query {
                    vector: in_space(&vector, SINGLE),
                    multivector: in_space(&vector[..2], MULTI),
                    k: 10,
                    filter: None,
                    candidates: None,
                    exact: true,
                };
                for hit in index.search(&query).expect("a search") {
                    prop_assert!(hit.score().is_finite());
                }
                prop_assert_eq!(items(&open(&compact(&mut index, true)).expect("sound").0), before);
            }
            Err(error) => prop_assert_eq!(error.code(), Code::IndexInvalid),
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
