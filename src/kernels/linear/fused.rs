//! Chooses a kernel for a product and launches it.

use burn::tensor::Tensor;

use crate::{
    gguf::TensorType,
    kernels::{
        Weight,
        buffers::{Buffers, Piece},
        forms::{Cut, Forms},
        launch::{Kernel, contiguous, split_numbers},
        name::{Name, Value, source},
        packed::{BLOCK, Form, PANEL_ROWS, row_words},
    },
};

use super::{Finish, Linear};

/// Columns that one piece (or, after [`Finish::SiluMul`], a gate's and its up's) decodes.
struct Span {
    rows: usize,
    /// Columns of y before it.
    before: usize,
    decoders: [usize; 2],
    has_low_rank: bool,
}

/// Pairs of columns, and invocations along M, of a workgroup with tiles.
const TILE_PAIRS: usize = 64;
const TILE_ROWS: usize = 8;
/// Most rows of an invocation.
const MAX_TILE_ROWS: usize = 8;
/// Fewer make too little of the weights that are decoded.
const MIN_TILE_ROWS: u32 = 2;
/// Workgroups that fill a large graphics card; fewer leave a part of it idle.
const MANY_WORKGROUPS: usize = 512;
/// Slices of K that whoever adds them up still reads in passing.
pub const MAX_SLICES: usize = 8;
/// Most values of a product in several slices: those of so many workgroups' tiles.
pub const MAX_SLICED_VALUES: usize = MANY_WORKGROUPS * 2 * TILE_PAIRS * TILE_ROWS * MAX_TILE_ROWS;
/// Blocks of 32 in a slice: a workgroup has to be worth its start.
const MIN_SLICE_BLOCKS: usize = 8;

