//! Every set of kernels that this machine has against the plain loops.

use proptest::prelude::*;

use super::*;

/// Numbers of a size at which sums of a few hundred products keep six digits.
fn floats(n: usize) -> impl Strategy<Value = Vec<f32>> {
    prop::collection::vec(-1.0f32..1.0, n)
}

/// Sums of `n` products of numbers below 1: what the order of additions may change.
fn tolerance(n: usize) -> f32 {
    1e-6 * (n as f32 + 1.0)
}

fn rows_and_query() -> impl Strategy<Value = (usize, usize, Vec<f32>, Vec<f32>)> {
    (1usize..150, 0usize..40, 0usize..9).prop_flat_map(|(width, extra, n_rows)| {
        let stride = width + extra;
        (
            Just(stride),
            Just(n_rows),
            floats(width),
            floats(stride * n_rows),
        )
    })
}

proptest! {
    #[test]
    fn products_of_floats_are_those_of_the_plain_loop((stride, n_rows, query, rows) in rows_and_query()) {
        let mut expected = vec![0.0; n_rows];
        Kernels::scalar().dots_f32(&query, &rows, stride, &mut expected);
        for kernels in Kernels::all() {
            let mut found = vec![f32::NAN; n_rows];
            kernels.dots_f32(&query, &rows, stride, &mut found);
            for (row, expected) in rows.chunks_exact(stride).zip(&expected) {
                for found in kernels.dots_of_four(&query, [row; 4]) {
                    prop_assert!((found - expected).abs() <= tolerance(query.len()), "{}: {found} {expected}", kernels.name());
                }
            }
            for (found, expected) in found.iter().zip(&expected) {
                prop_assert!((found - expected).abs() <= tolerance(query.len()), "{}: {found} {expected}", kernels.name());
            }
        }
    }

    #[test]
    fn products_of_bytes_are_exact(
        (query, rows) in (1usize..150, 0usize..9).prop_flat_map(|(width, n_rows)| (
            prop::collection::vec(any::<i16>(), width),
            prop::collection::vec(-127i8..=127, width * n_rows),
        ))
    ) {
        let n_rows = rows.len() / query.len();
        let mut expected = vec![0; n_rows];
        Kernels::scalar().dots_i8(&query, &rows, &mut expected);
        for kernels in Kernels::all() {
            let mut found = vec![1; n_rows];
            kernels.dots_i8(&query, &rows, &mut found);
            prop_assert_eq!(&found, &expected, "{}", kernels.name());
        }
    }

    #[test]
    fn distances_of_bits_are_exact(
        (query, rows) in (1usize..9, 0usize..9).prop_flat_map(|(width, n_rows)| (
            prop::collection::vec(any::<u64>(), width),
            prop::collection::vec(any::<u64>(), width * n_rows),
        ))
    ) {
        let n_rows = rows.len() / query.len();
        let mut expected = vec![0; n_rows];
        Kernels::scalar().hamming(&query, &rows, &mut expected);
        for kernels in Kernels::all() {
            let mut found = vec![1; n_rows];
            kernels.hamming(&query, &rows, &mut found);
            prop_assert_eq!(&found, &expected, "{}", kernels.name());
        }
    }

    #[test]
    fn best_matches_of_floats_are_those_of_the_plain_loop(
        (width, queries, tokens, scales) in (1usize..70, 1usize..11, 1usize..8).prop_flat_map(|(width, q, t)| (
            Just(width), floats(width * q), floats(width * t), prop::collection::vec(0.1f32..1.0, t),
        ))
    ) {
        let n_queries = queries.len() / width;
        let mut expected = vec![f32::NEG_INFINITY; n_queries];
        Kernels::scalar().best_f32(width, &queries, &tokens, &scales, &mut expected);
        for kernels in Kernels::all() {
            let mut found = vec![f32::NEG_INFINITY; n_queries];
            kernels.best_f32(width, &queries, &tokens, &scales, &mut found);
            for (found, expected) in found.iter().zip(&expected) {
                prop_assert!((found - expected).abs() <= tolerance(width), "{}: {found} {expected}", kernels.name());
            }
        }
    }

    #[test]
    fn best_matches_of_bytes_are_exact(
        (width, queries, tokens, scales) in (1usize..70, 1usize..11, 1usize..8).prop_flat_map(|(width, q, t)| (
            Just(width),
            prop::collection::vec(any::<i16>(), width * q),
            prop::collection::vec(-127i8..=127, width * t),
            prop::collection::vec(0.1f32..1.0, t),
        ))
    ) {
        let n_queries = queries.len() / width;
        let mut expected = vec![f32::NEG_INFINITY; n_queries];
        Kernels::scalar().best_i8(width, &queries, &tokens, &scales, &mut expected);
        for kernels in Kernels::all() {
            let mut found = vec![f32::NEG_INFINITY; n_queries];
            kernels.best_i8(width, &queries, &tokens, &scales, &mut found);
            prop_assert_eq!(&found, &expected, "{}", kernels.name());
        }
    }
}

#[test]
fn a_product_of_two_known_vectors_is_known() {
    for kernels in Kernels::all() {
        let mut out = [0.0; 2];
        kernels.dots_f32(
            &[1.0, -2.0, 3.0],
            &[4.0, 5.0, 6.0, 0.5, 0.25, 0.0],
            3,
            &mut out,
        );
        assert_eq!(out, [12.0, 0.0], "{}", kernels.name());
    }
}
