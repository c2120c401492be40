//! The goals of the search without a browser, on one thread; prints one line of JSON.

use std::time::Instant;

use jina_embeddings_web::search::{
    Batch, FirstStage, InSpace, Index, Kernels, Metric, Query, Reader, Schema, Space, TokenStorage, Vectors,
};
use serde_json::{Value, json};

const N_ROWS: usize = 100_000;
const DIMENSIONS: usize = 512;
const N_QUERIES: usize = 50;
const K: usize = 10;

/// The numbers of `data.mjs`.
struct Numbers(u32);

impl Numbers {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x6d2b_79f5);
        let state = self.0;
        let mut z = (state ^ (state >> 15)).wrapping_mul(1 | state);
        z = z.wrapping_add((z ^ (z >> 7)).wrapping_mul(61 | z)) ^ z;
        f64::from(z ^ (z >> 14)) / 2_147_483_648.0 - 1.0
    }

    fn normal(&mut self) -> f64 {
        self.next() + self.next() + self.next()
    }

    fn take(seed: u32, n: usize) -> Vec<f32> {
        let mut numbers = Numbers(seed);
        (0..n).map(|_| numbers.next() as f32).collect()
    }
}

/// The vectors of `data.mjs`.
fn clustered(n_rows: usize, seed: u32) -> Vec<f32> {
    let (n_topics, n_parts) = (100, 10);
    let mut shape = Numbers(1);
    let mut shaped = |n: usize| -> Vec<f32> { (0..n * DIMENSIONS).map(|_| shape.normal() as f32).collect() };
    let (topics, parts) = (shaped(n_topics), shaped(n_topics * n_parts));
    let chances: Vec<f64> = (1..=n_topics).map(|rank| 1.0 / rank as f64).collect();
    let total: f64 = chances.iter().sum();
    let mut numbers = Numbers(seed);
    let mut rows = Vec::with_capacity(n_rows * DIMENSIONS);
    for _ in 0..n_rows {
        let mut left = (numbers.next() + 1.0) / 2.0 * total;
        let mut topic = 0;
        while topic < n_topics - 1 && left > chances[topic] {
            left -= chances[topic];
            topic += 1;
        }
        let part = topic * n_parts + ((numbers.next() + 1.0) / 2.0 * n_parts as f64) as usize % n_parts;
        for column in 0..DIMENSIONS {
            let weight = (1.0 / (1.0 + column as f64 / 64.0).sqrt()) as f32;
            let centre = f64::from(topics[topic * DIMENSIONS + column]) + 0.6 * f64::from(parts[part * DIMENSIONS + column]);
            rows.push((f64::from(weight) * (centre + 0.5 * numbers.normal())) as f32);
        }
    }
    rows
}

fn in_space(values: &[f32]) -> Option<InSpace<'_, [f32]>> {
    Some(InSpace { values, space: "bench" })
}

fn index(vectors: Vectors, first_stage: FirstStage, token_storage: TokenStorage) -> Index {
    let schema = Schema { vectors, metric: Metric::Cosine, first_stage, token_storage };
    Index::new(schema).expect("a schema")
}

fn space(dimensions: usize) -> Space {
    Space { name: "bench".to_owned(), dimensions }
}

fn add(index: &mut Index, ids: &[String], rows: &[f32]) {
    for (ids, rows) in ids.chunks(10_000).zip(rows.chunks(10_000 * DIMENSIONS)) {
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        index.add(&Batch { ids: &ids, vectors: in_space(rows), ..Batch::default() }).expect("added");
    }
}

fn ms<T>(run: impl FnOnce() -> T) -> (f64, T) {
    let began = Instant::now();
    let answer = run();
    (began.elapsed().as_secs_f64() * 1000.0, answer)
}

/// Milliseconds of the middle one of many calls, and what they returned.
fn median<T>(n: usize, run: impl Fn(usize) -> T) -> (f64, Vec<T>) {
    for i in 0..n.min(5) {
        run(i);
    }
    let (mut times, answers): (Vec<f64>, Vec<T>) = (0..n).map(|i| ms(|| run(i))).unzip();
    times.sort_by(f64::total_cmp);
    (times[n / 2], answers)
}

fn search(index: &Index, query: &[f32], exact: bool) -> Vec<String> {
    let query = Query { vector: in_space(query), multivector: None, k: K, filter: None, candidates: None, exact };
    let hits = index.search(&query).expect("found");
    hits.iter().map(|hit| hit.id().to_owned()).collect()
}

