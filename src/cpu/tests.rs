//! Every instruction set of this machine against plain loops in f64 and against the scalar form.

use proptest::{prelude::*, sample::select};

use super::{
    activations::PackInts,
    format::{Format, GROUP, TILE},
    matrix::Data,
    panel::{DecodeRecords, IntPanel},
    simd::{Kernel, Lanes},
    testing::{blocks, build, dot, matrix, numbers, threads},
    tile::{FloatTile, IntTile, with_rows},
    *,
};
use crate::gguf::{self, TensorType};

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
        let (b, b_values) = matrix(TensorType::F16, [n, rank], seed + 5, case.exponent);
        // The coordinates of the update stand behind x, as the layer before leaves them.
        let stride = k + rank;
        let t = numbers(seed + 4, m * rank, case.magnitude);
        let rows: Vec<f32> = (0..m)
            .flat_map(|row| [&x[row * k..][..k], &t[row * rank..][..rank]].concat())
            .collect();
        let update = Update { b: &b, column: k, scale: 0.5 };
        let part = Part {
            matrix: &weight,
            bias: bias.as_deref(),
            update: (rank > 0).then_some(update),
        };
        let finish = match residual {
            Some(_) => Finish::Add,
            None => Finish::Write,
        };
        let product = Product { parts: vec![part], finish };
        for level in Level::available() {
            let mut y = residual.clone().unwrap_or(vec![f32::NAN; m * n]);
            product.run(level, threads(case.n_threads), Rows::new(&rows, stride), &mut y);
            for row in 0..m {
                let x = &x[row * k..][..k];
                let t = &t[row * rank..][..rank];
                for column in 0..n {
                    let w = &w[column * k..][..k];
                    let mut needed = dot(x, w);
                    let mut allowed = allowed(x, w);
                    if let Some(bias) = &bias {
                        needed += f64::from(bias[column]);
                    }
                    for (r, t) in t.iter().enumerate() {
                        let term = f64::from(*t) * 0.5 * f64::from(b_values[column * rank + r]);
                        needed += term;
                        allowed += term.abs() * 2e-6;
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
        let product = Product::new(&weight);
        for level in Level::available() {
            let mut y = vec![0.0; m * n];
            product.run(level, threads(3), Rows::new(&x, k), &mut y);
            for row in [0, m / 2, m - 1] {
                let mut alone = vec![0.0; n];
                let x = Rows::new(&x[row * k..][..k], k);
                product.run(level, Threads::ONE, x, &mut alone);
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
                x: Rows::new(&x[..rows * k], k),
                k,
                column: 0,
                scale: 1.0,
                pairs: &mut pairs,
                scales: &mut scales,
                sums: Some((format.sub, &mut sums)),
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
fn stacked_matrices_of_any_types_give_their_products_side_by_side() {
    let (m, k) = (19, 512);
    // Scales of one kind only, minima of sub-blocks of two lengths, and no whole numbers at all.
    let types = [
        TensorType::Q6_K,
        TensorType::Q4_K,
        TensorType::F16,
        TensorType::Q2_K,
        TensorType::Q4_0,
    ];
    let shapes = [33, 64, 7, 40, 1];
    let matrices: Vec<Matrix> = (types.iter().zip(shapes))
        .map(|(tensor_type, n)| matrix(*tensor_type, [n, k], n as u64, -4).0)
        .collect();
    let x = numbers(1, m * k, 1.0);
    let x = Rows::new(&x, k);
    for level in Level::available() {
        let alone: Vec<Vec<f32>> = (matrices.iter())
            .map(|matrix| {
                let mut y = vec![0.0; m * matrix.shape()[0]];
                Product::new(matrix).run(level, Threads::ONE, x, &mut y);
                y
            })
            .collect();
        let parts = matrices
            .iter()
            .flat_map(|matrix| Product::new(matrix).parts);
        let product = Product {
            parts: parts.collect(),
            finish: Finish::Write,
        };
        let mut y = vec![0.0; m * product.width()];
        product.run(level, threads(2), x, &mut y);
        for (row, y) in y.chunks(product.width()).enumerate() {
            let needed: Vec<f32> = (alone.iter().zip(shapes))
                .flat_map(|(alone, n)| alone[row * n..][..n].to_vec())
                .collect();
            assert_eq!(y, needed, "row {row} at {}", level.name());
        }
    }
}

#[test]
fn a_gate_passes_through_silu_before_it_meets_up() {
    let (m, n, k) = (13, 45, 64);
    let (gate, _) = matrix(TensorType::Q8_0, [n, k], 1, -6);
    let (up, _) = matrix(TensorType::Q4_1, [n, k], 2, -6);
    let x = numbers(3, m * k, 1.0);
    let x = Rows::new(&x, k);
    for level in Level::available() {
        let [gates, ups] = [&gate, &up].map(|matrix| {
            let mut y = vec![0.0; m * n];
            Product::new(matrix).run(level, Threads::ONE, x, &mut y);
            y
        });
        let parts = [&gate, &up].map(|matrix| Product::new(matrix).parts[0]);
        let product = Product {
            parts: parts.to_vec(),
            finish: Finish::SiluMul,
        };
        let mut y = vec![0.0; m * n];
        product.run(level, threads(2), x, &mut y);
        for ((found, gate), up) in y.iter().zip(gates).zip(ups) {
            let (gate, up) = (f64::from(gate), f64::from(up));
            let needed = gate / (1.0 + (-gate).exp()) * up;
            let error = (f64::from(*found) - needed).abs();
            assert!(error <= 1e-6 * needed.abs().max(1e-3), "{needed}: {found}");
        }
    }
}

#[test]
fn a_float_tile_reads_rows_where_they_lie_and_adds_only_where_told() {
    struct Strided<'a, const ADD: bool>(&'a [f32], &'a [f32], &'a mut [f32]);
    impl<const ADD: bool> Kernel for Strided<'_, ADD> {
        type Output = ();
        #[inline(always)]
        unsafe fn run<V: Lanes>(self) {
            // SAFETY: 3 rows of 5 in x, 5 rows of TILE in w, 3 in c.
            unsafe {
                V::vectorize(FloatTile::<3, 7, 1, ADD> {
                    x: self.0.as_ptr(),
                    w: self.1.as_ptr(),
                    n_k: 5,
                    c: self.2.as_mut_ptr(),
                });
            }
        }
    }
    let (x, w) = (numbers(1, 3 * 7, 1.0), numbers(2, 5 * TILE, 1.0));
    for level in Level::available() {
        let (mut added, mut replaced) = (vec![1.0; 3 * TILE], vec![f32::NAN; 3 * TILE]);
        level.run(Strided::<true>(&x, &w, &mut added));
        level.run(Strided::<false>(&x, &w, &mut replaced));
        for (at, (added, replaced)) in added.iter().zip(replaced).enumerate() {
            let (row, lane) = (at / TILE, at % TILE);
            let w: Vec<f32> = w[lane..].iter().step_by(TILE).copied().collect();
            let needed = dot(&x[row * 7..][..5], &w);
            assert!((f64::from(*added) - 1.0 - needed).abs() < 1e-5);
            assert!((f64::from(replaced) - needed).abs() < 1e-5);
        }
    }
}

#[test]
fn what_is_not_finite_stays_so() {
    let (weight, _) = matrix(TensorType::Q4_0, [33, 64], 1, 0);
    let product = Product::new(&weight);
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        for level in Level::available() {
            let mut x = numbers(2, 3 * 64, 1.0);
            x[64 + 40] = bad;
            let mut y = vec![0.0; 3 * 33];
            product.run(level, Threads::ONE, Rows::new(&x, 64), &mut y);
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
