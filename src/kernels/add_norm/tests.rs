//! The kernel and its portable form against a plain loop in f64, over shapes that fit no tile.

use proptest::prelude::*;

use super::*;
use crate::{
    gguf::TensorType,
    kernels::testing::{Matrix, assert_close, device, f64s, numbers, product, tensor, weight},
};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn every_form_equals_the_plain_loop(
        m in 1usize..70,
        h4 in 1usize..90,
        rank4 in 0usize..5,
        coordinates4 in 0usize..30,
        of_a_second_matrix4 in 0usize..20,
        has_update: bool,
        slices in 1usize..4,
        magnitude in -3i32..6,
        seed: u64,
    ) {
        let (h, of_the_first) = (h4 * 4, coordinates4 * 4);
        let of_the_second = if of_the_first > 0 { of_a_second_matrix4 * 4 } else { 0 };
        let coordinates = of_the_first + of_the_second;
        let rank = if has_update { rank4 * 4 } else { 0 };
        let size = 10f32.powi(magnitude);
        let x = numbers(seed, m * h, size);
        let norm_weight = numbers(seed.wrapping_add(1), h, 3.0);
        let u = numbers(seed.wrapping_add(2), slices * m * (h + rank), size);
        let b = Matrix::random(TensorType::F16, [h, rank.max(1)], seed.wrapping_add(3));
        let a: Vec<Matrix> = [(TensorType::F16, of_the_first), (TensorType::BF16, of_the_second)]
            .into_iter()
            .filter(|(_, rows)| *rows > 0)
            .map(|(tensor_type, rows)| Matrix::random(tensor_type, [rows, h], seed.wrapping_add(4 + rows as u64)))
            .collect();
        let a: Vec<&Matrix> = a.iter().collect();

        let mut sum = f64s(&x);
        let mut added = vec![0.0; m * (h + rank)];
        for slice in f64s(&u).chunks(m * (h + rank)) {
            added.iter_mut().zip(slice).for_each(|(sum, u)| *sum += u);
        }
        if has_update {
            for (row, u) in sum.chunks_mut(h).zip(added.chunks(h + rank)) {
                let turned = if rank > 0 { product(&u[h..], &[&b], rank) } else { vec![0.0; h] };
                for (at, value) in row.iter_mut().enumerate() {
                    *value += u[at] + 0.5 * turned[at];
                }
            }
        }
        let mut norm = Vec::new();
        for row in sum.chunks(h) {
            let squares: f64 = row.iter().map(|value| value * value).sum();
            let scale = 1.0 / (squares / h as f64 + 1e-6).sqrt();
            norm.extend(row.iter().zip(&norm_weight).map(|(value, weight)| value * scale * f64::from(*weight)));
        }
        let t = if coordinates > 0 { product(&norm, &a, h) } else { Vec::new() };

        let added: Vec<f32> = added.iter().map(|u| *u as f32).collect();
        for kernels in [Kernels::Portable, Kernels::Host, Kernels::TILED, Kernels::DIRECT] {
            let device = device(kernels);
            let low_rank = (rank > 0).then(|| LowRank {
                a: tensor(&[0.0], [1, 1], &device).into(),
                b: weight(kernels, &[&b]),
                scale: 0.5,
            });
            let a = (coordinates > 0).then(|| weight(kernels, &a));
            // The processor's form makes one slice, and takes one.
            let (n, u) = match kernels {
                Kernels::Host => (1, added.as_slice()),
                _ => (slices, u.as_slice()),
            };
            let update = has_update.then(|| Update {
                product: tensor(u, [n * m, h + rank], &device),
                low_rank: low_rank.as_ref(),
            });
            let norm_weight = tensor(&norm_weight, [h], &device);
            let layer = AddNorm { weight: &norm_weight, eps: 1e-6, coordinates: a.as_ref() };
            let (s, n) = layer.run(kernels, tensor(&x, [m, h], &device), update);
            assert_close(s, &sum, 2e-6);
            assert_close(n.clone().narrow(1, 0, h), &norm, 4e-6);
            if coordinates > 0 {
                assert_close(n.narrow(1, h, coordinates), &t, 4e-6);
            }
        }
    }
}

#[test]
fn a_row_of_zeros_stays_zero() {
    let device = device(Kernels::TILED);
    let weight = tensor(&[1.0; 4], [4], &device);
    let layer = AddNorm {
        weight: &weight,
        eps: 1e-6,
        coordinates: None,
    };
    let x = tensor(&[0.0; 8], [2, 4], &device);
    assert_close(layer.run(Kernels::TILED, x, None).1, &[0.0; 8], 0.0);
}
