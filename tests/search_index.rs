//! What an index finds, lists and removes.

mod items;

use jina_embeddings_web::search::{
    Batch, Bound, Fields, Filter, FirstStage, InSpace, Index, Kernels, Metric, Query, Schema,
    TokenStorage, Value, Vectors,
};
use proptest::prelude::*;

use items::{
    Item, MULTI, SINGLE, add, ask, both, in_space, noise, order, put, schema, single, space, text,
};

fn found(index: &Index, query: &Query) -> Vec<String> {
    let hits = index.search(query).expect("a search");
    hits.iter().map(|hit| hit.id().to_owned()).collect()
}

fn scores(index: &Index, query: &Query) -> Vec<f32> {
    let hits = index.search(query).expect("a search");
    hits.iter().map(|hit| hit.score()).collect()
}

/// The plain form: every score in `f64`, best first, of equal ones the earlier.
fn plain(
    rows: &[(String, Vec<f32>)],
    query: &[f32],
    metric: Metric,
    k: usize,
) -> Vec<(String, f64)> {
    let dot = |a: &[f32], b: &[f32]| {
        a.iter()
            .zip(b)
            .map(|(a, b)| f64::from(*a) * f64::from(*b))
            .sum::<f64>()
    };
    let score = |row: &[f32]| match metric {
        Metric::Dot => dot(query, row),
        Metric::Cosine => dot(query, row) / (dot(query, query) * dot(row, row)).sqrt(),
    };
    let mut all: Vec<_> = rows
        .iter()
        .map(|(id, row)| (id.clone(), score(row)))
        .collect();
    all.sort_by(|a, b| b.1.total_cmp(&a.1));
    all.truncate(k);
    all
}

#[test]
fn a_cosine_is_of_directions_and_a_product_of_lengths_too() {
    let rows: [(&str, &[f32]); 3] = [
        ("long", &[0.0, 9.0]),
        ("near", &[1.0, 0.1]),
        ("against", &[-2.0, 0.0]),
    ];
    let mut cosine = Index::new(single(2)).expect("a schema");
    add(&mut cosine, &rows);
    let query = [2.0, 1.0];
    assert_eq!(found(&cosine, &ask(&query, 9)), ["near", "long", "against"]);
    let expected = [
        2.1 / (5f32 * 1.01).sqrt(),
        1.0 / 5f32.sqrt(),
        -2.0 / 5f32.sqrt(),
    ];
    for (found, expected) in scores(&cosine, &ask(&query, 9)).iter().zip(expected) {
        assert!((found - expected).abs() < 1e-6, "{found} {expected}");
    }
    let mut dot = Index::new(Schema {
        metric: Metric::Dot,
        ..single(2)
    })
    .expect("a schema");
    add(&mut dot, &rows);
    assert_eq!(scores(&dot, &ask(&query, 2)), [9.0, 2.1]);
    assert_eq!(found(&dot, &ask(&query, 2)), ["long", "near"]);
}

#[test]
fn of_equal_items_the_earlier_comes_first() {
    let mut index = Index::new(single(2)).expect("a schema");
    add(
        &mut index,
        &[("b", &[1.0, 0.0]), ("a", &[2.0, 0.0]), ("c", &[3.0, 0.0])],
    );
    assert_eq!(found(&index, &ask(&[1.0, 0.0], 2)), ["b", "a"]);
}

#[test]
fn an_index_without_items_finds_none() {
    let index = Index::new(single(2)).expect("a schema");
    assert!(found(&index, &ask(&[1.0, 0.0], 3)).is_empty());
}

#[test]
fn an_upsert_replaces_and_moves_to_the_end() {
    let mut index = Index::new(single(2)).expect("a schema");
    add(&mut index, &[("a", &[1.0, 0.0]), ("b", &[0.0, 1.0])]);
    let batch = Batch {
        ids: &["c", "a"],
        vectors: in_space(&[1.0, 1.0, -1.0, 0.0], SINGLE),
        ..Batch::default()
    };
    let done = index.upsert(&batch).expect("upserted");
    assert_eq!((done.added, done.replaced), (1, 1));
    assert_eq!(order(&index), ["b", "c", "a"]);
    assert_eq!(index.vector("a"), Some(&[-1.0, 0.0][..]));
    assert_eq!(found(&index, &ask(&[1.0, 0.0], 1)), ["c"]);
}

