//! What an index refuses: whole batches, with nothing lost.

mod items;

use jina_embeddings_web::Code;
use jina_embeddings_web::search::{Batch, Error, Fields, InSpace, Index, Query, Value, Vectors};

use items::{MULTI, SINGLE, add, ask, in_space, items, schema, single, space};

/// Everything that `check` refuses is refused in a batch of three, which adds nothing.
fn refuses(vectors: &[f32], space: &str, check: impl Fn(&Error) -> bool) {
    let mut index = Index::new(single(2)).expect("a schema");
    add(&mut index, &[("there", &[1.0, 0.0])]);
    let before = items(&index);
    let batch = Batch {
        ids: &["a", "b", "c"],
        vectors: in_space(vectors, space),
        ..Batch::default()
    };
    let refused = index.add(&batch).expect_err("a bad batch");
    assert!(check(&refused), "{refused}");
    assert_eq!(items(&index), before);
    assert_eq!(index.n_pending(), 1);
}

#[test]
fn vectors_that_cannot_be_compared_are_refused_and_none_of_their_batch_is_added() {
    refuses(&[1.0, 0.0, 1.0, 0.0, 1.0], SINGLE, |error| {
        matches!(
            error,
            Error::Dimensions {
                needed: 6,
                found: 5,
                ..
            }
        ) && error.code() == Code::InputInvalid
    });
    refuses(&[1.0, 0.0, 1.0, f32::NAN, 1.0, 0.0], SINGLE, |error| {
        matches!(error, Error::NotFinite { element: 1, .. })
            && error.to_string().contains("item 1 (`b`)")
    });
    refuses(&[1.0, 0.0, 1.0, 0.0, f32::INFINITY, 0.0], SINGLE, |error| {
        matches!(error, Error::NotFinite { .. })
    });
    refuses(&[1.0, 0.0, 0.0, 0.0, 1.0, 0.0], SINGLE, |error| {
        matches!(error, Error::Norm { norm: 0.0, .. })
    });
    refuses(&[1.0, 0.0, 1e30, 0.0, 1.0, 0.0], SINGLE, |error| {
        matches!(error, Error::Norm { .. })
    });
    refuses(&[1.0; 6], "another/space", |error| {
        matches!(error, Error::Space { .. }) && error.code() == Code::SpaceMismatch
    });
}

#[test]
fn ids_that_are_there_or_cannot_be_are_refused() {
    let mut index = Index::new(single(1)).expect("a schema");
    add(&mut index, &[("there", &[1.0])]);
    let before = items(&index);
    let long = "x".repeat(1_025);
    for ids in [
        ["new", "there"],
        ["new", "new"],
        ["new", ""],
        ["new", &long],
    ] {
        let batch = Batch {
            ids: &ids,
            vectors: in_space(&[1.0, 2.0], SINGLE),
            ..Batch::default()
        };
        let refused = index.add(&batch).expect_err("a bad id");
        let needed = if ids[1].is_empty() || ids[1] == long {
            Code::InputInvalid
        } else {
            Code::DuplicateId
        };
        assert_eq!(refused.code(), needed, "{refused}");
        assert_eq!(items(&index), before);
    }
}

#[test]
fn queries_are_held_to_the_same_rules() {
    let mut index = Index::new(single(2)).expect("a schema");
    add(&mut index, &[("a", &[1.0, 0.0])]);
    let code = |query: Query| index.search(&query).expect_err("a bad query").code();
    assert_eq!(code(ask(&[1.0], 1)), Code::InputInvalid);
    assert_eq!(code(ask(&[f32::NAN, 0.0], 1)), Code::InputInvalid);
    assert_eq!(code(ask(&[0.0, 0.0], 1)), Code::InputInvalid);
    assert_eq!(code(ask(&[1.0, 0.0], 0)), Code::InputInvalid);
    assert_eq!(
        code(Query {
            vector: None,
            ..ask(&[], 1)
        }),
        Code::InputInvalid
    );
    assert_eq!(
        code(Query {
            vector: in_space(&[1.0, 0.0], "other"),
            ..ask(&[], 1)
        }),
        Code::SpaceMismatch
    );
    assert_eq!(
        code(Query {
            multivector: in_space(&[1.0, 0.0], MULTI),
            ..ask(&[1.0, 0.0], 1)
        }),
        Code::InputInvalid
    );
}

#[test]
fn fields_that_are_not_stored_refuse_the_whole_batch() {
    let mut index = Index::new(single(1)).expect("a schema");
    let fields = [
        Fields::from([("fine".to_owned(), Value::Bool(true))]),
        Fields::from([("bad".to_owned(), Value::Number(f64::INFINITY))]),
    ];
    let batch = Batch {
        ids: &["a", "b"],
        vectors: in_space(&[1.0, 1.0], SINGLE),
        fields: Some(&fields),
        ..Batch::default()
    };
    assert!(matches!(index.add(&batch), Err(Error::Field { .. })));
    let short = Batch {
        fields: Some(&fields[..1]),
        ..batch
    };
    assert!(matches!(
        index.add(&short),
        Err(Error::BatchLength {
            needed: 2,
            found: 1,
            ..
        })
    ));
    assert!(index.is_empty());
    assert!(matches!(
        index.set_fields(&["a"], &fields[..1]),
        Err(Error::UnknownId { .. })
    ));
}

#[test]
fn an_item_of_an_index_of_multi_vectors_needs_one() {
    let mut index = Index::new(schema(Vectors::Multi(space(MULTI, 2)))).expect("a schema");
    let mut refused = |tokens: Option<&[f32]>| {
        let tokens = [tokens];
        let multivectors = Some(InSpace {
            values: &tokens[..],
            space: MULTI,
        });
        index
            .add(&Batch {
                ids: &["a"],
                multivectors,
                ..Batch::default()
            })
            .expect_err("a bad item")
    };
    assert!(matches!(
        refused(None),
        Error::Dimensions {
            needed: 2,
            found: 0,
            ..
        }
    ));
    assert!(matches!(refused(Some(&[])), Error::Dimensions { .. }));
    assert!(matches!(
        refused(Some(&[1.0, 2.0, 3.0])),
        Error::Dimensions { .. }
    ));
    assert!(matches!(
        refused(Some(&[1.0, 2.0, 0.0, 0.0])),
        Error::Norm { .. }
    ));
    assert!(matches!(
        refused(Some(&[1.0, 2.0, 0.0, f32::NAN])),
        Error::NotFinite { element: 1, .. }
    ));
}
