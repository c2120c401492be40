//! The kernels in blocks, over whatever a lane is on the machine at hand.
//!
//! - One query against many rows: four rows at a time share each load of the query.
//! - Many queries against many tokens: two tokens meet four queries at a time, and the four sums of a
//!   token become one vector, which is scaled and compared at once.
//!
//! What does not fill a lane is added at the end, number by number.

/// One processor's vectors. Numbers of `F32` and `I32` are `WIDTH` lanes.
///
/// # Safety
/// The methods may be called only where the processor has the features that the implementation
/// names, and only with pointers to as many readable numbers as they load.
pub trait Lanes {
    /// Lanes of `F32`. `load_i16` and `load_i8` read twice as many numbers.
    const WIDTH: usize;
    type F32: Copy;
    /// `2 * WIDTH` numbers of 16 bits.
    type I16: Copy;
    type I32: Copy;
    /// Four sums.
    type Quad: Copy;

    unsafe fn zero() -> Self::F32;
    unsafe fn load(from: *const f32) -> Self::F32;
    /// `sum + a * b`
    unsafe fn multiply_add(sum: Self::F32, a: Self::F32, b: Self::F32) -> Self::F32;
    unsafe fn add(a: Self::F32, b: Self::F32) -> Self::F32;
    /// The sum of each of the four.
    unsafe fn sums(of: [Self::F32; 4]) -> Self::Quad;

    unsafe fn zero_i32() -> Self::I32;
    unsafe fn load_i16(from: *const i16) -> Self::I16;
    /// Loads bytes and widens them.
    unsafe fn load_i8(from: *const i8) -> Self::I16;
    /// Adds the products of neighbours, two to a lane.
    unsafe fn multiply_add_i16(sum: Self::I32, a: Self::I16, b: Self::I16) -> Self::I32;
    /// The sum of each of the four.
    unsafe fn sums_i32(of: [Self::I32; 4]) -> [i32; 4];

    unsafe fn quad(values: [f32; 4]) -> Self::Quad;
    unsafe fn quad_of_i32(values: [Self::I32; 4]) -> Self::Quad;
    unsafe fn quad_values(quad: Self::Quad) -> [f32; 4];
    unsafe fn quad_add(a: Self::Quad, b: Self::Quad) -> Self::Quad;
    /// `max(best, sums * scale)`
    unsafe fn quad_best(best: Self::Quad, sums: Self::Quad, scale: f32) -> Self::Quad;
}

/// Defines the entry points of a level: the generic kernels, compiled with its features.
macro_rules! entry_points {
    ($lanes:ty, $features:literal) => {
        #[target_feature(enable = $features)]
        pub unsafe fn dots_f32(query: &[f32], rows: &[f32], stride: usize, out: &mut [f32]) {
            // SAFETY: passed on to the caller.
            unsafe { super::blocked::dots_f32::<$lanes>(query, rows, stride, out) }
        }
        #[target_feature(enable = $features)]
        pub unsafe fn dots_i8(query: &[i16], rows: &[i8], out: &mut [i32]) {
            // SAFETY: passed on to the caller.
            unsafe { super::blocked::dots_i8::<$lanes>(query, rows, out) }
        }
        #[target_feature(enable = $features)]
        pub unsafe fn best_f32(
            width: usize,
            queries: &[f32],
            tokens: &[f32],
            scales: &[f32],
            best: &mut [f32],
        ) {
            // SAFETY: passed on to the caller.
            unsafe {
                super::blocked::best::<$lanes, f32, f32>(width, queries, tokens, scales, best)
            }
        }
        #[target_feature(enable = $features)]
        pub unsafe fn best_i8(
            width: usize,
            queries: &[i16],
            tokens: &[i8],
            scales: &[f32],
            best: &mut [f32],
        ) {
            // SAFETY: passed on to the caller.
            unsafe { super::blocked::best::<$lanes, i16, i8>(width, queries, tokens, scales, best) }
        }
        /// Sixty-four bits at a time, with the processor's own count of bits.
        #[target_feature(enable = $features)]
        pub unsafe fn hamming(query: &[u64], rows: &[u64], out: &mut [u32]) {
            super::blocked::hamming(query, rows, out)
        }
    };
}
pub(super) use entry_points;

/// # Safety
/// As for [`Lanes`]; `rows` has `out.len()` rows of `stride >= query.len()`.
#[inline(always)]
pub unsafe fn dots_f32<L: Lanes>(query: &[f32], rows: &[f32], stride: usize, out: &mut [f32]) {
    let width = query.len();
    let query = query.as_ptr();
    let mut blocks = out.chunks_exact_mut(4);
    let mut row = rows.as_ptr();
    for block in &mut blocks {
        // SAFETY: four more rows are there.
        unsafe {
            let at = [
                row,
                row.add(stride),
                row.add(2 * stride),
                row.add(3 * stride),
            ];
            block.copy_from_slice(&L::quad_values(dots_of_four::<L>(width, query, at)));
            row = row.add(4 * stride);
        }
    }
    for out in blocks.into_remainder() {
        // SAFETY: one more row is there; the other three are the same one.
        unsafe {
            *out = L::quad_values(dots_of_four::<L>(width, query, [row; 4]))[0];
            row = row.add(stride);
        }
    }
}

