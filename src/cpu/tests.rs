//! Every instruction set of this machine against plain loops in f64 and against the scalar form.

use std::num::NonZeroUsize;

use proptest::{prelude::*, sample::select};

use super::{
    activations::PackInts,
    format::{Format, GROUP, TILE},
    matrix::Data,
    panel::{DecodeRecords, IntPanel},
    simd::{Kernel, Lanes},
    tile::{FloatTile, IntTile, with_rows},
    *,
};
use crate::gguf::{self, TensorType};

/// Numbers that depend on the seed alone (a linear congruence).
pub fn random(seed: u64) -> impl Iterator<Item = u32> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    std::iter::from_fn(move || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        Some((state >> 32) as u32)
    })
}

/// Numbers in `-magnitude..magnitude`.
pub fn numbers(seed: u64, n: usize, magnitude: f32) -> Vec<f32> {
    let unit = random(seed).map(|bits| (bits >> 8) as f32 / (1u32 << 23) as f32 - 1.0);
    unit.map(|unit| unit * magnitude).take(n).collect()
}

/// Bytes of a tensor of this type: any codes, and finite scales of both signs around `2^exponent`.
fn blocks(tensor_type: TensorType, n_elements: usize, seed: u64, exponent: i32) -> Vec<u8> {
    let n_blocks = n_elements / tensor_type.block_elements();
    let mut random = random(seed);
    let mut next = || random.next().expect("no end");
    let mut bytes = Vec::new();
    for _ in 0..n_blocks {
        let mut block: Vec<u8> = (0..tensor_type.block_bytes())
            .map(|_| next() as u8)
            .collect();
        let mut half = |at: usize| {
            let sign = (next() as u16 & 1) << 15;
            let bits = sign | ((15 + exponent) as u16) << 10 | next() as u16 & 0x3ff;
            block[at..at + 2].copy_from_slice(&bits.to_le_bytes());
        };
        match tensor_type {
            TensorType::F32 => {
                let value = numbers(u64::from(next()), 1, 2.0f32.powi(exponent))[0];
                block.copy_from_slice(&value.to_le_bytes());
            }
            // The upper half of an f32, and its exponent.
            TensorType::BF16 => {
                let value = numbers(u64::from(next()), 1, 2.0f32.powi(exponent))[0];
                block.copy_from_slice(&value.to_le_bytes()[2..]);
            }
            TensorType::Q2_K => [80, 82].into_iter().for_each(half),
            TensorType::Q3_K => half(108),
            TensorType::Q6_K => half(208),
            TensorType::Q4_1 | TensorType::Q5_1 | TensorType::Q4_K | TensorType::Q5_K => {
                [0, 2].into_iter().for_each(half);
            }
            _ => half(0),
        }
        bytes.extend(block);
    }
    bytes
}

/// A matrix, and its values.
fn matrix(
    tensor_type: TensorType,
    [n, k]: [usize; 2],
    seed: u64,
    exponent: i32,
) -> (Matrix, Vec<f32>) {
    let bytes = blocks(tensor_type, n * k, seed, exponent);
    let mut values = vec![0.0; n * k];
    gguf::dequantize(tensor_type, &bytes, &mut values).expect("whole blocks");
    (build(tensor_type, [n, k], &bytes, usize::MAX), values)
}

fn build(tensor_type: TensorType, shape: [usize; 2], bytes: &[u8], chunk: usize) -> Matrix {
    let mut builder = MatrixBuilder::new(tensor_type, shape).expect("whole blocks");
    for chunk in bytes.chunks(chunk) {
        builder.push(chunk).expect("not too many");
    }
    builder.finish().expect("all bytes")
}

fn threads(n: usize) -> Threads {
    Threads::at_most(NonZeroUsize::new(n).expect("a thread"))
}

fn dot(a: &[f32], b: &[f32]) -> f64 {
    let products = a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b));
    products.sum()
}

/// How far a product may be from the sum in f64, from the numbers that go into it: half a unit of
/// 16 bits for each activation, and rounding in f32.
fn allowed(x: &[f32], w: &[f32]) -> f64 {
    let quantised = x.chunks(GROUP).zip(w.chunks(GROUP)).map(|(x, w)| {
        let largest = x
            .iter()
            .fold(0.0f64, |most, x| most.max(f64::from(x.abs())));
        let weights: f64 = w.iter().map(|w| f64::from(w.abs())).sum();
        largest * weights / 65534.0
    });
    let terms: f64 = x.iter().zip(w).map(|(x, w)| f64::from((x * w).abs())).sum();
    quantised.sum::<f64>() * 1.01 + terms * 2e-6
}