fn main() {
    let kernels = Kernels::detect().name();
    let goal = |what: String, ms: f64, limit: Option<f64>, recall: Option<f64>| -> Value {
        let least = recall.and(limit).filter(|limit| *limit == 5.0).map(|_| 0.99);
        json!({"what": what, "ms": ms, "limitMs": limit, "recall": recall, "leastRecall": least, "kernels": kernels})
    };
    let mut goals = Vec::new();
    let rows = clustered(N_ROWS, 2);
    let queries = clustered(N_QUERIES, 3);
    let query = |i: usize| &queries[i * DIMENSIONS..(i + 1) * DIMENSIONS];
    let ids: Vec<String> = (0..N_ROWS).map(|id| id.to_string()).collect();
    let single = || Vectors::Single(space(DIMENSIONS));
    let mut truth: Vec<Vec<String>> = Vec::new();
    for (what, limit, stage) in [
        ("full vectors", Some(20.0), FirstStage::None),
        ("int8, 256 numbers", Some(5.0), FirstStage::Int8 { dimensions: 256 }),
        ("int8, all numbers", None, FirstStage::Int8 { dimensions: DIMENSIONS }),
        ("binary", Some(5.0), FirstStage::Binary { dimensions: DIMENSIONS }),
        ("first 256 numbers", None, FirstStage::Float32 { dimensions: 256 }),
    ] {
        let mut filled = index(single(), stage, TokenStorage::Int8);
        add(&mut filled, &ids, &rows);
        let (time, found) = median(N_QUERIES, |i| search(&filled, query(i), false));
        if truth.is_empty() {
            // That full vectors find what a plain loop finds is tested elsewhere.
            truth = found.clone();
        }
        let pairs = found.iter().zip(&truth);
        let n_found: usize = pairs.map(|(found, truth)| found.iter().filter(|id| truth.contains(id)).count()).sum();
        let recall = n_found as f64 / (N_QUERIES * K) as f64;
        goals.push(goal(format!("top-10 of {N_ROWS} x {DIMENSIONS}, {what}"), time, limit, Some(recall)));
        if stage == FirstStage::None {
            let mut small = index(single(), stage, TokenStorage::Int8);
            let (time, ()) = ms(|| add(&mut small, &ids[..10_000], &rows[..10_000 * DIMENSIONS]));
            goals.push(goal(format!("adding 10000 x {DIMENSIONS}"), time, Some(1000.0), None));
            let mut file = Vec::new();
            filled.begin_compaction().expect("begun");
            while let Some(chunk) = filled.compaction_chunk().expect("a chunk") {
                file.extend(chunk);
            }
            drop(filled);
            let (time, opened) = ms(|| {
                let mut reader = Reader::new(false);
                file.chunks(4 << 20).try_for_each(|piece| reader.push(piece))?;
                reader.finish()
            });
            assert_eq!(opened.expect("sound").0.len(), N_ROWS);
            let what = format!("opening {N_ROWS} x {DIMENSIONS} ({} MB)", file.len() / 1_000_000);
            goals.push(goal(what, time, Some(500.0), None));
        }
    }
    let (n_pages, n_tokens, width) = (1000, 700, 128);
    let numbers = Numbers::take(4, (n_pages + n_tokens) * width);
    for (storage, name, exact, limit) in [
        (TokenStorage::Int8, "int8", false, Some(50.0)),
        (TokenStorage::Int8, "int8", true, Some(50.0)),
        (TokenStorage::Float32, "float32", false, Some(50.0)),
        (TokenStorage::Float32, "float32", true, None),
    ] {
        let mut pages = index(Vectors::Multi(space(width)), FirstStage::None, storage);
        for page in 0..n_pages {
            let tokens = [Some(&numbers[page * width..(page + n_tokens) * width])];
            let multivectors = Some(InSpace { values: &tokens[..], space: "bench" });
            pages.add(&Batch { ids: &[&ids[page]], multivectors, ..Batch::default() }).expect("added");
        }
        let (time, _) = median(10, |i| {
            let tokens = Numbers::take(5 + i as u32, 16 * width);
            let multivector = in_space(&tokens);
            let query = Query { vector: None, multivector, k: K, filter: None, candidates: None, exact };
            pages.search(&query).expect("found").len()
        });
        let stage = match exact {
            true => format!("all {n_pages} pages"),
            false => format!("100 of {n_pages} pages by their mean"),
        };
        goals.push(goal(format!("MaxSim of 16 tokens, {stage}, {n_tokens} x {width} {name}"), time, limit, None));
    }
    println!("{}", Value::from(goals));
}