#[test]
fn removed_items_are_not_found_and_their_ids_are_free() {
    let mut index = Index::new(single(2)).expect("a schema");
    add(&mut index, &[("a", &[1.0, 0.0]), ("b", &[0.0, 1.0])]);
    assert_eq!(index.remove(&["a", "a", "unknown"]), 1);
    assert_eq!(found(&index, &ask(&[1.0, 0.0], 2)), ["b"]);
    assert!(!index.contains("a"));
    add(&mut index, &[("a", &[0.5, 0.5])]);
    assert_eq!(index.len(), 2);
}

#[test]
fn a_filter_chooses_what_is_found_listed_and_removed() {
    let mut index = Index::new(single(2)).expect("a schema");
    for (id, x, lang, year) in [
        ("a", 1.0, "de", 1990.0),
        ("b", 0.9, "en", 2000.0),
        ("c", 0.8, "de", 2010.0),
    ] {
        let fields = Fields::from([
            ("lang".to_owned(), text(lang)),
            ("year".to_owned(), Value::Number(year)),
        ]);
        put(
            &mut index,
            id,
            &Item {
                vector: Some(vec![x, 1.0]),
                tokens: None,
                fields,
            },
        );
    }
    let german = Filter::In {
        field: "lang".to_owned(),
        values: vec![text("de")],
    };
    let new = Filter::Range {
        field: "year".to_owned(),
        from: Some((Bound::Number(2000.0), true)),
        to: None,
    };
    let query = [1.0, 0.0];
    assert_eq!(
        found(
            &index,
            &Query {
                filter: Some(&german),
                ..ask(&query, 5)
            }
        ),
        ["a", "c"]
    );
    let not_new = Filter::And(vec![german.clone(), Filter::Not(Box::new(new))]);
    assert_eq!(
        found(
            &index,
            &Query {
                filter: Some(&not_new),
                ..ask(&query, 5)
            }
        ),
        ["a"]
    );
    assert_eq!(index.ids_where(Some(&german)).expect("ids"), ["a", "c"]);
    assert_eq!(index.remove_where(&german).expect("removed"), 2);
    assert_eq!(order(&index), ["b"]);
}

#[test]
fn maxsim_adds_up_the_best_token_for_each_token_of_the_query() {
    for storage in [TokenStorage::Float32, TokenStorage::Int8] {
        let vectors = Vectors::Multi(space(MULTI, 2));
        let mut index = Index::new(Schema {
            token_storage: storage,
            ..schema(vectors)
        })
        .expect("a schema");
        let item = |tokens: &[f32]| Item {
            vector: None,
            tokens: Some(tokens.to_vec()),
            fields: Fields::new(),
        };
        put(&mut index, "both", &item(&[1.0, 0.0, 0.0, 1.0, -1.0, 0.0]));
        put(&mut index, "one", &item(&[1.0, 0.0]));
        // Of length 5: a cosine does not mind.
        put(&mut index, "between", &item(&[3.0, 4.0]));
        let tokens = [2.0, 0.0, 0.0, 0.5];
        let query = Query {
            vector: None,
            multivector: in_space(&tokens, MULTI),
            ..ask(&[], 3)
        };
        assert_eq!(found(&index, &query), ["both", "between", "one"]);
        for (found, expected) in scores(&index, &query).iter().zip([2.0, 1.4, 1.0]) {
            assert!(
                (found - expected).abs() < 0.01,
                "{storage:?}: {found} {expected}"
            );
        }
        let given = InSpace {
            values: &tokens[..],
            space: MULTI,
        };
        let likeness = index
            .token_likeness("both", given)
            .expect("a search")
            .expect("tokens");
        for (found, expected) in likeness.iter().zip([1.0, 0.0, -1.0, 0.0, 1.0, 0.0]) {
            assert!(
                (found - expected).abs() < 0.01,
                "{storage:?}: {found} {expected}"
            );
        }
        assert_eq!(index.token_likeness("nobody", given), Ok(None));
    }
}

