//! The kernels and the portable form against a plain loop in f64, over shapes that fit no tile.

use proptest::prelude::*;

use super::*;
use crate::{
    gguf::TensorType,
    kernels::{
        Forms,
        testing::{
            Matrix, assert_close, device, f64s, numbers, packed, product, shader_f16, tensor,
            weight,
        },
    },
};

/// `x Wᵀ + bias + scale * (t Bᵀ)` part by part, from x with its coordinates.
fn reference(
    x: &[f32],
    [m, k, rank]: [usize; 3],
    parts: &[&Matrix],
    bias: &[f32],
    b: &[&Matrix],
    scale: f64,
) -> Vec<f64> {
    let width = k + rank * b.len();
    let x = f64s(x);
    let numbers: Vec<f64> = x.chunks(width).flat_map(|row| row[..k].to_vec()).collect();
    let mut y = product(&numbers, parts, k);
    let n = y.len() / m;
    for (row, x) in y.chunks_mut(n).zip(x.chunks(width)) {
        let mut column = 0;
        for (part, b) in b.iter().enumerate() {
            let t = &x[k + part * rank..][..rank];
            for value in product(t, &[b], rank) {
                row[column] += scale * value;
                column += 1;
            }
        }
        for (value, bias) in row.iter_mut().zip(bias) {
            *value += f64::from(*bias);
        }
    }
    y
}

fn low_rank(kernels: Kernels, b: &[&Matrix]) -> Option<LowRank> {
    (!b.is_empty()).then(|| LowRank {
        a: tensor(&[0.0], [1, 1], &device(kernels)).into(),
        b: weight(kernels, b),
        scale: 0.5,
    })
}

/// Largest error, over the largest number needed: sums of some hundred terms.
const TOLERANCE: f64 = 1e-5;

