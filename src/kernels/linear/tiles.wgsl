//# if half
enable f16;
//# end
// linear, in tiles: y = finish(x · Wᵀ + bias + t · Bᵀ), for graphics cards and many rows.
//   x [M, K + parts * R]: numbers and low-rank coordinates t · W [N, K], B [N, R]: packed or f32
//   bias [N] · rope [M, D / 2]: cosine and sine · y [M, COLUMNS]
// A workgroup of 16 x 8 makes 8 ROWS x 128 outputs, an invocation ROWS x 8 in registers. Each step
// decodes 128 x 16 weights and copies 8 ROWS x 16 inputs to workgroup memory (15 KiB at ROWS = 8),
// every number once per workgroup; rows there are five vectors apart, so that neighbouring
// invocations meet different banks. At ROWS = 8 a step reads 64 vectors per invocation for 1,024
// multiply-adds. With HALF the decoded weights lie there in halves, a quarter fewer bytes to read;
// inputs stay in f32, since a model's largest activations are beyond a half, and so do the sums.
// Workgroups along z make slices of K, which lie one after the other in y.
{{ bindings }}
{{ decoders }}
{{ columns_text }}
const ROWS: u32 = {{ rows }}u;
const PITCH: u32 = 5u;
var<workgroup> xs: array<vec4<f32>, {{ x_tile }}>;
//# if half
var<workgroup> ws: array<vec4<f16>, 640>;
//# end
//# if !half
var<workgroup> ws: array<vec4<f32>, 640>;
//# end

@compute @workgroup_size({{ workgroup_x }}, {{ workgroup_y }}, 1)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
  let run = group.x;
  let m0 = group.y * 8u * ROWS;
  let tx = local.x; let ty = local.y;
  let l = ty * 16u + tx;
//# for i in rows
//# for j in four
  var a$i_$j = 0.0; var b$i_$j = 0.0;
//# end
//# end
  // The row of weights that this invocation decodes.
  let is_second = l >= 64u;
  var column = 0u;
//# for s in spans
  if (run >= {{ first_run_of_$s }}u && run < {{ end_run_of_$s }}u) {
    let pair = pair_of(run - {{ first_run_of_$s }}u, l & 63u);
    column = min(select(pair.first, pair.second, is_second), {{ rows_of_$s }}u - 1u);
  }
//# end
  let begin = group.z * {{ slice_blocks }}u * 2u;
  let end = min((group.z + 1u) * {{ slice_blocks }}u, {{ kb }}u) * 2u;
  let stride = {{ stride4 }}u;
  let last = {{ m }}u - 1u;
//# for s in spans
  var first_block$s: Block_{{ first_decoder_$s }};
//# if !same_decoder_$s
  var second_block$s: Block_{{ second_decoder_$s }};
//# end
//# end
//# for c in copies
  let row$c = min(m0 + ((l + 128u * $cu) >> 2u), last) * stride + (l & 3u);
  var input$c = vec4<f32>(0.0);