#[test]
fn single_vectors_choose_whom_maxsim_ranks() {
    let mut index = Index::new(both(2, 2)).expect("a schema");
    for (id, vector, tokens) in [
        ("near, unlike", [1.0, 0.0], Some(vec![-1.0, 0.0])),
        ("next, alike", [0.9, 0.1], Some(vec![1.0, 0.0])),
        ("far, alike", [-1.0, 0.0], Some(vec![1.0, 0.0])),
        ("near, no tokens", [1.0, 0.0], None),
    ] {
        put(
            &mut index,
            id,
            &Item {
                vector: Some(vector.to_vec()),
                tokens,
                fields: Fields::new(),
            },
        );
    }
    let query = Query {
        multivector: in_space(&[1.0, 0.0], MULTI),
        candidates: Some(2),
        ..ask(&[1.0, 0.0], 2)
    };
    assert_eq!(found(&index, &query), ["next, alike", "near, unlike"]);
    assert_eq!(
        found(
            &index,
            &Query {
                exact: true,
                ..query
            }
        ),
        ["next, alike", "far, alike"]
    );
    assert_eq!(
        found(
            &index,
            &Query {
                vector: None,
                ..query
            }
        ),
        ["next, alike", "far, alike"]
    );
}

/// Vectors around a few centres, with what is of little weight at the end, as Matryoshka training does.
fn clustered(n: usize, dimensions: usize, seed: u64) -> Vec<f32> {
    let n_centres = 20;
    let centres = noise(7, n_centres * dimensions);
    let spread = noise(seed, n * dimensions);
    let value = |at: usize| {
        let (row, column) = (at / dimensions, at % dimensions);
        let centre = centres[row % n_centres * dimensions + column];
        (centre + spread[at]) / (1.0 + column as f32 / 32.0)
    };
    (0..n * dimensions).map(value).collect()
}

#[test]
fn every_first_stage_finds_nearly_all_that_an_exact_search_finds() {
    const DIMENSIONS: usize = 128;
    let rows = clustered(12_000, DIMENSIONS, 1);
    let queries = clustered(40, DIMENSIONS, 2);
    let ids: Vec<String> = (0..12_000).map(|id| id.to_string()).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let batch = Batch {
        ids: &ids,
        vectors: in_space(&rows, SINGLE),
        ..Batch::default()
    };
    for first_stage in [
        FirstStage::Float32 { dimensions: 64 },
        FirstStage::Int8 {
            dimensions: DIMENSIONS,
        },
        FirstStage::Int8 { dimensions: 64 },
        FirstStage::Binary {
            dimensions: DIMENSIONS,
        },
    ] {
        let mut index = Index::new(Schema {
            first_stage,
            ..single(DIMENSIONS)
        })
        .expect("a schema");
        index.add(&batch).expect("added");
        let mut n_found = 0;
        for query in queries.chunks(DIMENSIONS) {
            let exact = index
                .search(&Query {
                    exact: true,
                    ..ask(query, 10)
                })
                .expect("a search");
            let quick = index.search(&ask(query, 10)).expect("a search");
            for hit in &quick {
                let same = exact.iter().find(|exact| exact.id() == hit.id());
                // The full vectors gave both scores.
                assert!(same.is_none_or(|same| same.score() == hit.score()));
                n_found += usize::from(same.is_some());
            }
        }
        assert!(n_found >= 396, "{first_stage:?}: {n_found} of 400");
    }
}

