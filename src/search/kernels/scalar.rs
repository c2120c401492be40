//! Plain loops: the meaning of every kernel.

pub fn dots_f32(query: &[f32], rows: &[f32], stride: usize, out: &mut [f32]) {
    for (out, row) in out.iter_mut().zip(rows.chunks_exact(stride)) {
        *out = query.iter().zip(row).map(|(q, x)| q * x).sum();
    }
}

pub fn dots_of_four(query: &[f32], rows: [&[f32]; 4]) -> [f32; 4] {
    rows.map(|row| query.iter().zip(row).map(|(q, x)| q * x).sum())
}

pub fn dots_i8(query: &[i16], rows: &[i8], out: &mut [i32]) {
    for (out, row) in out.iter_mut().zip(rows.chunks_exact(query.len())) {
        *out = dot_i8(query, row);
    }
}

pub fn hamming(query: &[u64], rows: &[u64], out: &mut [u32]) {
    for (out, row) in out.iter_mut().zip(rows.chunks_exact(query.len())) {
        *out = query
            .iter()
            .zip(row)
            .map(|(q, x)| (q ^ x).count_ones())
            .sum();
    }
}

pub fn best_f32(width: usize, queries: &[f32], tokens: &[f32], scales: &[f32], best: &mut [f32]) {
    for (best, query) in best.iter_mut().zip(queries.chunks_exact(width)) {
        for (token, scale) in tokens.chunks_exact(width).zip(scales) {
            let dot: f32 = query.iter().zip(token).map(|(q, x)| q * x).sum();
            *best = best.max(dot * scale);
        }
    }
}

pub fn best_i8(width: usize, queries: &[i16], tokens: &[i8], scales: &[f32], best: &mut [f32]) {
    for (best, query) in best.iter_mut().zip(queries.chunks_exact(width)) {
        for (token, scale) in tokens.chunks_exact(width).zip(scales) {
            *best = best.max(dot_i8(query, token) as f32 * scale);
        }
    }
}

fn dot_i8(query: &[i16], row: &[i8]) -> i32 {
    let product = |(q, x): (&i16, &i8)| i32::from(*q) * i32::from(*x);
    query.iter().zip(row).map(product).sum()
}