#[derive(Debug, Clone)]
struct Case {
    tensor_type: TensorType,
    m: usize,
    n: usize,
    blocks: usize,
    rank: usize,
    exponent: i32,
    magnitude: f32,
    zero_rows: bool,
    with_bias: bool,
    with_residual: bool,
    n_threads: usize,
    seed: u64,
}

fn cases() -> impl Strategy<Value = Case> {
    let shape = (1usize..131, 1usize..97, 1usize..12, 0usize..20);
    let scale = (-8i32..8, select(vec![1e-6f32, 1.0, 60.0, 1e4, 1e15]));
    (
        (select(TensorType::ALL), shape, scale),
        (
            any::<bool>(),
            any::<bool>(),
            any::<bool>(),
            1usize..4,
            any::<u32>(),
        ),
    )
        .prop_map(
            |((tensor_type, (m, n, blocks, rank), (exponent, magnitude)), rest)| {
                let (zero_rows, with_bias, with_residual, n_threads, seed) = rest;
                let seed = u64::from(seed);
                Case {
                    tensor_type,
                    m,
                    n,
                    blocks,
                    rank,
                    exponent,
                    magnitude,
                    zero_rows,
                    with_bias,
                    with_residual,
                    n_threads,
                    seed,
                }
            },
        )
}