/// The same for each form. On the processor activations have 16 bits where weights are blocks: half
/// a unit of each adds up to at most `max |x| Σ|w| / 65534` (held to in `cpu::tests`), which is
/// some 1e-5 of a typical output, and more where terms cancel.
fn tolerance(kernels: Kernels) -> f64 {
    match kernels {
        Kernels::Host => 2e-4,
        Kernels::Portable | Kernels::Gpu(_) => TOLERANCE,
    }
}
const FORMS: [Kernels; 4] = [
    Kernels::Portable,
    Kernels::Host,
    Kernels::TILED,
    Kernels::DIRECT,
];
const WEIGHTS: [TensorType; 6] = [
    TensorType::Q4_0,
    TensorType::Q8_0,
    TensorType::Q4_K,
    TensorType::Q6_K,
    TensorType::F16,
    TensorType::F32,
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn a_product_with_bias_and_appended_rows_equals_the_plain_loop(
        m in 1usize..131,
        n in 1usize..150,
        blocks in 1usize..4,
        which in 0usize..WEIGHTS.len(),
        appended in 0usize..40,
        has_bias: bool,
        magnitude in -3i32..6,
        seed: u64,
    ) {
        let tensor_type = WEIGHTS[which];
        // Rows of numbers end anywhere, if only on a multiple of four.
        let k = blocks * if tensor_type.block_elements() == 1 { 36 } else { tensor_type.block_elements() };
        let x = numbers(seed, m * k, 10f32.powi(magnitude));
        let w = Matrix::random(tensor_type, [n, k], seed.wrapping_add(1));
        let a = Matrix::random(TensorType::F16, [appended.max(1), k], seed.wrapping_add(2));
        let bias = numbers(seed.wrapping_add(3), if has_bias { n } else { 0 }, 50.0);
        let parts = if appended > 0 { vec![&w, &a] } else { vec![&w] };
        let needed = reference(&x, [m, k, 0], &parts, &bias, &[], 1.0);
        for kernels in FORMS {
            let device = device(kernels);
            let bias = has_bias.then(|| tensor(&bias, [n], &device));
            let (w, a) = (weight(kernels, &[&w]), weight(kernels, &[&a]));
            let linear = Linear {
                bias: bias.as_ref(),
                appended: (appended > 0).then_some(&a),
                ..Linear::new(&w)
            };
            assert_close(linear.run(kernels, tensor(&x, [m, k], &device)), &needed, tolerance(kernels));
        }
    }

    #[test]
    fn slices_add_up_to_the_product(
        m in 1usize..80,
        n in 1usize..150,
        blocks in 16usize..40,
        which in 0usize..WEIGHTS.len(),
        appended in 0usize..40,
        seed: u64,
    ) {
        let tensor_type = WEIGHTS[which];
        let k = (blocks * 32).next_multiple_of(tensor_type.block_elements());
        let x = numbers(seed, m * k, 1.0);
        let w = Matrix::random(tensor_type, [n, k], seed.wrapping_add(1));
        let a = Matrix::random(TensorType::F16, [appended.max(1), k], seed.wrapping_add(2));
        let bias = numbers(seed.wrapping_add(3), n, 50.0);
        let parts = if appended > 0 { vec![&w, &a] } else { vec![&w] };
        let needed = reference(&x, [m, k, 0], &parts, &bias, &[], 1.0);
        let columns = needed.len() / m;
        for kernels in FORMS {
            let device = device(kernels);
            let bias = tensor(&bias, [n], &device);
            let (w, a) = (weight(kernels, &[&w]), weight(kernels, &[&a]));
            let linear = Linear {
                bias: Some(&bias),
                appended: (appended > 0).then_some(&a),
                ..Linear::new(&w)
            };
            let slices = linear.run_in_slices(kernels, tensor(&x, [m, k], &device));
            let n_slices = slices.dims()[0] / m;
            // So few rows and columns leave a card idle; processors gain nothing.
            prop_assert_eq!(n_slices > 1, kernels == Kernels::TILED);
            let sum = slices.reshape([n_slices, m * columns]).sum_dim(0).reshape([m, columns]);
            assert_close(sum, &needed, tolerance(kernels));
        }
    }

    #[test]
    fn queries_and_keys_turn_and_values_do_not(
        m in 1usize..100,
        n_kv in 1usize..4,
        groups in 1usize..5,
        half in 4usize..40,
        rank4 in 0usize..4,
        mixed: bool,
        seed: u64,
    ) {
        let (head_dim, k, rank) = (half * 2, 64, rank4 * 4);
        let rows = [n_kv * groups * head_dim, n_kv * head_dim, n_kv * head_dim];
        let last = if mixed { TensorType::Q8_0 } else { TensorType::Q4_0 };
        let types = [TensorType::Q4_0, TensorType::Q4_0, last];
        let parts = [0, 1, 2].map(|i| Matrix::random(types[i], [rows[i], k], seed.wrapping_add(i as u64)));
        let b = [0, 1, 2].map(|i| {
            Matrix::random(TensorType::F16, [rows[i], rank.max(1)], seed.wrapping_add(3 + i as u64))
        });
        let parts: Vec<&Matrix> = parts.iter().collect();
        let b: Vec<&Matrix> = if rank > 0 { b.iter().collect() } else { Vec::new() };
        let x = numbers(seed.wrapping_add(6), m * (k + rank * b.len()), 2.0);
        let n: usize = rows.iter().sum();
        let n_rotated = rows[0] + rows[1];
        let bias = numbers(seed.wrapping_add(7), n, 20.0);
        let angles = numbers(seed.wrapping_add(8), m * half, 100.0);
        let cos: Vec<f32> = angles.iter().map(|angle| angle.cos()).collect();
        let sin: Vec<f32> = angles.iter().map(|angle| angle.sin()).collect();
        let mut needed = reference(&x, [m, k, rank], &parts, &bias, &b, 0.5);
        for (row, y) in needed.chunks_mut(n).enumerate() {
            for head in y[..n_rotated].chunks_mut(head_dim) {
                for i in 0..half {
                    let (c, s) = (f64::from(cos[row * half + i]), f64::from(sin[row * half + i]));
                    let (p, q) = (head[i], head[i + half]);
                    head[i] = p * c - q * s;
                    head[i + half] = q * c + p * s;
                }
            }
        }
        for kernels in FORMS {
            let device = device(kernels);
            let table = RopeTable::new(&cos, &sin, head_dim, &device);
            let low_rank = low_rank(kernels, &b);
            let w = weight(kernels, &parts);
            let bias = tensor(&bias, [n], &device);
            let linear = Linear {
                bias: Some(&bias),
                low_rank: low_rank.as_ref(),
                finish: Finish::Rotate { table: &table, n_rotated },
                ..Linear::new(&w)
            };
            let x = tensor(&x, [m, k + rank * b.len()], &device);
            assert_close(linear.run(kernels, x), &needed, tolerance(kernels));
        }
    }

    #[test]
    fn a_gate_opens_for_its_own_column(
        m in 1usize..100,
        n in 1usize..150,
        rank4 in 0usize..4,
        mixed: bool,
        has_bias: bool,
        seed: u64,
    ) {
        let (k, rank) = (64, rank4 * 4);
        let up_type = if mixed { TensorType::Q8_0 } else { TensorType::Q4_0 };
        let parts = [
            Matrix::random(TensorType::Q4_0, [n, k], seed),
            Matrix::random(up_type, [n, k], seed.wrapping_add(1)),
        ];
        let b = [2, 3].map(|i| Matrix::random(TensorType::F16, [n, rank.max(1)], seed.wrapping_add(i)));
        let parts: Vec<&Matrix> = parts.iter().collect();
        let b: Vec<&Matrix> = if rank > 0 { b.iter().collect() } else { Vec::new() };
        let x = numbers(seed.wrapping_add(4), m * (k + rank * b.len()), 0.3);
        let bias = numbers(seed.wrapping_add(5), if has_bias { 2 * n } else { 0 }, 1.0);
        let both = reference(&x, [m, k, rank], &parts, &bias, &b, 0.5);
        let needed: Vec<f64> = both
            .chunks(2 * n)
            .flat_map(|row| (0..n).map(|i| row[i] / (1.0 + (-row[i]).exp()) * row[n + i]))
            .collect();
        for kernels in FORMS {
            let device = device(kernels);
            let low_rank = low_rank(kernels, &b);
            let w = weight(kernels, &parts);
            let bias = has_bias.then(|| tensor(&bias, [2 * n], &device));
            let linear = Linear {
                bias: bias.as_ref(),
                low_rank: low_rank.as_ref(),
                finish: Finish::SiluMul,
                ..Linear::new(&w)
            };
            let x = tensor(&x, [m, k + rank * b.len()], &device);
            // lavapipe's exp is off by 6e-5 of its value.
            assert_close(linear.run(kernels, x), &needed, tolerance(kernels).max(1e-4));
        }
    }
}

