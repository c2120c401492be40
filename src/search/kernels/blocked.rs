//! The kernels in blocks, over whatever a lane is on the machine at hand.
//!
//! - One query against many rows: four rows at a time share each load of the query.
//! - Many queries against many tokens: two tokens meet four queries at a time, and the four sums of a
//!   token become one vector, which is scaled and compared at once.
//!
//! What does not fill a lane is added at the end, number by number.

/// Four of something, written out: a loop over four would stay one where size counts.
macro_rules! four {
    (|$i:ident| $one:expr) => {
        [
            {
                const $i: usize = 0;
                $one
            },
            {
                const $i: usize = 1;
                $one
            },
            {
                const $i: usize = 2;
                $one
            },
            {
                const $i: usize = 3;
                $one
            },
        ]
    };
}

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
        pub unsafe fn dots_of_four(query: &[f32], rows: [&[f32]; 4]) -> [f32; 4] {
            let rows = rows.map(<[f32]>::as_ptr);
            // SAFETY: passed on to the caller.
            unsafe {
                let dots =
                    super::blocked::dots_of_four::<$lanes>(query.len(), query.as_ptr(), rows);
                <$lanes>::quad_values(dots)
            }
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
///
/// # Safety
/// As for [`Lanes`]; every pointer has `width` numbers behind it.
#[inline(always)]
pub unsafe fn dots_of_four<L: Lanes>(
    width: usize,
    one: *const f32,
    four: [*const f32; 4],
) -> L::Quad {
    // SAFETY: every pointer has `width` numbers behind it.
    unsafe {
        // Two sums for each row: a processor starts more additions than it finishes in a step.
        let mut even = [L::zero(); 4];
        let mut odd = [L::zero(); 4];
        let mut at = 0;
        while at + 2 * L::WIDTH <= width {
            let (a, b) = (L::load(one.add(at)), L::load(one.add(at + L::WIDTH)));
            even = four!(|I| L::multiply_add(even[I], a, L::load(four[I].add(at))));
            odd = four!(|I| L::multiply_add(odd[I], b, L::load(four[I].add(at + L::WIDTH))));
            at += 2 * L::WIDTH;
        }
        if at + L::WIDTH <= width {
            let a = L::load(one.add(at));
            even = four!(|I| L::multiply_add(even[I], a, L::load(four[I].add(at))));
            at += L::WIDTH;
        }
        let sums = L::sums(four!(|I| L::add(even[I], odd[I])));
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
            sums = four!(|I| L::multiply_add_i16(sums[I], a, L::load_i8(four[I].add(at))));
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
pub trait Tile<L: Lanes, Token>: Copy + Default {
    /// Numbers of a query that are multiplied at once.
    const STEP: usize;
    /// What products are added up in.
    type Sum: Copy;

    /// Products of four queries with two tokens.
    ///
    /// - `queries`: for each whole step that of each of the four
    /// - `rest`: the products of what did not fill a step
    ///
    /// # Safety
    /// As for [`Lanes`]; there are `n_steps` steps behind each pointer.
    unsafe fn products(
        n_steps: usize,
        queries: *const Self,
        tokens: [*const Token; 2],
        rest: Option<[[Self::Sum; 4]; 2]>,
    ) -> [L::Quad; 2];

    /// The product of what did not fill a step.
    fn rest(queries: &[Self], token: &[Token]) -> Self::Sum;
}

impl<L: Lanes> Tile<L, f32> for f32 {
    const STEP: usize = L::WIDTH;
    type Sum = f32;

    #[inline(always)]
    unsafe fn products(
        n_steps: usize,
        queries: *const f32,
        tokens: [*const f32; 2],
        rest: Option<[[f32; 4]; 2]>,
    ) -> [L::Quad; 2] {
        // SAFETY: every load lies inside a step.
        unsafe {
            let (mut a, mut b) = ([L::zero(); 4], [L::zero(); 4]);
            let (mut query, [mut first, mut second]) = (queries, tokens);
            for _ in 0..n_steps {
                let (x, y) = (L::load(first), L::load(second));
                let q = four!(|I| L::load(query.add(I * L::WIDTH)));
                a = four!(|I| L::multiply_add(a[I], q[I], x));
                b = four!(|I| L::multiply_add(b[I], q[I], y));
                query = query.add(4 * L::WIDTH);
                (first, second) = (first.add(L::WIDTH), second.add(L::WIDTH));
            }
            let (a, b) = (L::sums(a), L::sums(b));
            match rest {
                None => [a, b],
                Some([of_a, of_b]) => {
                    [L::quad_add(a, L::quad(of_a)), L::quad_add(b, L::quad(of_b))]
                }
            }
        }
    }

    #[inline(always)]
    fn rest(queries: &[f32], token: &[f32]) -> f32 {
        queries.iter().zip(token).map(|(q, x)| q * x).sum()
    }
}

impl<L: Lanes> Tile<L, i8> for i16 {
    const STEP: usize = 2 * L::WIDTH;
    type Sum = i32;

    #[inline(always)]
    unsafe fn products(
        n_steps: usize,
        queries: *const i16,
        tokens: [*const i8; 2],
        rest: Option<[[i32; 4]; 2]>,
    ) -> [L::Quad; 2] {
        // SAFETY: every load lies inside a step.
        unsafe {
            let step = 2 * L::WIDTH;
            let (mut a, mut b) = ([L::zero_i32(); 4], [L::zero_i32(); 4]);
            let (mut query, [mut first, mut second]) = (queries, tokens);
            for _ in 0..n_steps {
                let (x, y) = (L::load_i8(first), L::load_i8(second));
                let q = four!(|I| L::load_i16(query.add(I * step)));
                a = four!(|I| L::multiply_add_i16(a[I], q[I], x));
                b = four!(|I| L::multiply_add_i16(b[I], q[I], y));
                query = query.add(4 * step);
                (first, second) = (first.add(step), second.add(step));
            }
            match rest {
                None => [L::quad_of_i32(a), L::quad_of_i32(b)],
                // Whole numbers to the end: the sum is rounded once, as in the plain loop.
                Some([of_a, of_b]) => [(a, of_a), (b, of_b)].map(|(lanes, rest)| {
                    let sums = L::sums_i32(lanes);
                    L::quad(std::array::from_fn(|i| (sums[i] + rest[i]) as f32))
                }),
            }
        }
    }

    #[inline(always)]
    fn rest(queries: &[i16], token: &[i8]) -> i32 {
        let product = |(q, x): (&i16, &i8)| i32::from(*q) * i32::from(*x);
        queries.iter().zip(token).map(product).sum()
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
    let n_steps = width / Query::STEP;
    let whole = n_steps * Query::STEP;
    // The four of a tile lie side by side, so that the innermost loop follows one pointer.
    let mut packed = vec![Query::default(); 4 * whole];
    for (four, best) in queries.chunks(4 * width).zip(best.chunks_mut(4)) {
        // Where fewer than four are left, the last one stands in for the missing.
        let query = |i: usize| &four[i.min(best.len() - 1) * width..][..width];
        for (step, to) in packed.chunks_exact_mut(4 * Query::STEP).enumerate() {
            for (i, to) in to.chunks_exact_mut(Query::STEP).enumerate() {
                to.copy_from_slice(&query(i)[step * Query::STEP..][..Query::STEP]);
            }
        }
        // SAFETY: the tokens at `t` and `next` are there, and `packed` holds the steps of four queries.
        unsafe {
            let mut found = L::quad(std::array::from_fn(|i| best[i.min(best.len() - 1)]));
            for t in (0..scales.len()).step_by(2) {
                let next = (t + 1).min(scales.len() - 1);
                let pair = [t, next].map(|t| tokens.as_ptr().add(t * width));
                let rest = (whole < width).then(|| {
                    [t, next].map(|t| {
                        let token = &tokens[t * width + whole..(t + 1) * width];
                        std::array::from_fn(|i| Query::rest(&query(i)[whole..], token))
                    })
                });
                let sums = Query::products(n_steps, packed.as_ptr(), pair, rest);
                found = L::quad_best(found, sums[0], scales[t]);
                found = L::quad_best(found, sums[1], scales[next]);
            }
            let found = L::quad_values(found);
            let n = best.len();
            best.copy_from_slice(&found[..n]);
        }
    }
}