fn columns(case: &Case) -> usize {
    match case.tensor_type.block_elements() {
        // Any number, odd ones too.
        1 => case.blocks * 29 - 13,
        256 => (case.blocks % 3 + 1) * 256,
        block => case.blocks * block,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn a_product_of_every_type_is_that_of_a_plain_loop_at_every_level(case in cases()) {
        let Case { m, n, rank, seed, .. } = case;
        let k = columns(&case);
        let (weight, w) = matrix(case.tensor_type, [n, k], seed, case.exponent);
        let mut x = numbers(seed + 1, m * k, case.magnitude);
        if case.zero_rows {
            // Whole blocks of zeros, of either sign, beside numbers.
            for (at, x) in x.iter_mut().enumerate() {
                if at / GROUP % 3 == 1 {
                    *x *= 0.0;
                }
            }
        }
        let scale = case.magnitude * 2.0f32.powi(case.exponent);
        let bias = case.with_bias.then(|| numbers(seed + 2, n, scale));
        let residual = case.with_residual.then(|| numbers(seed + 3, m * n, scale));
        let (a, a_values) = matrix(TensorType::F16, [rank, k], seed + 4, case.exponent.min(0));
        let (b, b_values) = matrix(TensorType::F32, [n, rank], seed + 5, 0);
        let linear = Linear {
            weight: &weight,
            bias: bias.as_deref(),
            update: (rank > 0).then_some((&a, &b)),
        };
        for level in Level::available() {
            let mut y = vec![f32::NAN; m * n];
            linear.forward(level, threads(case.n_threads), &x, residual.as_deref(), &mut y);
            for row in 0..m {
                let x = &x[row * k..][..k];
                let t: Vec<f64> = (0..rank).map(|r| dot(x, &a_values[r * k..][..k])).collect();
                let t_terms: Vec<f64> = (0..rank).map(|r| {
                    let terms = x.iter().zip(&a_values[r * k..][..k]);
                    terms.map(|(x, a)| f64::from((x * a).abs())).sum()
                }).collect();
                for column in 0..n {
                    let w = &w[column * k..][..k];
                    let mut needed = dot(x, w);
                    let mut allowed = allowed(x, w);
                    if let Some(bias) = &bias {
                        needed += f64::from(bias[column]);
                    }
                    for (r, t) in t.iter().enumerate() {
                        let b = f64::from(b_values[column * rank + r]);
                        needed += t * b;
                        allowed += (t_terms[r] * b).abs() * 4e-6;
                    }
                    if let Some(residual) = &residual {
                        needed += f64::from(residual[row * n + column]);
                    }
                    allowed += needed.abs() * 1e-6 + f64::from(scale) * 1e-6;
                    let found = f64::from(y[row * n + column]);
                    prop_assert!(
                        (found - needed).abs() <= allowed,
                        "{} [{row}, {column}]: needed {needed}, found {found}, allowed {allowed:.3e}",
                        level.name(),
                    );
                }
            }
        }
    }

    #[test]
    fn a_result_depends_neither_on_the_number_of_rows_nor_on_the_threads(
        tensor_type in select(TensorType::ALL),
        m in 2usize..300,
        n in 1usize..70,
        seed: u64,
    ) {
        let k = 256;
        let (weight, _) = matrix(tensor_type, [n, k], seed, 0);
        let x = numbers(seed, m * k, 3.0);
        let linear = Linear { weight: &weight, bias: None, update: None };
        for level in Level::available() {
            let mut y = vec![0.0; m * n];
            linear.forward(level, threads(3), &x, None, &mut y);
            for row in [0, m / 2, m - 1] {
                let mut alone = vec![0.0; n];
                linear.forward(level, Threads::ONE, &x[row * k..][..k], None, &mut alone);
                prop_assert_eq!(&y[row * n..][..n], &alone[..], "{}", level.name());
            }
        }
    }

    #[test]
    fn rows_are_the_bits_that_gguf_decodes_however_the_bytes_arrive(
        tensor_type in select(TensorType::ALL),
        n in 1usize..70,
        n_blocks in 1usize..4,
        chunk in 1usize..500,
        seed: u64,
    ) {
        let k = n_blocks * tensor_type.block_elements();
        let bytes = blocks(tensor_type, n * k, seed, 0);
        let mut needed = vec![0.0; n * k];
        gguf::dequantize(tensor_type, &bytes, &mut needed).expect("whole blocks");
        let matrix = build(tensor_type, [n, k], &bytes, chunk);
        let rows: Vec<u32> = (0..n as u32).rev().collect();
        let mut found = vec![0.0; n * k];
        matrix.rows(&rows, &mut found);
        for (row, found) in rows.iter().zip(found.chunks(k)) {
            let needed = &needed[*row as usize * k..][..k];
            let bits = |values: &[f32]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
            prop_assert_eq!(bits(found), bits(needed), "row {}", row);
        }
    }

    #[test]
    fn whole_numbers_are_the_same_bits_at_every_level(
        tensor_type in select(TensorType::ALL),
        rows in 1usize..13,
        seed: u64,
    ) {
        let Some(format) = Format::of(tensor_type) else { return Ok(()) };
        let k = 256;
        let (matrix, _) = matrix(tensor_type, [TILE, k], seed, 0);
        let Data::Blocks(_, records) = matrix.data() else { unreachable!() };
        let x = numbers(seed, rows * k, 1e3);
        let one = |level: Level| {
            let rows = rows.min(level.max_rows());
            let mut panel = IntPanel::new();
            level.run(DecodeRecords { format: &format, records, panel: &mut panel });
            let (mut pairs, mut scales) = (vec![0; rows * k / 2], vec![0.0; rows * k / GROUP]);
            let mut sums = vec![0.0; rows * k / format.sub];
            level.run(PackInts {
                x: &x[..rows * k],
                k,
                rows,
                sub: format.sub,
                pairs: &mut pairs,
                scales: &mut scales,
                sums: Some(&mut sums),
            });
            let n_subs = k / format.sub;
            let sums_of_rows: Vec<Vec<f32>> = (0..n_subs)
                .map(|sub| level.run(OneSub { format: &format, rows, pairs: &pairs, panel: &panel, sub }))
                .collect();
            // Of the first row, which every level has.
            let first = |all: &[f32]| all.iter().step_by(rows).copied().collect::<Vec<_>>();
            let pairs: Vec<i32> = pairs.iter().step_by(rows).copied().collect();
            (panel.pairs, pairs, first(&scales), first(&sums), sums_of_rows.into_iter().map(|c| c[..TILE].to_vec()).collect::<Vec<_>>())
        };
        let needed = one(Level::available()[0]);
        for (sub, sums) in needed.4.iter().enumerate() {
            for (lane, sum) in sums.iter().enumerate() {
                let exact: i64 = (sub * format.sub / 2..(sub + 1) * format.sub / 2)
                    .map(|pair| {
                        let (w, x) = (needed.0[pair * TILE + lane], needed.1[pair]);
                        i64::from(w as i16) * i64::from(x as i16) + i64::from(w >> 16) * i64::from(x >> 16)
                    })
                    .sum();
                prop_assert_eq!(exact as f32, *sum);
            }
        }
        for level in Level::available() {
            let found = one(level);
            prop_assert!(found == needed, "{} of {}", level.name(), tensor_type);
        }
    }
}

/// The product of one sub-block with all scales 1: its sums as they are.
struct OneSub<'a> {
    format: &'a Format,
    rows: usize,
    pairs: &'a [i32],
    panel: &'a IntPanel,
    sub: usize,
}

