//! A piece of an output tensor: read, widened, merged, encoded.

use super::error::Error;
use super::imatrix::Importances;
use super::plan::{Origin, Runs, Sources, TensorPlan, Update};
use crate::gguf::{self, TensorType};

/// Elements read, encoded and written at a time: 4 MiB as `f32`.
const PIECE_ELEMENTS: usize = 1 << 20;

/// Makes pieces of output tensors, from any thread.
pub(super) struct Encoder<'a> {
    pub sources: &'a Sources,
    pub importances: Option<&'a Importances>,
}

/// Elements `first..first + n_elements` of an output tensor, in whole rows.
pub(super) struct Piece<'a> {
    pub tensor: &'a TensorPlan,
    first: usize,
    n_elements: usize,
}

/// The pieces of a tensor, in order.
pub(super) fn pieces(tensor: &TensorPlan) -> impl Iterator<Item = Piece<'_>> {
    let n_elements: usize = tensor.spec.shape.iter().product();
    let row = tensor.spec.shape.last().copied().unwrap_or(1).max(1);
    let step = (PIECE_ELEMENTS / row).max(1) * row;
    (0..n_elements).step_by(step).map(move |first| Piece {
        tensor,
        first,
        n_elements: step.min(n_elements - first),
    })
}

impl Encoder<'_> {
    /// The bytes of a piece.
    ///
    /// Fails if the source cannot be read, on a weight that is not finite, or on one that the type
    /// cannot hold.
    pub fn encode(&self, piece: &Piece) -> Result<Vec<u8>, Error> {
        let &Piece {
            tensor,
            first,
            n_elements,
        } = piece;
        let source = self.sources.of(tensor.origin);
        let (spec, runs) = (&tensor.spec, tensor.runs);
        if spec.tensor_type == tensor.source_type && tensor.update.is_none() && runs.count == 1 {
            return source.read_bytes(&tensor.source_name, runs.first + first, n_elements);
        }
        let mut values = Vec::with_capacity(n_elements);
        for (first, n_elements) in parts(runs, first, n_elements) {
            source.read(&tensor.source_name, first, n_elements, &mut values)?;
        }
        if let Some(update) = &tensor.update {
            let n_columns = spec.shape.last().copied().unwrap_or(1);
            self.add(update, n_columns, first / n_columns, &mut values)?;
        }
        let mut bytes = Vec::new();
        match self.importance(tensor) {
            Some(importance) => {
                gguf::quantize_rows(spec.tensor_type, &values, importance, &mut bytes)
            }
            None => gguf::quantize(spec.tensor_type, &values, &mut bytes),
        }
        .map_err(|source| Error::NotRepresentable {
            name: spec.name.clone(),
            source,
        })?;
        Ok(bytes)
    }

    /// The importances of a tensor's columns, for the types that heed them.
    fn importance(&self, tensor: &TensorPlan) -> Option<&[f32]> {
        let heeds = [
            TensorType::Q4_0,
            TensorType::Q4_K,
            TensorType::Q5_K,
            TensorType::Q6_K,
        ];
        let importances = self.importances?;
        heeds
            .contains(&tensor.spec.tensor_type)
            .then(|| importances.of(&tensor.spec.name))?
    }

    /// Adds scale B A to rows of a matrix.
    ///
    /// - `values`: `[rows, n_columns]`, the first being row `first_row` of the matrix
    fn add(
        &self,
        update: &Update,
        n_columns: usize,
        first_row: usize,
        values: &mut [f32],
    ) -> Result<(), Error> {
        let (adapters, rank) = (self.sources.of(Origin::Adapters), update.rank);
        let (mut a, mut b) = (Vec::new(), Vec::new());
        adapters.read(&update.a, 0, rank * n_columns, &mut a)?;
        let n_rows = values.len() / n_columns;
        adapters.read(&update.b, first_row * rank, n_rows * rank, &mut b)?;
        for (row, b) in values.chunks_exact_mut(n_columns).zip(b.chunks_exact(rank)) {
            for (a, b) in a.chunks_exact(n_columns).zip(b) {
                let factor = update.scale * b;
                for (value, a) in row.iter_mut().zip(a) {
                    *value += factor * a;
                }
            }
        }
        Ok(())
    }
}

/// Where `first..first + n_elements` of the output lie in the source: first element and number of
/// elements of each part.
fn parts(runs: Runs, first: usize, n_elements: usize) -> impl Iterator<Item = (usize, usize)> {
    let end = first + n_elements;
    (first / runs.run..end.div_ceil(runs.run)).map(move |index| {
        let from = first.max(index * runs.run);
        let to = end.min((index + 1) * runs.run);
        let start = runs.first + index * runs.step + (from - index * runs.run);
        (start, to - from)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_runs_are_the_same_elements_however_they_are_cut() {
        let runs = Runs {
            first: 3,
            run: 4,
            step: 10,
            count: 5,
        };
        let all: Vec<usize> = (0..5)
            .flat_map(|run| (0..4).map(move |i| 3 + 10 * run + i))
            .collect();
        for cut in 0..=20 {
            let both = parts(runs, 0, cut).chain(parts(runs, cut, 20 - cut));
            let found: Vec<usize> = both.flat_map(|(first, n)| first..first + n).collect();
            assert_eq!(found, all, "cut at {cut}");
        }
    }
}
