//! Which type each matrix is stored in.

use crate::gguf::TensorType;

/// How the large matrices are stored; the names are ggml's.
#[allow(non_camel_case_types)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dtype {
    /// As in the source, byte for byte.
    Keep,
    /// 32-bit floating point.
    F32,
    /// 16-bit floating point.
    F16,
    /// The upper half of `F32`.
    Bf16,
    /// 8-bit blocks.
    Q8_0,
    /// 6-bit super-blocks.
    Q6_K,
    /// 5-bit super-blocks; what loses most where it is coarse in 6 bits.
    Q5_K_M,
    /// 5-bit super-blocks.
    Q5_K,
    /// 4-bit super-blocks; what loses most where it is coarse in 6 bits.
    Q4_K_M,
    /// 4-bit super-blocks.
    Q4_K,
    /// 4-bit blocks.
    Q4_0,
}

impl Dtype {
    /// Every choice.
    pub const ALL: [Dtype; 11] = [
        Dtype::Keep,
        Dtype::F32,
        Dtype::F16,
        Dtype::Bf16,
        Dtype::Q8_0,
        Dtype::Q6_K,
        Dtype::Q5_K_M,
        Dtype::Q5_K,
        Dtype::Q4_K_M,
        Dtype::Q4_K,
        Dtype::Q4_0,
    ];

    /// The name on the command line and in `model.json`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Dtype::Keep => "keep",
            Dtype::F32 => "f32",
            Dtype::F16 => "f16",
            Dtype::Bf16 => "bf16",
            Dtype::Q8_0 => "q8_0",
            Dtype::Q6_K => "q6_k",
            Dtype::Q5_K_M => "q5_k_m",
            Dtype::Q5_K => "q5_k",
            Dtype::Q4_K_M => "q4_k_m",
            Dtype::Q4_K => "q4_k",
            Dtype::Q4_0 => "q4_0",
        }
    }

    /// The type that most matrices have.
    ///
    /// - `stored`: that of the tensor in the source
    const fn tensor_type(self, stored: TensorType) -> TensorType {
        match self {
            Dtype::Keep => stored,
            Dtype::F32 => TensorType::F32,
            Dtype::F16 => TensorType::F16,
            Dtype::Bf16 => TensorType::BF16,
            Dtype::Q8_0 => TensorType::Q8_0,
            Dtype::Q6_K => TensorType::Q6_K,
            Dtype::Q5_K_M | Dtype::Q5_K => TensorType::Q5_K,
            Dtype::Q4_K_M | Dtype::Q4_K => TensorType::Q4_K,
            Dtype::Q4_0 => TensorType::Q4_0,
        }
    }

    /// The type of one tensor.
    ///
    /// - `name`: llama.cpp's
    /// - `stored`: its type in the source
    /// - `n_layers`: of the model that the tensor is of
    ///
    /// Vectors are kept in F32. Rows that are not whole super-blocks fall back to the blocks of 32
    /// that llama.cpp takes instead, and those that are not even whole blocks to F16.
    pub(super) fn of_tensor(
        self,
        name: &str,
        shape: &[usize],
        stored: TensorType,
        n_layers: usize,
    ) -> TensorType {
        let row = match shape {
            [] | [_] => return TensorType::F32,
            [.., row] => *row,
        };
        let is_mixture = matches!(self, Dtype::Q4_K_M | Dtype::Q5_K_M);
        let wanted = match is_mixture && is_delicate(name, n_layers) {
            true => TensorType::Q6_K,
            false => self.tensor_type(stored),
        };
        let fits = |kind: &TensorType| row.is_multiple_of(kind.block_elements());
        [wanted, smaller_blocks(wanted), TensorType::F16]
            .into_iter()
            .find(fits)
            .unwrap_or(TensorType::F16)
    }

    /// llama.cpp's number for "mostly this type", the key `general.file_type`; `None` where the
    /// source's own is kept.
    pub(super) const fn file_type(self) -> Option<u32> {
        Some(match self {
            Dtype::Keep => return None,
            Dtype::F32 => 0,
            Dtype::F16 => 1,
            Dtype::Bf16 => 32,
            Dtype::Q8_0 => 7,
            Dtype::Q6_K => 18,
            Dtype::Q5_K_M => 17,
            Dtype::Q5_K => 16,
            Dtype::Q4_K_M => 15,
            Dtype::Q4_K => 14,
            Dtype::Q4_0 => 2,
        })
    }

    /// How the small low-rank matrices are stored beside matrices of this type.
    pub(super) const fn small(self) -> Dtype {
        match self {
            Dtype::F32 | Dtype::Keep => self,
            _ => Dtype::F16,
        }
    }
}

