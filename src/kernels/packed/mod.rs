//! Quantised matrices on the graphics device, in about the bytes of their file.
//!
//! Letters: N = rows, K = columns.

mod decoder;
mod layout;
mod repack;
#[cfg(test)]
pub(crate) mod tests;

use burn::tensor::{Int, Tensor, TensorData};

use crate::gguf::TensorType;

use super::{
    launch::{Kernel, primitive, split_numbers, spread},
    name::{Name, Suffix, source},
};

pub use decoder::{COMMON, Decoder, Form};
pub use layout::{BLOCK, PANEL_ROWS, padded_rows, row_words};
pub use repack::Packer;

/// Bytes of one binding that every WebGPU device offers: longer matrices are split by rows.
pub const MAX_PART_BYTES: usize = 128 << 20;

/// A matrix `[N, K]`, its rows in one part or, where it is too long for a binding, in several.
#[derive(Debug, Clone)]
pub struct Packed {
    pub parts: Vec<Part>,
    pub tensor_type: TensorType,
    /// `[N, K]`
    pub shape: [usize; 2],
}

/// Some rows of a matrix, in panels of planes.
#[derive(Debug, Clone)]
pub struct Part {
    /// The buffer; other matrices may lie in it too.
    pub words: Tensor<1, Int>,
    /// Tells buffers apart.
    pub buffer: usize,
    /// First word, over four.
    pub first: usize,
    pub n_rows: usize,
}

/// Rows that fit one binding: whole panels.
pub fn rows_per_part(tensor_type: TensorType, k: usize) -> usize {
    let panel_bytes = row_words(tensor_type, k) * PANEL_ROWS * size_of::<u32>();
    (MAX_PART_BYTES / panel_bytes).max(1) * PANEL_ROWS
}

impl Packed {
    /// The whole matrix in f32: `[N, K]`
    pub fn dense(&self) -> Tensor<2> {
        let rows: Vec<u32> = (0..self.shape[0] as u32).collect();
        self.rows(&rows)
    }

    /// Some of its rows in f32, straight from the packed blocks.
    ///
    /// - `rows`: each below N
    /// - returns: `[rows.len(), K]`
    pub fn rows(&self, rows: &[u32]) -> Tensor<2> {
        // Eight buffers fit one launch: parts, row numbers, result and the launch's own numbers.
        const PARTS: usize = 5;
        let mut before = 0;
        let mut gathered = Vec::new();
        // Which place of the result each gathered row takes.
        let mut places = Vec::new();
        for group in self.parts.chunks(PARTS) {
            let n_rows: usize = group.iter().map(|part| part.n_rows).sum();
            let here = before..before + n_rows as u32;
            let mine = rows
                .iter()
                .enumerate()
                .filter(|(_, row)| here.contains(row));
            let (at, of_group): (Vec<i32>, Vec<i32>) = mine
                .map(|(place, row)| (place as i32, (row - before) as i32))
                .unzip();
            if !of_group.is_empty() {
                gathered.push(self.gather(group, of_group));
                places.extend(at);
            }
            before = here.end;
        }
        match gathered.len() {
            1 => gathered.remove(0),
            _ => {
                let mut order = vec![0i32; places.len()];
                for (from, place) in places.iter().enumerate() {
                    order[*place as usize] = from as i32;
                }
                let all = Tensor::cat(gathered, 0);
                let order = Tensor::from_data(TensorData::new(order, [rows.len()]), &all.device());
                all.select(0, order)
            }
        }
    }

    fn gather(&self, parts: &[Part], rows: Vec<i32>) -> Tensor<2> {
        const WORKGROUP: [u32; 2] = [64, 1];
        let k = self.shape[1];
        let shape = [rows.len(), k];
        let n_octets = shape[0] * k.div_ceil(8);
        let mut numbers: Vec<(Name, usize)> = vec![("n_octets".into(), n_octets), ("k".into(), k)];
        let mut decoders = Vec::new();
        let mut inputs = Vec::new();
        for (i, part) in parts.iter().enumerate() {
            let suffix = Suffix::nth("_", i);
            let buffer = Name::nth("w", i);
            let form = part.form(self.tensor_type);
            for (name, value) in form.numbers(part.n_rows, k) {
                numbers.push((Name::new(name, suffix), value));
            }
            inputs.push((buffer, "vec4<u32>"));
            decoders.push(Decoder {
                suffix,
                buffer,
                tensor_type: form.tensor_type(),
            });
        }
        let mut tensors: Vec<_> = parts.iter().map(|part| part.words.clone()).collect();
        inputs.push(("rows".into(), "u32"));
        tensors.push(Tensor::from_data(
            TensorData::new(rows, [shape[0]]),
            &tensors[0].device(),
        ));
        let (numbers, info) = split_numbers(numbers);
        let kernel = Kernel {
            name: "gather",
            source: source!("rows.wgsl"),
            inputs,
            outputs: vec![("y", "f32")],
            decoders: vec![("fetch", decoders)],
            constants: Vec::new(),
            numbers,
            switches: Vec::new(),
            workgroup_size: WORKGROUP,
        };
        let mut y = kernel.launch(
            tensors.into_iter().filter_map(primitive).collect(),
            &[shape],
            spread((n_octets as u32).div_ceil(WORKGROUP[0])),
            &info,
        );
        y.remove(0)
    }
}

impl Part {
    /// How a shader sees it.
    pub fn form(&self, tensor_type: TensorType) -> Form {
        Form::Panels {
            tensor_type,
            first: self.first,
        }
    }
}
