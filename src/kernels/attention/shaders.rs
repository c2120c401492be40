//! The two WGSL forms, and how they are launched.
//!
//! Letters as in the parent module; S = query heads that a workgroup computes together.

use burn::tensor::Tensor;
use burn_wgpu::CubeBackend;

use super::{Heads, KeyRanges};
use crate::kernels::{
    launch::{Kernel, WorkgroupSize, contiguous, spread},
    name::{Name, Source, source},
};

/// Longest head that the shaders hold in registers.
const MAX_HEAD_DIM: usize = 128;

/// Whether the shaders compute heads of this size.
pub fn fits(head_dim: usize) -> bool {
    head_dim.is_multiple_of(4) && (4..=MAX_HEAD_DIM).contains(&head_dim)
}

/// One lane for one head of four queries: four lanes or eight make a vector of the processor.
pub fn direct(qkv: Tensor<2>, heads: Heads, keys: &KeyRanges) -> Tensor<2> {
    const LANES: usize = 8;
    const QUERIES_OF_A_LANE: usize = 4;
    let fours = heads.head_dim / 4;
    let form = Form {
        source: source!("direct.wgsl"),
        constants: vec![("fours".into(), fours)],
        workgroup_size: [LANES as u32, 1],
        n_queries: LANES * QUERIES_OF_A_LANE,
        n_shared: 1,
    };
    form.launch(qkv, heads, keys)
}

/// One workgroup for 64 rows: as many query heads as share their keys, up to eight, of so many
/// queries.
pub fn tiled(qkv: Tensor<2>, heads: Heads, keys: &KeyRanges) -> Tensor<2> {
    const ROWS: usize = 64;
    const LANES_OF_A_ROW: usize = 8;
    let per_group = heads.n_heads / heads.n_kv_heads;
    let n_shared = (1..=8)
        .rev()
        .find(|n| per_group.is_multiple_of(*n))
        .unwrap_or(1);
    let fours = heads.head_dim / 4;
    let of_a_lane = fours.div_ceil(LANES_OF_A_ROW);
    let form = Form {
        source: source!("tiled.wgsl"),
        constants: vec![
            ("fours".into(), fours),
            ("of_a_lane".into(), of_a_lane),
            ("fours_summed".into(), of_a_lane * LANES_OF_A_ROW),
        ],
        workgroup_size: [128, 1],
        n_queries: ROWS / n_shared,
        n_shared,
    };
    form.launch(qkv, heads, keys)
}

struct Form {
    source: Source,
    constants: Vec<(Name, usize)>,
    workgroup_size: WorkgroupSize,
    /// Most queries of a workgroup.
    n_queries: usize,
    /// Query heads of a workgroup.
    n_shared: usize,
}

impl Form {
    fn launch(self, qkv: Tensor<2>, heads: Heads, keys: &KeyRanges) -> Tensor<2> {
        let n_tokens = qkv.dims()[0];
        let tiles = keys.tiles(self.n_queries);
        let mut tensors: Vec<_> = contiguous(qkv).into_iter().collect();
        tensors.extend(tiles.table.try_into_primitive::<CubeBackend>().ok());
        let kernel = Kernel {
            name: "attention",
            source: self.source,
            inputs: vec![("qkv".into(), "vec4<f32>"), ("tiles".into(), "vec4<u32>")],
            outputs: vec![("y", "vec4<f32>")],
            decoders: Vec::new(),
            constants: self.constants,
            numbers: Vec::new(),
            switches: Vec::new(),
            workgroup_size: self.workgroup_size,
        };
        let [x, y, _] = spread(tiles.n as u32);
        let scale = 1.0 / (heads.head_dim as f32).sqrt();
        let mut y = kernel.launch(
            tensors,
            &[[n_tokens, heads.n_heads * heads.head_dim]],
            [x, y, (heads.n_heads / self.n_shared) as u32],
            &[
                tiles.n as u32,
                x,
                heads.n_heads as u32,
                heads.n_kv_heads as u32,
                scale.to_bits(),
                u32::from(keys.is_causal()),
                self.n_shared as u32,
            ],
        );
        y.remove(0)
    }
}