/// Launches the product, unless its shape fits no kernel.
///
/// - `in_slices`: whether K may be cut
/// - returns: `[slices * M, columns]`
pub fn run(linear: &Linear, forms: &Forms, x: &Tensor<2>, in_slices: bool) -> Option<Tensor<2>> {
    let [m, width] = x.dims();
    let [n, k] = linear.weight.dims();
    let parts = linear.weight.part_rows();
    let rank = linear.low_rank.map_or(0, |update| update.rank());
    if ![k, width, rank].iter().all(|size| size.is_multiple_of(4)) || m == 0 {
        return None;
    }

    let mut buffers = Buffers::default();
    buffers.add("x".into(), "vec4<f32>", contiguous(x.clone())?, None);
    let mut pieces = buffers.add_weight("w", linear.weight)?;
    let n_pieces = pieces.len();
    if let Some(appended) = linear.appended {
        pieces.extend(buffers.add_weight("a", appended)?);
    }
    let mut spans = Vec::new();
    let mut before = 0;
    let is_silu = matches!(linear.finish, Finish::SiluMul);
    if is_silu {
        // The pieces of the gate lie like those of up: they are of one shape.
        let (gate, up) = split_pair(pieces, n / 2, k)?;
        for (i, piece) in gate.iter().enumerate() {
            spans.push(Span {
                rows: piece.rows,
                before,
                decoders: [i, gate.len() + i],
                has_low_rank: rank > 0,
            });
            before += piece.rows;
        }
        pieces = gate.into_iter().chain(up).collect();
    } else {
        for (i, piece) in pieces.iter().enumerate() {
            spans.push(Span {
                rows: piece.rows,
                before,
                decoders: [i, i],
                has_low_rank: rank > 0 && i < n_pieces,
            });
            before += piece.rows;
        }
    }
    let columns = before;
    let mut numbers: Vec<(Name, usize)> = Vec::new();
    let mut decoders = vec![("fetch", buffers.decoders("_", &pieces, k, &mut numbers))];
    if let Some(update) = linear.low_rank {
        let pieces = buffers.add_weight("b", &update.b)?;
        decoders.push((
            "fetch_b",
            buffers.decoders("_b", &pieces, rank, &mut numbers),
        ));
    }
    if let Some(bias) = linear.bias {
        buffers.add("bias".into(), "f32", contiguous(bias.clone())?, None);
    }
    let (mut head_dim, mut n_rotated) = (2, 0);
    if let Finish::Rotate {
        table,
        n_rotated: rotated,
    } = linear.finish
    {
        head_dim = table.head_dim();
        n_rotated = rotated;
        buffers.add("rope".into(), "vec2<f32>", contiguous(table.turns())?, None);
        if spans.iter().any(|span| !span.rows.is_multiple_of(head_dim)) {
            return None;
        }
    }
    if !buffers.fit(1) {
        return None;
    }

    let is_plain = matches!(linear.finish, Finish::Plain);
    let columns_per_pair = if is_plain { 2 } else { 1 };
    let pairs_of = |rows: usize| match linear.finish {
        Finish::Rotate { .. } => rows / 2,
        _ => rows,
    };
    // Runs of a workgroup of 128 columns.
    let runs = |pairs: usize| {
        let runs = |span: &Span| pairs_of(span.rows).div_ceil(pairs * columns_per_pair);
        spans.iter().map(runs).sum::<usize>()
    };
    let mut cut = match forms.product(m, n * k) {
        Cut::Tiles { rows, half } => Cut::Tiles {
            rows: match in_slices {
                true => rows,
                // Smaller tiles, where larger ones would be too few.
                false => fitting_rows(rows, m, runs(TILE_PAIRS)),
            },
            // Numbers as they are may lie beyond a half's reach.
            half: half && is_within_halves(linear.weight),
        },
        cut => cut,
    };
    if let Cut::Registers {
        rows,
        pairs,
        width,
        lanes,
    } = cut
        && rank > 0
        && matches!(linear.finish, Finish::Rotate { .. })
        && !parts
            .iter()
            .all(|rows| pairs_of(*rows).is_multiple_of(pairs as usize))
    {
        // The columns of an invocation share their coordinates.
        let _ = pairs;
        cut = Cut::Registers {
            rows,
            pairs: 1,
            width,
            lanes,
        };
    }
    let (rows, pairs, workgroup_size, lanes, half) = match cut {
        Cut::Registers {
            rows,
            pairs,
            width,
            lanes,
        } => (rows, pairs, [width, lanes], lanes, false),
        Cut::Tiles { rows, half } => (rows, TILE_PAIRS as u32, [16, 8], 1, half),
    };
    let (rows, pairs, lanes) = (rows as usize, pairs as usize, lanes as usize);

    numbers.extend([
        ("m".into(), m),
        ("k4".into(), k / 4),
        ("kb".into(), k.div_ceil(32)),
        ("stride4".into(), width / 4),
        ("columns".into(), columns),
        ("biased".into(), linear.bias.map_or(0, |_| n)),
        ("head".into(), head_dim),
        ("half".into(), head_dim / 2),
        ("rotated".into(), n_rotated),
        ("second_offset".into(), if is_silu { columns } else { 0 }),
        ("rank4".into(), rank / 4),
        ("octets".into(), rank.div_ceil(8)),
        ("low_rank_columns".into(), n),
    ]);
    let mut constants: Vec<(Name, usize)> = vec![
        ("pairs".into(), pairs),
        ("rows".into(), rows),
        ("four".into(), 4),
        ("copies".into(), rows.div_ceil(4)),
        ("lanes".into(), usize::from(lanes > 1)),
        ("half".into(), usize::from(half)),
        ("spans".into(), spans.len()),
        ("ragged".into(), usize::from(!k.is_multiple_of(32))),
        ("has_bias".into(), usize::from(linear.bias.is_some())),
        ("plain".into(), usize::from(is_plain)),
        ("rotate".into(), usize::from(n_rotated > 0)),
        ("silu".into(), usize::from(is_silu)),
        ("rank".into(), usize::from(rank > 0)),
        ("parts".into(), parts.len()),
        ("x_tile".into(), rows * 8 * 5),
        (
            "partial_sums".into(),
            match cut {
                Cut::Tiles { .. } => rows * 4,
                Cut::Registers { .. } if lanes > 1 => {
                    rows * pairs * lanes * workgroup_size[0] as usize
                }
                Cut::Registers { .. } => rows * pairs,
            },
        ),
    ];
    let mut end = 0;
    for (i, rows) in parts.iter().enumerate() {
        end += rows;
        numbers.push((Name::nth("part_end_", i), end));
    }
    let mut switches: Vec<(Name, Value)> = vec![
        ("columns_text".into(), Value::Text(source!("columns.wgsl"))),
        (
            "scale".into(),
            linear.low_rank.map_or(1.0, |update| update.scale).into(),
        ),
    ];
    let mut run = 0;
    for (s, span) in spans.iter().enumerate() {
        let end = run + pairs_of(span.rows).div_ceil(pairs * columns_per_pair);
        let [first, second] = span.decoders;
        for (name, value) in [
            ("first_run_of_", run),
            ("end_run_of_", end),
            ("rows_of_", span.rows),
            ("before_of_", span.before),
        ] {
            numbers.push((Name::nth(name, s), value));
        }
        for (name, value) in [
            ("low_rank_", span.has_low_rank),
            ("same_decoder_", first == second),
        ] {
            constants.push((Name::nth(name, s), usize::from(value)));
        }
        for (name, decoder) in [("first_decoder_", first), ("second_decoder_", second)] {
            switches.push((Name::nth(name, s), Value::Number(decoder)));
        }
        run = end;
    }

    let (source, [columns_of_workgroups, rows_of_workgroups], can_slice) = match cut {
        Cut::Registers { width, lanes, .. } => (
            source!("registers.wgsl"),
            [run.div_ceil(width as usize), m.div_ceil(rows)],
            lanes > 1,
        ),
        Cut::Tiles { .. } => (
            source!("tiles.wgsl"),
            [run, m.div_ceil(rows * TILE_ROWS)],
            true,
        ),
    };
    let blocks = k.div_ceil(BLOCK);
    let n_slices = match in_slices && can_slice {
        true => (MANY_WORKGROUPS / (columns_of_workgroups * rows_of_workgroups))
            .min(blocks / MIN_SLICE_BLOCKS)
            .clamp(1, MAX_SLICES),
        false => 1,
    };
    let slice_blocks = blocks.div_ceil(n_slices);
    let n_slices = blocks.div_ceil(slice_blocks);
    numbers.push(("slice_blocks".into(), slice_blocks));
    let workgroups = [columns_of_workgroups, rows_of_workgroups, n_slices].map(|n| n as u32);
    let (numbers, info) = split_numbers(numbers);
    let kernel = Kernel {
        name: "linear",
        source,
        inputs: buffers.names,
        outputs: vec![("y", "f32")],
        decoders,
        constants,
        numbers,
        switches,
        workgroup_size,
    };
    kernel
        .launch(
            buffers.tensors,
            &[[n_slices * m, columns]],
            workgroups,
            &info,
        )
        .pop()
}

