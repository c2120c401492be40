//! What stands between two products: the last one joins the residual stream, the stream is
//! normalised, and the norm is multiplied by the low-rank factor of the products that follow.
//!
//! ```text
//! s = x + u + (t Bᵀ) scale              u, t: the last product and its low-rank coordinates
//! n = s / sqrt(mean(s²) + eps) * weight
//! returns s and [n | n Aᵀ]
//! ```
//!
//! Letters: M = rows, H = width, R = rank of the update, T = coordinates asked for.

mod host;
#[cfg(test)]
mod tests;

use burn::tensor::Tensor;

use super::{
    Forms, Kernels, LowRank, Weight,
    buffers::Buffers,
    launch::{Kernel, contiguous, split_numbers, spread},
    name::{Name, Suffix, Value, source},
};

/// A product that has yet to join the residual stream.
#[derive(Debug, Clone)]
pub struct Update<'a> {
    /// `[S * M, H]`, or `[S * M, H + R]` with the coordinates of `low_rank`: S matrices to add up
    pub product: Tensor<2>,
    pub low_rank: Option<&'a LowRank>,
}

/// The norm of a layer.
#[derive(Debug, Clone, Copy)]
pub struct AddNorm<'a> {
    /// `[H]`
    pub weight: &'a Tensor<1>,
    pub eps: f64,
    /// `[T, H]`: the factor A of the low-rank updates that follow
    pub coordinates: Option<&'a Weight>,
}

impl AddNorm<'_> {
    /// - `x`: `[M, H]`
    /// - returns: the sum `[M, H]`, and its norm with coordinates `[M, H + T]`
    pub fn run(
        &self,
        kernels: Kernels,
        x: Tensor<2>,
        update: Option<Update>,
    ) -> (Tensor<2>, Tensor<2>) {
        match kernels {
            Kernels::Portable => self.portable(x, update),
            Kernels::Host => {
                host::run(self, &x, update.as_ref()).unwrap_or_else(|| self.portable(x, update))
            }
            Kernels::Gpu(forms) => self
                .fused(&forms, &x, update.as_ref())
                .unwrap_or_else(|| self.portable(x, update)),
        }
    }

    fn portable(&self, x: Tensor<2>, update: Option<Update>) -> (Tensor<2>, Tensor<2>) {
        let width = x.dims()[1];
        let sum = match update {
            None => x,
            Some(Update { product, low_rank }) => {
                let product = added(product, x.dims()[0]);
                let mut sum = x + product.clone().narrow(1, 0, width);
                if let Some(low_rank) = low_rank {
                    let t = product.narrow(1, width, low_rank.rank());
                    let b = low_rank.b.dense().transpose();
                    sum = sum + t.matmul(b).mul_scalar(low_rank.scale);
                }
                sum
            }
        };
        let mean_of_squares = sum.clone().square().mean_dim(1);
        let scale = mean_of_squares.add_scalar(self.eps).sqrt().recip();
        let norm = sum.clone() * scale * self.weight.clone().unsqueeze();
        let norm = match self.coordinates {
            None => norm,
            Some(a) => {
                let t = norm.clone().matmul(a.dense().transpose());
                Tensor::cat(vec![norm, t], 1)
            }
        };
        (sum, norm)
    }

    fn fused(
        &self,
        forms: &Forms,
        x: &Tensor<2>,
        update: Option<&Update>,
    ) -> Option<(Tensor<2>, Tensor<2>)> {
        /// Widest row: it lies in workgroup memory beside a number of each invocation.
        const MAX_WIDTH: usize = 3 << 10;
        let [m, h] = x.dims();
        let rank = update
            .and_then(|update| update.low_rank)
            .map_or(0, LowRank::rank);
        let coordinates = self.coordinates.map_or(0, |a| a.dims()[0]);
        if ![h, rank, coordinates]
            .iter()
            .all(|size| size.is_multiple_of(4))
            || h > MAX_WIDTH
            || m == 0
        {
            return None;
        }
        let mut buffers = Buffers::default();
        buffers.add("x".into(), "vec4<f32>", contiguous(x.clone())?, None);
        buffers.add(
            "weight".into(),
            "vec4<f32>",
            contiguous(self.weight.clone())?,
            None,
        );
        let mut outputs = vec![("n", "f32")];
        let mut shapes = vec![[m, h + coordinates]];
        let mut decoders = Vec::new();
        let mut numbers: Vec<(Name, usize)> = Vec::new();
        let (mut scale, mut slices) = (1.0, 1);
        if let Some(Update { product, low_rank }) = update {
            buffers.add("u".into(), "vec4<f32>", contiguous(product.clone())?, None);
            slices = product.dims()[0] / m;
            outputs.insert(0, ("s", "vec4<f32>"));
            shapes.insert(0, [m, h]);
            if let Some(low_rank) = low_rank {
                scale = low_rank.scale;
                let pieces = buffers.add_weight("b", &low_rank.b)?;
                decoders.push((
                    "fetch_b",
                    buffers.decoders("_b", &pieces, rank, &mut numbers),
                ));
            }
        }
        let mut groups = Vec::new();
        if let Some(a) = self.coordinates {
            let pieces = buffers.add_weight("a", a)?;
            groups = Group::of(pieces.iter().map(|piece| piece.rows));
            decoders.push(("fetch_a", buffers.decoders("_a", &pieces, h, &mut numbers)));
            let mut before = 0;
            for (i, piece) in pieces.iter().enumerate() {
                numbers.push((Name::nth("before_a", i), before));
                before += piece.rows;
            }
        }
        if !buffers.fit(outputs.len()) {
            return None;
        }
        numbers.extend([
            ("m".into(), m),
            ("eps".into(), (self.eps as f32).to_bits() as usize),
            ("h4".into(), h / 4),
            ("n_stride".into(), h + coordinates),
            ("u_stride".into(), h + rank),
            ("slices".into(), slices),
            ("rank4".into(), rank / 4),
            ("update_octets".into(), rank.div_ceil(8)),
        ]);
        let (numbers, info) = split_numbers(numbers);
        let at_once = Group::at_once(groups.len());
        let mut switches = vec![("scale".into(), scale.into())];
        for place in 0..groups.len().next_multiple_of(at_once) {
            // The last batch is filled up with its last group.
            let group = &groups[place.min(groups.len() - 1)];
            switches.extend(group.switches(place / at_once, place % at_once));
        }
        let kernel = Kernel {
            name: "add_norm",
            source: source!("kernel.wgsl"),
            inputs: buffers.names,
            outputs,
            decoders,
            constants: vec![
                // In steps, so that rows of like widths share a shader.
                (
                    "row_room".into(),
                    (h / 4).next_power_of_two().min(MAX_WIDTH / 4),
                ),
                ("rank_room".into(), (rank / 4).next_power_of_two()),
                ("four".into(), 4),
                ("update".into(), usize::from(update.is_some())),
                ("update_rank".into(), usize::from(rank > 0)),
                ("has_coordinates".into(), usize::from(coordinates > 0)),
                ("groups".into(), at_once),
                ("batches".into(), groups.len().div_ceil(at_once)),
            ],
            numbers,
            switches,
            workgroup_size: [forms.norm_width, 1],
        };
        let mut made = kernel.launch(buffers.tensors, &shapes, spread(m as u32), &info);
        let norm = made.pop()?;
        Some((made.pop().unwrap_or_else(|| x.clone()), norm))
    }
}

