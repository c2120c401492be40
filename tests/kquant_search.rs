//! The search of the quantisers against ggml's: `fixtures/kquant_rows` was made by the Python package
//! libgguf (`fixtures/scripts/make_kquant_rows.py`), never by this crate.

use std::path::Path;

use jina_embeddings_web::gguf::{Error, TensorType, dequantize, quantize, quantize_rows};
use serde::Deserialize;

#[derive(Deserialize)]
struct Fixture {
    columns: usize,
    rows_per_kind: usize,
    kinds: Vec<String>,
    entries: Vec<Entry>,
}

/// What ggml made of all rows.
#[derive(Deserialize)]
struct Entry {
    r#type: String,
    weighted: bool,
    offset: usize,
    n_bytes: usize,
}

struct Rows {
    fixture: Fixture,
    bytes: Vec<u8>,
    values: Vec<f32>,
    importance: Vec<f32>,
}

impl Rows {
    fn read() -> Rows {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/kquant_rows");
        let fixture: Fixture =
            serde_json::from_slice(&std::fs::read(path.with_extension("json")).unwrap()).unwrap();
        let bytes = std::fs::read(path.with_extension("bin")).unwrap();
        let n_values = fixture.kinds.len() * fixture.rows_per_kind * fixture.columns;
        let mut numbers = bytes
            .as_chunks::<4>()
            .0
            .iter()
            .map(|it| f32::from_le_bytes(*it));
        let values = numbers.by_ref().take(n_values).collect();
        let importance = numbers.take(fixture.columns).collect();
        Rows {
            fixture,
            bytes,
            values,
            importance,
        }
    }
}

fn tensor_type(name: &str) -> TensorType {
    let found = TensorType::ALL.iter().find(|it| it.name() == name);
    *found.unwrap_or_else(|| panic!("no type {name}"))
}

fn decoded(kind: TensorType, bytes: &[u8], n_values: usize) -> Vec<f32> {
    let mut values = vec![0.0; n_values];
    dequantize(kind, bytes, &mut values).unwrap();
    values
}

/// Σ weight (a − b)², in f64.
fn loss(values: &[f32], found: &[f32], weight: impl Fn(usize, f32) -> f64) -> f64 {
    let pairs = values.iter().zip(found).enumerate();
    let losses = pairs.map(|(i, (value, found))| {
        let error = f64::from(*value) - f64::from(*found);
        weight(i, *value) * error * error
    });
    losses.sum()
}

/// Both losses of one kind of rows: ours as a share of ggml's.
struct Share {
    name: String,
    by_importance: bool,
    plain: f64,
    /// By what an error of each value counts in ggml's own search.
    weighted: f64,
}

fn shares() -> Vec<Share> {
    let rows = Rows::read();
    let (values, importance, columns) = (&rows.values, &rows.importance, rows.fixture.columns);
    let mut shares = Vec::new();
    for entry in &rows.fixture.entries {
        let kind = tensor_type(&entry.r#type);
        let mut own = Vec::new();
        match entry.weighted {
            true => quantize_rows(kind, values, importance, &mut own).unwrap(),
            false => quantize(kind, values, &mut own).unwrap(),
        }
        assert_eq!(own.len(), entry.n_bytes);
        let theirs = &rows.bytes[entry.offset..][..entry.n_bytes];
        let [own, theirs] = [&own[..], theirs].map(|bytes| decoded(kind, bytes, values.len()));
        let n_values = rows.fixture.rows_per_kind * columns;
        for (index, name) in rows.fixture.kinds.iter().enumerate() {
            let range = index * n_values..(index + 1) * n_values;
            let x = &values[range.clone()];
            let mean_square = x.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>() / x.len() as f64;
            let weight = |i: usize, x: f32| match entry.weighted {
                true => {
                    f64::from(importance[i % columns]) * (mean_square + f64::from(x).powi(2)).sqrt()
                }
                false => mean_square.sqrt() + f64::from(x.abs()),
            };
            let share = |weight: &dyn Fn(usize, f32) -> f64| {
                loss(x, &own[range.clone()], weight) / loss(x, &theirs[range.clone()], weight)
            };
            let with = if entry.weighted { ", importances" } else { "" };
            shares.push(Share {
                name: format!("{kind}{with}, {name}"),
                by_importance: entry.weighted,
                plain: share(&|_, _| 1.0),
                weighted: share(&weight),
            });
        }
    }
    shares
}

/// Where importances weigh, ggml's share of a value's own size comes from another group of values
/// than ours (the row, or twice the mean of the super-block): the two minimise nearly the same.
const NEARLY: f64 = 1.002;

#[test]
fn the_search_loses_no_more_than_ggml_on_any_kind_of_rows() {
    let shares = shares();
    for Share {
        name,
        plain,
        weighted,
        ..
    } in &shares
    {
        println!("{name:50} {plain:.4} {weighted:.4}");
    }
    for Share {
        name,
        plain,
        weighted,
        by_importance,
    } in &shares
    {
        match by_importance {
            true => assert!(*weighted <= NEARLY, "{name}: {weighted} of ggml's loss"),
            false => assert!(
                plain.max(*weighted) < 1.0,
                "{name}: {plain}, {weighted} of ggml's loss"
            ),
        }
    }
    assert_eq!(shares.len(), 7 * 8);
}

#[test]
fn importances_move_the_loss_to_the_columns_that_count_less() {
    let rows = Rows::read();
    for kind in [
        TensorType::Q4_0,
        TensorType::Q4_K,
        TensorType::Q5_K,
        TensorType::Q6_K,
    ] {
        let loss_of = |bytes: &[u8]| {
            let found = decoded(kind, bytes, rows.values.len());
            loss(&rows.values, &found, |i, _| {
                f64::from(rows.importance[i % rows.fixture.columns])
            })
        };
        let (mut plain, mut weighted) = (Vec::new(), Vec::new());
        quantize(kind, &rows.values, &mut plain).unwrap();
        quantize_rows(kind, &rows.values, &rows.importance, &mut weighted).unwrap();
        let share = loss_of(&weighted) / loss_of(&plain);
        println!("{kind}: {share:.4}");
        assert!(share < 0.9, "{kind}: {share}");
    }
}

#[test]
fn rows_are_whole_blocks_and_fit_the_importances() {
    let values = [0.5; 512];
    for n_columns in [0, 100, 384, 512 - 128] {
        let found = quantize_rows(
            TensorType::Q4_K,
            &values,
            &vec![1.0; n_columns],
            &mut Vec::new(),
        );
        assert!(
            matches!(found, Err(Error::NotBlocks { .. })),
            "{n_columns} columns"
        );
    }
    quantize_rows(TensorType::Q4_K, &values, &[1.0; 256], &mut Vec::new()).unwrap();
}