/// Rows of an invocation's tile that leave enough workgroups for a card.
fn fitting_rows(most: u32, m: usize, runs: usize) -> u32 {
    let workgroups = |rows: u32| m.div_ceil(rows as usize * TILE_ROWS) * runs;
    let mut rows = most;
    while rows > MIN_TILE_ROWS && workgroups(rows) < MANY_WORKGROUPS / 2 {
        rows /= 2;
    }
    rows
}

/// Whether a half holds every number of the matrix, to its eleven bits: so do blocks, whose scales
/// are halves.
fn is_within_halves(weight: &Weight) -> bool {
    match weight {
        Weight::Packed(matrices) => matrices
            .iter()
            .all(|matrix| !matches!(matrix.tensor_type, TensorType::F32 | TensorType::BF16)),
        Weight::Dense(_) | Weight::Host(_) => false,
    }
}

/// The pieces of the first `n` rows and those of the rest, if they lie alike.
fn split_pair(pieces: Vec<Piece>, n: usize, k: usize) -> Option<(Vec<Piece>, Vec<Piece>)> {
    let (mut first, mut second) = (Vec::new(), Vec::new());
    let mut before = 0;
    for piece in pieces {
        let end = before + piece.rows;
        if end <= n {
            first.push(piece);
        } else if before >= n {
            second.push(piece);
        } else {
            // One piece holds both: whole panels of the first.
            let Form::Panels {
                tensor_type,
                first: start,
            } = piece.form
            else {
                return None;
            };
            let rows = n - before;
            let panel = row_words(tensor_type, k) * PANEL_ROWS / 4;
            let middle = start + rows / PANEL_ROWS * panel;
            let buffer = piece.buffer;
            let form = |first| Form::Panels { tensor_type, first };
            first.push(Piece {
                form: form(start),
                rows,
                buffer,
            });
            second.push(Piece {
                form: form(middle),
                rows: piece.rows - rows,
                buffer,
            });
        }
        before = end;
    }
    let rows = |pieces: &[Piece]| pieces.iter().map(|piece| piece.rows).collect::<Vec<_>>();
    (rows(&first) == rows(&second)).then_some((first, second))
}