/// The products of one row of numbers with four others.
#[inline(always)]
unsafe fn dots_of_four<L: Lanes>(width: usize, one: *const f32, four: [*const f32; 4]) -> L::Quad {
    // SAFETY: every pointer has `width` numbers behind it.
    unsafe {
        // Two sums for each row: a processor starts more additions than it finishes in a step.
        let mut even = [L::zero(); 4];
        let mut odd = [L::zero(); 4];
        let mut at = 0;
        while at + 2 * L::WIDTH <= width {
            let (a, b) = (L::load(one.add(at)), L::load(one.add(at + L::WIDTH)));
            for i in 0..4 {
                even[i] = L::multiply_add(even[i], a, L::load(four[i].add(at)));
                odd[i] = L::multiply_add(odd[i], b, L::load(four[i].add(at + L::WIDTH)));
            }
            at += 2 * L::WIDTH;
        }
        if at + L::WIDTH <= width {
            let a = L::load(one.add(at));
            for i in 0..4 {
                even[i] = L::multiply_add(even[i], a, L::load(four[i].add(at)));
            }
            at += L::WIDTH;
        }
        for i in 0..4 {
            even[i] = L::add(even[i], odd[i]);
        }
        let sums = L::sums(even);
        if at == width {
            return sums;
        }
        let mut rest = [0.0; 4];
        for at in at..width {
            for i in 0..4 {
                rest[i] += *one.add(at) * *four[i].add(at);
            }
        }
        L::quad_add(sums, L::quad(rest))
    }
}

/// # Safety
/// As for [`Lanes`]; `rows` has `out.len()` rows of `query.len()`.
#[inline(always)]
pub unsafe fn dots_i8<L: Lanes>(query: &[i16], rows: &[i8], out: &mut [i32]) {
    let width = query.len();
    let query = query.as_ptr();
    let mut blocks = out.chunks_exact_mut(4);
    let mut row = rows.as_ptr();
    for block in &mut blocks {
        // SAFETY: four more rows are there.
        unsafe {
            let at = [row, row.add(width), row.add(2 * width), row.add(3 * width)];
            let (sums, rest) = lanes_of_four_i8::<L>(width, query, at);
            let sums = L::sums_i32(sums);
            for i in 0..4 {
                block[i] = sums[i] + rest[i];
            }
            row = row.add(4 * width);
        }
    }
    for out in blocks.into_remainder() {
        // SAFETY: one more row is there; the other three are the same one.
        unsafe {
            let (sums, rest) = lanes_of_four_i8::<L>(width, query, [row; 4]);
            *out = L::sums_i32(sums)[0] + rest[0];
            row = row.add(width);
        }
    }
}

/// One row of 16-bit numbers with four of bytes: the lanes, and what did not fill one.
#[inline(always)]
unsafe fn lanes_of_four_i8<L: Lanes>(
    width: usize,
    one: *const i16,
    four: [*const i8; 4],
) -> ([L::I32; 4], [i32; 4]) {
    // SAFETY: every pointer has `width` numbers behind it.
    unsafe {
        let step = 2 * L::WIDTH;
        let mut sums = [L::zero_i32(); 4];
        let mut at = 0;
        while at + step <= width {
            let a = L::load_i16(one.add(at));
            for i in 0..4 {
                sums[i] = L::multiply_add_i16(sums[i], a, L::load_i8(four[i].add(at)));
            }
            at += step;
        }
        let mut rest = [0; 4];
        for at in at..width {
            for i in 0..4 {
                rest[i] += i32::from(*one.add(at)) * i32::from(*four[i].add(at));
            }
        }
        (sums, rest)
    }
}

/// Plain, and compiled with the count of bits that the processor has.
#[inline(always)]
pub fn hamming(query: &[u64], rows: &[u64], out: &mut [u32]) {
    for (out, row) in out.iter_mut().zip(rows.chunks_exact(query.len())) {
        let mut sum = 0;
        for (q, x) in query.iter().zip(row) {
            sum += (q ^ x).count_ones();
        }
        *out = sum;
    }
}

/// The numbers of a query and of a token that a tile of 4 x 2 multiplies.
pub trait Tile<L: Lanes, Token>: Copy {
    /// Products of four queries with one token.
    ///
    /// # Safety
    /// As for [`Lanes`]; every pointer has `width` numbers behind it.
    unsafe fn products(width: usize, queries: [*const Self; 4], token: *const Token) -> L::Quad;

    /// Products of four queries with two tokens.
    ///
    /// # Safety
    /// As above.
    unsafe fn products_of_two(
        width: usize,
        queries: [*const Self; 4],
        tokens: [*const Token; 2],
    ) -> [L::Quad; 2];
}