/// What llama.cpp's mixtures give more bits: the embedding, which is also its output matrix, and in
/// the first and last eighth of the layers and every third between them what the result hangs on
/// most (`llama_tensor_get_type`, `use_more_bits`).
fn is_delicate(name: &str, n_layers: usize) -> bool {
    if name == "token_embd.weight" {
        return true;
    }
    let mut parts = name.split('.');
    let (Some("blk"), Some(layer), Some("attn_v" | "ffn_down")) =
        (parts.next(), parts.next(), parts.next())
    else {
        return false;
    };
    let Ok(layer) = layer.parse::<usize>() else {
        return false;
    };
    let eighth = n_layers / 8;
    layer < eighth || layer >= 7 * n_layers / 8 || (layer - eighth) % 3 == 2
}

/// The blocks of 32 in place of super-blocks, as llama.cpp chooses them.
const fn smaller_blocks(wanted: TensorType) -> TensorType {
    match wanted {
        TensorType::Q4_K => TensorType::Q5_0,
        TensorType::Q5_K => TensorType::Q5_1,
        TensorType::Q6_K => TensorType::Q8_0,
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(dtype: Dtype, name: &str, shape: &[usize]) -> TensorType {
        dtype.of_tensor(name, shape, TensorType::BF16, 36)
    }

    #[test]
    fn the_mixture_of_36_layers_has_the_types_of_the_published_file() {
        let delicate = |part: &str| -> Vec<usize> {
            let six_bits = |layer: &usize| {
                let name = format!("blk.{layer}.{part}.weight");
                of(Dtype::Q4_K_M, &name, &[256, 2048]) == TensorType::Q6_K
            };
            (0..36).filter(six_bits).collect()
        };
        // 434 tensors of 1930 MB have these in six bits.
        let expected = [
            0, 1, 2, 3, 6, 9, 12, 15, 18, 21, 24, 27, 30, 31, 32, 33, 34, 35,
        ];
        assert_eq!(delicate("attn_v"), expected);
        assert_eq!(delicate("ffn_down"), expected);
        assert!(delicate("attn_q").is_empty());
        let embedding = of(Dtype::Q4_K_M, "token_embd.weight", &[151_936, 2048]);
        assert_eq!(embedding, TensorType::Q6_K);
        let embedding = of(Dtype::Q4_K, "token_embd.weight", &[151_936, 2048]);
        assert_eq!(embedding, TensorType::Q4_K);
    }

    #[test]
    fn rows_that_are_not_whole_blocks_get_smaller_ones() {
        for (dtype, row, needed) in [
            (Dtype::Q4_K, 256, TensorType::Q4_K),
            (Dtype::Q4_K, 352, TensorType::Q5_0),
            (Dtype::Q5_K, 352, TensorType::Q5_1),
            (Dtype::Q6_K, 352, TensorType::Q8_0),
            (Dtype::Q4_K, 108, TensorType::F16),
            (Dtype::Q8_0, 108, TensorType::F16),
            (Dtype::Keep, 108, TensorType::BF16),
        ] {
            assert_eq!(
                of(dtype, "mm.0.weight", &[4, row]),
                needed,
                "{dtype:?} {row}"
            );
        }
        assert_eq!(of(Dtype::Q4_K, "mm.0.bias", &[256]), TensorType::F32);
    }
}