/// Up to 32 rows of one matrix of A.
struct Group {
    /// The matrix, and its first row.
    piece: usize,
    first: usize,
}

impl Group {
    /// Rows of a whole group.
    const ROWS: usize = 32;
    /// Each takes registers for a block of A.
    const MAX_AT_ONCE: usize = 3;

    /// - `rows`: of each matrix
    fn of(rows: impl Iterator<Item = usize>) -> Vec<Group> {
        rows.enumerate()
            .flat_map(|(piece, rows)| {
                let firsts = (0..rows).step_by(Group::ROWS);
                firsts.map(move |first| Group { piece, first })
            })
            .collect()
    }

    /// How many of `n` are loaded together: as many as can be without filling up.
    fn at_once(n: usize) -> usize {
        let fits = |most: &usize| n.is_multiple_of(*most);
        (1..=Group::MAX_AT_ONCE.min(n))
            .rev()
            .find(fits)
            .filter(|most| *most > 1)
            .unwrap_or(n.clamp(1, Group::MAX_AT_ONCE))
    }

    /// What the shader calls it, as group `at` of a batch.
    fn switches(&self, batch: usize, at: usize) -> [(Name, Value); 2] {
        [
            ("s", Value::Suffix(Suffix::nth("_a", self.piece))),
            ("first", Value::Number(self.first)),
        ]
        .map(|(name, value)| (Name::new(name, Suffix::pair(batch, at)), value))
    }
}

/// The sum of the matrices of `m` rows that follow one another.
fn added(slices: Tensor<2>, m: usize) -> Tensor<2> {
    let [rows, width] = slices.dims();
    match rows / m {
        1 => slices,
        n => slices
            .reshape([n, m * width])
            .sum_dim(0)
            .reshape([m, width]),
    }
}
