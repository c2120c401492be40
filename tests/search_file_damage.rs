//! The file of an index that was cut, flipped, crafted or never one: an error, or the last commit before it.

mod items;

use jina_embeddings_web::Code;
use jina_embeddings_web::search::{Error, Fields, Index, Query, Reader, Schema, TokenStorage};
use proptest::prelude::*;

use items::{
    Item, MULTI, SINGLE, both, commit, compact, history, in_space, item, items, noise, open, put,
    read, single,
};

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

proptest! {
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