#[test]
fn large_products_are_cut_alike() {
    // Enough weights for the large cuts of software adapters, and lanes, tiles of both heights.
    let (n, k) = (1100, 1024);
    let w = Matrix::random(TensorType::Q4_0, [n, k], 5);
    for m in [1, 3, 8, 9, 16, 31, 67] {
        let x = numbers(m as u64, m * k, 1.0);
        let needed = reference(&x, [m, k, 0], &[&w], &[], &[], 1.0);
        for kernels in [Kernels::TILED, Kernels::DIRECT] {
            let weight = weight(kernels, &[&w]);
            let x = tensor(&x, [m, k], &device(kernels));
            assert_close(
                Linear::new(&weight).run(kernels, x),
                &needed,
                tolerance(kernels),
            );
        }
    }
}

/// Products of odd shapes in every cut that is offered and fits, each class with its own rows.
fn compare_candidates(
    shader_f16: bool,
    fits: impl Fn(&Forms) -> bool,
    tolerance: impl Fn(TensorType) -> f64,
) {
    let (n, k) = (150, 96);
    for tensor_type in [
        TensorType::Q4_0,
        TensorType::Q8_0,
        TensorType::F16,
        TensorType::F32,
    ] {
        let w = Matrix::random(tensor_type, [n, k], 9);
        for (class, m) in [4, 7, 15, 31, 67].into_iter().enumerate() {
            let x = numbers(m as u64, m * k, 1.0);
            let needed = reference(&x, [m, k, 0], &[&w], &[], &[], 1.0);
            let offered = Forms::candidates(class, shader_f16);
            for forms in offered
                .map(|cut| Forms::TILED.with_product(class, cut))
                .filter(&fits)
            {
                let kernels = Kernels::Gpu(forms);
                let weight = weight(kernels, &[&w]);
                let y = Linear::new(&weight).run(kernels, tensor(&x, [m, k], &device(kernels)));
                assert_close(y, &needed, tolerance(tensor_type));
            }
        }
    }
}

#[test]
fn whatever_measuring_may_choose_computes_the_product() {
    compare_candidates(false, |_| true, |_| TOLERANCE);
}

/// The step `halves` of `make test` runs this on an adapter that has them.
#[test]
fn weights_in_halves_give_the_product_where_the_adapter_computes_in_halves() {
    let has_halves = shader_f16();
    if std::env::var_os("JINA_NEEDS_SHADER_F16").is_some() {
        assert!(has_halves, "needed an adapter with shader-f16");
    }
    // A weight is off by half a unit of a half's eleven bits at most; F16 is not at all, and
    // numbers in f32 are never made halves.
    compare_candidates(
        has_halves,
        Forms::wants_f16,
        |tensor_type| match tensor_type {
            TensorType::F16 | TensorType::F32 => TOLERANCE,
            _ => 5e-4,
        },
    );
}

#[test]
fn blocks_of_zeros_give_zeros() {
    let (n, k) = (70, 256);
    for tensor_type in [
        TensorType::Q4_0,
        TensorType::Q8_0,
        TensorType::Q4_K,
        TensorType::Q6_K,
    ] {
        let n_blocks = n * k / tensor_type.block_elements();
        let bytes = vec![0; n_blocks * tensor_type.block_bytes()];
        let weight = packed(&[(tensor_type, [n, k], &bytes)]);
        for kernels in [Kernels::TILED, Kernels::DIRECT] {
            let x = tensor(&numbers(1, 5 * k, 1e6), [5, k], &device(kernels));
            assert_close(Linear::new(&weight).run(kernels, x), &vec![0.0; 5 * n], 0.0);
        }
    }
}

/// A matrix of numbers that was never packed, such as the patch embedding, of a width that no
/// vector fits and of one that does.
#[test]
fn numbers_row_by_row_are_multiplied_where_they_lie() {
    let (m, n) = (37, 50);
    for k in [7, 44] {
        let x = numbers(1, m * k, 1.0);
        let matrix = Matrix {
            tensor_type: TensorType::F32,
            shape: [n, k],
            bytes: Vec::new(),
            values: numbers(2, n * k, 1.0),
        };
        let needed = reference(&x, [m, k, 0], &[&matrix], &[], &[], 1.0);
        for kernels in FORMS {
            let device = device(kernels);
            let weight = tensor(&matrix.values, [n, k], &device).into();
            let y = Linear::new(&weight).run(kernels, tensor(&x, [m, k], &device));
            assert_close(y, &needed, tolerance(kernels));
        }
    }
}