proptest! {
    #[test]
    fn a_search_finds_what_a_plain_loop_finds(
        dimensions in 1usize..40,
        n_rows in 0usize..60,
        k in 1usize..20,
        seed in any::<u64>(),
        dot in any::<bool>(),
        dead in prop::collection::vec(0usize..60, 0..10),
    ) {
        let metric = if dot { Metric::Dot } else { Metric::Cosine };
        let values = noise(seed, n_rows * dimensions);
        let query = noise(seed ^ 1, dimensions);
        let rows: Vec<(String, Vec<f32>)> =
            values.chunks(dimensions).enumerate().map(|(id, row)| (id.to_string(), row.to_vec())).collect();
        let live: Vec<_> = rows.iter().enumerate().filter(|(at, _)| !dead.contains(at)).map(|(_, row)| row.clone()).collect();
        let expected = plain(&live, &query, metric, k);
        for kernels in Kernels::all() {
            let mut index = Index::new(Schema { metric, ..single(dimensions) }).expect("a schema").with_kernels(kernels);
            let borrowed: Vec<_> = rows.iter().map(|(id, row)| (id.as_str(), row.as_slice())).collect();
            add(&mut index, &borrowed);
            for at in &dead {
                index.remove(&[&at.to_string()]);
            }
            let hits = index.search(&ask(&query, k)).expect("a search");
            prop_assert_eq!(hits.len(), expected.len());
            for (hit, (id, score)) in hits.iter().zip(&expected) {
                // Sums of f32 in another order; two that are this close may change places.
                prop_assert!((f64::from(hit.score()) - score).abs() < 1e-5, "{}: {} {}", kernels.name(), hit.score(), score);
                let _ = id;
            }
        }
    }

    #[test]
    fn a_first_stage_that_hands_on_everything_changes_nothing(seed in any::<u64>(), k in 1usize..8, stage in 0usize..3) {
        let first_stage = [
            FirstStage::Float32 { dimensions: 5 },
            FirstStage::Int8 { dimensions: 9 },
            FirstStage::Binary { dimensions: 7 },
        ][stage];
        let mut index = Index::new(Schema { first_stage, ..single(9) }).expect("a schema");
        let values = noise(seed, 30 * 9);
        let ids: Vec<String> = (0..30).map(|id| id.to_string()).collect();
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        index.add(&Batch { ids: &ids, vectors: in_space(&values, SINGLE), ..Batch::default() }).expect("added");
        // One dead row, so that all live ones are fewer than all.
        index.remove(&["3"]);
        let query = noise(seed ^ 1, 9);
        let exact = found(&index, &Query { exact: true, ..ask(&query, k) });
        prop_assert_eq!(found(&index, &Query { candidates: Some(28.max(k)), ..ask(&query, k) }).len(), exact.len());
        prop_assert_eq!(found(&index, &Query { candidates: Some(29), ..ask(&query, k) }), exact);
    }

    #[test]
    fn maxsim_is_that_of_a_plain_loop(n_query in 1usize..7, n_item in 1usize..9, width in 1usize..40, seed in any::<u64>()) {
        let (query, item) = (noise(seed, n_query * width), noise(seed ^ 1, n_item * width));
        let length = |token: &[f32]| token.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt();
        let cosine = |a: &[f32], b: &[f32]| {
            let dot: f64 = a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
            dot / (length(a) * length(b))
        };
        let best = |q: &[f32]| item.chunks(width).map(|t| cosine(q, t)).fold(f64::NEG_INFINITY, f64::max);
        let expected: f64 = query.chunks(width).map(best).sum();
        for (storage, tolerance) in [(TokenStorage::Float32, 1e-5), (TokenStorage::Int8, 0.02)] {
            for kernels in Kernels::all() {
                let vectors = Vectors::Multi(space(MULTI, width));
                let mut index = Index::new(Schema { token_storage: storage, ..schema(vectors) }).expect("a schema").with_kernels(kernels);
                put(&mut index, "a", &Item { vector: None, tokens: Some(item.clone()), fields: Fields::new() });
                let asked = Query { vector: None, multivector: in_space(&query, MULTI), ..ask(&[], 1) };
                let found = f64::from(scores(&index, &asked)[0]);
                prop_assert!((found - expected).abs() < tolerance * n_query as f64, "{storage:?} {}: {found} {expected}", kernels.name());
            }
        }
    }
}