impl<L: Lanes> Tile<L, f32> for f32 {
    #[inline(always)]
    unsafe fn products(width: usize, queries: [*const f32; 4], token: *const f32) -> L::Quad {
        // SAFETY: passed on to the caller.
        unsafe { dots_of_four::<L>(width, token, queries) }
    }

    #[inline(always)]
    unsafe fn products_of_two(
        width: usize,
        queries: [*const f32; 4],
        [first, second]: [*const f32; 2],
    ) -> [L::Quad; 2] {
        // SAFETY: every pointer has `width` numbers behind it.
        unsafe {
            let (mut a, mut b) = ([L::zero(); 4], [L::zero(); 4]);
            let mut at = 0;
            while at + L::WIDTH <= width {
                let (x, y) = (L::load(first.add(at)), L::load(second.add(at)));
                for i in 0..4 {
                    let query = L::load(queries[i].add(at));
                    a[i] = L::multiply_add(a[i], query, x);
                    b[i] = L::multiply_add(b[i], query, y);
                }
                at += L::WIDTH;
            }
            let sums = [L::sums(a), L::sums(b)];
            if at == width {
                return sums;
            }
            let mut rest = [[0.0; 4]; 2];
            for at in at..width {
                for i in 0..4 {
                    rest[0][i] += *queries[i].add(at) * *first.add(at);
                    rest[1][i] += *queries[i].add(at) * *second.add(at);
                }
            }
            [
                L::quad_add(sums[0], L::quad(rest[0])),
                L::quad_add(sums[1], L::quad(rest[1])),
            ]
        }
    }
}

impl<L: Lanes> Tile<L, i8> for i16 {
    #[inline(always)]
    unsafe fn products(width: usize, queries: [*const i16; 4], token: *const i8) -> L::Quad {
        // SAFETY: passed on to the caller.
        unsafe { <i16 as Tile<L, i8>>::products_of_two(width, queries, [token; 2])[0] }
    }

    #[inline(always)]
    unsafe fn products_of_two(
        width: usize,
        queries: [*const i16; 4],
        [first, second]: [*const i8; 2],
    ) -> [L::Quad; 2] {
        // SAFETY: every pointer has `width` numbers behind it.
        unsafe {
            let step = 2 * L::WIDTH;
            let (mut a, mut b) = ([L::zero_i32(); 4], [L::zero_i32(); 4]);
            let mut at = 0;
            while at + step <= width {
                let (x, y) = (L::load_i8(first.add(at)), L::load_i8(second.add(at)));
                for i in 0..4 {
                    let query = L::load_i16(queries[i].add(at));
                    a[i] = L::multiply_add_i16(a[i], query, x);
                    b[i] = L::multiply_add_i16(b[i], query, y);
                }
                at += step;
            }
            if at == width {
                return [L::quad_of_i32(a), L::quad_of_i32(b)];
            }
            // Whole numbers to the end: the sum is rounded once, as in the plain loop.
            let mut sums = [L::sums_i32(a), L::sums_i32(b)];
            for at in at..width {
                for i in 0..4 {
                    let query = i32::from(*queries[i].add(at));
                    sums[0][i] += query * i32::from(*first.add(at));
                    sums[1][i] += query * i32::from(*second.add(at));
                }
            }
            sums.map(|sums| L::quad(sums.map(|sum| sum as f32)))
        }
    }
}

/// # Safety
/// As for [`Lanes`]; `queries` has `best.len()` rows and `tokens` `scales.len()` rows of `width`.
#[inline(always)]
pub unsafe fn best<L: Lanes, Query: Tile<L, Token>, Token>(
    width: usize,
    queries: &[Query],
    tokens: &[Token],
    scales: &[f32],
    best: &mut [f32],
) {
    let n_queries = best.len();
    let mut first = 0;
    while first < n_queries {
        // Where fewer than four are left, the last one stands in for the missing.
        let at = |i: usize| (first + i).min(n_queries - 1);
        // SAFETY: the indices lie below the numbers of rows.
        unsafe {
            let pointers = std::array::from_fn(|i| queries.as_ptr().add(at(i) * width));
            let mut found = L::quad(std::array::from_fn(|i| best[at(i)]));
            let mut t = 0;
            while t + 2 <= scales.len() {
                let pair = [t, t + 1].map(|t| tokens.as_ptr().add(t * width));
                let sums = Query::products_of_two(width, pointers, pair);
                found = L::quad_best(found, sums[0], scales[t]);
                found = L::quad_best(found, sums[1], scales[t + 1]);
                t += 2;
            }
            if t < scales.len() {
                let sums = Query::products(width, pointers, tokens.as_ptr().add(t * width));
                found = L::quad_best(found, sums, scales[t]);
            }
            let found = L::quad_values(found);
            for i in 0..(n_queries - first).min(4) {
                best[first + i] = found[i];
            }
        }
        first += 4;
    }
}