impl Kernel for OneSub<'_> {
    type Output = Vec<f32>;

    #[inline(always)]
    unsafe fn run<V: Lanes>(self) -> Vec<f32> {
        let mut c = vec![0.0; self.rows * TILE];
        let ones = [1.0f32; TILE];
        let first = self.sub * self.format.sub / 2;
        macro_rules! tile {
            ($R:ident, $PAIRS:literal) => {
                IntTile::<$R, $PAIRS> {
                    x: self.pairs[first * self.rows..][..$PAIRS * self.rows].as_ptr(),
                    scales: ones.as_ptr(),
                    sums: None,
                    w: self.panel.pairs[first * TILE..][..$PAIRS * TILE].as_ptr(),
                    d: ones.as_ptr(),
                    min: ones.as_ptr(),
                    n_subs: 1,
                    c: c.as_mut_ptr(),
                }
            };
        }
        // SAFETY: the slices have the extents of the tile.
        unsafe {
            match self.format.sub {
                16 => with_rows!(V, self.rows, R => tile!(R, 8)),
                _ => with_rows!(V, self.rows, R => tile!(R, 16)),
            }
        }
        c
    }
}

#[test]
fn a_float_tile_reads_rows_where_they_lie() {
    struct Strided<'a>(&'a [f32], &'a [f32], &'a mut [f32]);
    impl Kernel for Strided<'_> {
        type Output = ();
        #[inline(always)]
        unsafe fn run<V: Lanes>(self) {
            // SAFETY: 3 rows of 5 in x, 5 rows of TILE in w, 3 in c.
            unsafe {
                V::vectorize(FloatTile::<3, false> {
                    x: self.0.as_ptr(),
                    x_row: 7,
                    x_k: 1,
                    w: self.1.as_ptr(),
                    n_k: 5,
                    c: self.2.as_mut_ptr(),
                });
            }
        }
    }
    let (x, w) = (numbers(1, 3 * 7, 1.0), numbers(2, 5 * TILE, 1.0));
    for level in Level::available() {
        let mut c = vec![1.0; 3 * TILE];
        level.run(Strided(&x, &w, &mut c));
        for (at, found) in c.iter().enumerate() {
            let (row, lane) = (at / TILE, at % TILE);
            let w: Vec<f32> = w[lane..].iter().step_by(TILE).copied().collect();
            let needed = 1.0 + dot(&x[row * 7..][..5], &w);
            assert!((f64::from(*found) - needed).abs() < 1e-5);
        }
    }
}

#[test]
fn what_is_not_finite_stays_so() {
    let (weight, _) = matrix(TensorType::Q4_0, [33, 64], 1, 0);
    let linear = Linear {
        weight: &weight,
        bias: None,
        update: None,
    };
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        for level in Level::available() {
            let mut x = numbers(2, 3 * 64, 1.0);
            x[64 + 40] = bad;
            let mut y = vec![0.0; 3 * 33];
            linear.forward(level, Threads::ONE, &x, None, &mut y);
            let finite: Vec<bool> = y
                .chunks(33)
                .map(|y| y.iter().all(|y| y.is_finite()))
                .collect();
            assert_eq!(finite, [true, false, true], "{bad} at {}", level.name());
            assert!(y[33..66].iter().all(|y| !y.is_finite()));
        }
    }
}

#[test]
fn the_memory_of_a_matrix_is_at_most_a_twentieth_more_than_its_file() {
    for tensor_type in TensorType::ALL {
        let n_bytes = tensor_type.n_bytes(64 * 512).expect("whole blocks") as usize;
        let (matrix, _) = matrix(*tensor_type, [64, 512], 1, 0);
        let found = matrix.memory_bytes();
        assert!(
            n_bytes <= found && found * 20 <= n_bytes * 21,
            "{tensor_type}: {found} for {n_bytes}"
        );
    }
}

#[test]
fn a_matrix_of_too_few_or_too_many_bytes_is_refused_with_both_numbers() {
    let bytes = blocks(TensorType::Q8_0, 128, 1, 0);
    let mut builder = MatrixBuilder::new(TensorType::Q8_0, [2, 64]).expect("whole blocks");
    builder.push(&bytes[..135]).expect("not too many");
    let error = builder.push(&bytes[..2]).expect_err("137 of 136");
    assert_eq!(
        error.to_string(),
        "a matrix [2, 64] of Q8_0 has 136 bytes, found 137"
    );
    let error = builder.finish().expect_err("135 of 136");
    assert_eq!(
        error.to_string(),
        "a matrix [2, 64] of Q8_0 has 136 bytes, found 135"
    );
}

#[test]
fn a_matrix_whose_rows_are_no_blocks_or_that_fits_no_memory_is_refused() {
    let error = MatrixBuilder::new(TensorType::Q4_K, [2, 288]).expect_err("288 of 256");
    assert!(matches!(error, Error::NotBlocks { k: 288, .. }), "{error}");
    let shape = [usize::MAX / 1024, 256];
    let error = MatrixBuilder::new(TensorType::F32, shape).expect_err("too large");
    assert!(matches!(error, Error::OutOfMemory { .. }), "{error}");
}