//# end
  // What a step needs is on its way while the step before it multiplies.
  for (var step = begin; step <= end; step++) {
    let o = (~step & 1u) * 2u;
    var even: Octet; var odd: Octet;
//# for s in spans
    if (run >= {{ first_run_of_$s }}u && run < {{ end_run_of_$s }}u) {
//# if same_decoder_$s
      even = octet_{{ first_decoder_$s }}(first_block$s, o);
      odd = octet_{{ first_decoder_$s }}(first_block$s, o + 1u);
//# end
//# if !same_decoder_$s
      if (is_second) {
        even = octet_{{ second_decoder_$s }}(second_block$s, o);
        odd = octet_{{ second_decoder_$s }}(second_block$s, o + 1u);
      } else {
        even = octet_{{ first_decoder_$s }}(first_block$s, o);
        odd = octet_{{ first_decoder_$s }}(first_block$s, o + 1u);
      }
//# end
    }
//# end
    workgroupBarrier();
//# if half
    ws[l * PITCH] = vec4<f16>(even.low);
    ws[l * PITCH + 1u] = vec4<f16>(even.high);
    ws[l * PITCH + 2u] = vec4<f16>(odd.low);
    ws[l * PITCH + 3u] = vec4<f16>(odd.high);
//# end
//# if !half
    ws[l * PITCH] = even.low;
    ws[l * PITCH + 1u] = even.high;
    ws[l * PITCH + 2u] = odd.low;
    ws[l * PITCH + 3u] = odd.high;
//# end
//# for c in copies
    if (l + 128u * $cu < 32u * ROWS) { xs[((l + 128u * $cu) >> 2u) * PITCH + (l & 3u)] = input$c; }
//# end
    workgroupBarrier();
    let ahead = min(step, end - 1u);
//# for s in spans
    if (run >= {{ first_run_of_$s }}u && run < {{ end_run_of_$s }}u) {
//# if same_decoder_$s
      first_block$s = load_{{ first_decoder_$s }}(row_{{ first_decoder_$s }}(column), ahead >> 1u);
//# end
//# if !same_decoder_$s
      if (is_second) {
        second_block$s = load_{{ second_decoder_$s }}(row_{{ second_decoder_$s }}(column), ahead >> 1u);
      } else {
        first_block$s = load_{{ first_decoder_$s }}(row_{{ first_decoder_$s }}(column), ahead >> 1u);
      }
//# end
    }
//# end
//# for c in copies
    input$c = input(row$c + ahead * 4u);
//# end
    if (step == begin) { continue; }
    for (var k = 0u; k < 4u; k++) {
//# for j in four
      let v$j = vec4<f32>(ws[(tx + 16u * $ju) * PITCH + k]);
      let w$j = vec4<f32>(ws[(64u + tx + 16u * $ju) * PITCH + k]);
//# end
//# for i in rows
      let c$i = xs[(ty + 8u * $iu) * PITCH + k];
//# for j in four
      a$i_$j = onto(a$i_$j, c$i, v$j);
      b$i_$j = onto(b$i_$j, c$i, w$j);
//# end
//# end
    }
  }
//# if rank
//# for s in spans
  if (run >= {{ first_run_of_$s }}u && run < {{ end_run_of_$s }}u) {
//# if low_rank_$s
//# for i in rows
    let t$i = min(m0 + ty + 8u * $iu, last) * stride;
//# end
//# for j in four
    let pair$j = pair_of(run - {{ first_run_of_$s }}u, tx + 16u * $ju);
    let p$j = {{ before_of_$s }}u + min(pair$j.first, {{ rows_of_$s }}u - 1u);
    let q$j = {{ before_of_$s }}u + {{ second_offset }}u + min(pair$j.second, {{ rows_of_$s }}u - 1u);
    let from_p$j = coordinates(p$j); let from_q$j = coordinates(q$j);
    for (var o = 0u; o < {{ octets }}u; o++) {
      let v = fetch_b(p$j, o >> 2u, o & 3u);
      let w = fetch_b(q$j, o >> 2u, o & 3u);
//# for i in rows
      a$i_$j = onto(onto(a$i_$j, coordinate(t$i + from_p$j + 2u * o), v.low), coordinate(t$i + from_p$j + 2u * o + 1u), v.high);
      b$i_$j = onto(onto(b$i_$j, coordinate(t$i + from_q$j + 2u * o), w.low), coordinate(t$i + from_q$j + 2u * o + 1u), w.high);
//# end
    }
//# end
//# end
  }
//# end
//# end
  var sums: array<vec2<f32>, {{ partial_sums }}>;
//# for i in rows
//# for j in four
  sums[$iu * 4u + $ju] = vec2<f32>(a$i_$j, b$i_$j);
//# end
//# end
  for (var e = 0u; e < ROWS * 4u; e++) {
    let m = m0 + ty + 8u * (e >> 2u);
    let j = tx + 16u * (e & 3u);
    let sum = sums[e];
    store(m, group.z, run, j, sum.x, sum.y);
  }
}
