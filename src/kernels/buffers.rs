//! The buffers that a launch binds: weights that share one are bound once.

use burn_wgpu::CubeTensor;

use super::{
    Weight,
    launch::{contiguous, primitive},
    name::{Name, Suffix},
    packed::{Decoder, Form, PANEL_ROWS, row_words},
};

/// Storage buffers of one launch that every WebGPU device offers.
const MAX_BUFFERS: usize = 8;

/// Rows of a matrix that lie together, and where.
pub struct Piece {
    pub form: Form,
    pub rows: usize,
    /// Place in the list of buffers.
    pub buffer: usize,
}

/// The buffers of a launch, each once.
#[derive(Default)]
pub struct Buffers {
    pub tensors: Vec<CubeTensor>,
    /// Names and element types of the bindings.
    pub names: Vec<(Name, &'static str)>,
    /// Number that tells packed buffers apart, for those that are.
    keys: Vec<Option<usize>>,
}

impl Buffers {
    /// Adds a buffer, unless it is there: only those with a key are looked for.
    ///
    /// - returns: its place
    pub fn add(
        &mut self,
        name: Name,
        element: &'static str,
        tensor: CubeTensor,
        key: Option<usize>,
    ) -> usize {
        if let Some(known) = self
            .keys
            .iter()
            .position(|known| key.is_some() && *known == key)
        {
            return known;
        }
        self.tensors.push(tensor);
        self.names.push((name, element));
        self.keys.push(key);
        self.tensors.len() - 1
    }

    /// Adds what holds a weight; pieces that continue one another are joined.
    pub fn add_weight(&mut self, name: &'static str, weight: &Weight) -> Option<Vec<Piece>> {
        let mut pieces: Vec<Piece> = Vec::new();
        match weight {
            Weight::Dense(parts) => {
                for part in parts {
                    let [rows, k] = part.dims();
                    if !k.is_multiple_of(4) {
                        return None;
                    }
                    let binding = Name::nth(name, self.tensors.len());
                    let buffer = self.add(binding, "vec4<u32>", contiguous(part.clone())?, None);
                    let form = Form::Dense;
                    pieces.push(Piece { form, rows, buffer });
                }
            }
            Weight::Packed(matrices) => {
                for matrix in matrices {
                    let (k, tensor_type) = (matrix.shape[1], matrix.tensor_type);
                    for part in &matrix.parts {
                        let binding = Name::nth(name, self.tensors.len());
                        let words = primitive(part.words.clone())?;
                        let buffer = self.add(binding, "vec4<u32>", words, Some(part.buffer));
                        let (form, rows) = (part.form(tensor_type), part.n_rows);
                        match pieces.last_mut() {
                            Some(last) if last.buffer == buffer && continues(last, &form, k) => {
                                last.rows += rows;
                            }
                            _ => pieces.push(Piece { form, rows, buffer }),
                        }
                    }
                }
            }
            Weight::Host(_) => return None,
        }
        Some(pieces)
    }

    /// How shaders see the pieces of a matrix of `k` columns; their numbers are added.
    ///
    /// - `letters`: of what ends their names
    pub fn decoders(
        &self,
        letters: &'static str,
        pieces: &[Piece],
        k: usize,
        numbers: &mut Vec<(Name, usize)>,
    ) -> Vec<Decoder> {
        let mut decoders = Vec::with_capacity(pieces.len());
        for (i, piece) in pieces.iter().enumerate() {
            let suffix = Suffix::nth(letters, i);
            for (name, value) in piece.form.numbers(piece.rows, k) {
                numbers.push((Name::new(name, suffix), value));
            }
            decoders.push(Decoder {
                suffix,
                buffer: self.names[piece.buffer].0,
                tensor_type: piece.form.tensor_type(),
            });
        }
        decoders
    }
}

impl Buffers {
    /// Whether a device can bind all of them, `n_outputs` more, and the launch's own numbers.
    pub fn fit(&self, n_outputs: usize) -> bool {
        self.tensors.len() + n_outputs < MAX_BUFFERS
    }
}

/// Whether a part goes on where a piece of the same buffer ends.
fn continues(piece: &Piece, next: &Form, k: usize) -> bool {
    match (&piece.form, next) {
        (
            Form::Panels { tensor_type, first },
            Form::Panels {
                tensor_type: next_type,
                first: next_first,
            },
        ) => {
            let panel = row_words(*tensor_type, k) * PANEL_ROWS / 4;
            tensor_type == next_type
                && piece.rows.is_multiple_of(PANEL_ROWS)
                && first + piece.rows / PANEL_ROWS * panel == *next_first
        }
        _ => false,
    }
}
