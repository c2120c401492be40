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

fn low_rank(m: u32, column: u32) -> f32 {
  var sum = 0.0;
//# if rank
  if (m < {{ m }}u && column < {{ low_rank_columns }}u) {
    let t = m * {{ stride4 }}u + coordinates(column);
    for (var o = 0u; o < {{ octets }}u; o++) {
      let w = fetch_b(column, o >> 2u, o & 3u);
      sum = onto(onto(sum, coordinate(t + 2u * o), w.low), coordinate(t + 2u * o + 1u), w.high);
    }
  }
//# end
  return sum;
}

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
  let steps = {{ kb }}u * 2u;
  let stride = {{ stride4 }}u;
  let last = {{ m }}u - 1u;
  for (var step = 0u; step < steps; step++) {
    let o = (step & 1u) * 2u;
    var even: Octet; var odd: Octet;
//# for s in spans
    if (run >= {{ first_run_of_$s }}u && run < {{ end_run_of_$s }}u) {
//# if same_decoder_$s
      let block = load_{{ first_decoder_$s }}(row_{{ first_decoder_$s }}(column), step >> 1u);
      even = octet_{{ first_decoder_$s }}(block, o);
      odd = octet_{{ first_decoder_$s }}(block, o + 1u);
//# end
//# if !same_decoder_$s
      if (is_second) {
        let block = load_{{ second_decoder_$s }}(row_{{ second_decoder_$s }}(column), step >> 1u);
        even = octet_{{ second_decoder_$s }}(block, o);
        odd = octet_{{ second_decoder_$s }}(block, o + 1u);
      } else {
        let block = load_{{ first_decoder_$s }}(row_{{ first_decoder_$s }}(column), step >> 1u);
        even = octet_{{ first_decoder_$s }}(block, o);
        odd = octet_{{ first_decoder_$s }}(block, o + 1u);
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
    for (var i = l; i < 32u * ROWS; i += 128u) {
      let m = min(m0 + (i >> 2u), last);
      xs[(i >> 2u) * PITCH + (i & 3u)] = input(m * stride + step * 4u + (i & 3u));
    }
    workgroupBarrier();
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
  var sums: array<vec2<f32>, {{ partial_sums }}>;
//# for i in rows
//# for j in four
  sums[$iu * 4u + $ju] = vec2<f32>(a$i_$j, b$i_$j);
//# end
//# end
  for (var e = 0u; e < ROWS * 4u; e++) {
    let m = m0 + ty + 8u * (e >> 2u);
    let j = tx + 16u * (e & 3u);
    var sum = sums[e];
//# if rank
//# for s in spans
    if (run >= {{ first_run_of_$s }}u && run < {{ end_run_of_$s }}u) {
      let pair = pair_of(run - {{ first_run_of_$s }}u, j);
      let first = {{ before_of_$s }}u + min(pair.first, {{ rows_of_$s }}u - 1u);
      let second = {{ before_of_$s }}u + {{ second_offset }}u + min(pair.second, {{ rows_of_$s }}u - 1u);
      sum += vec2<f32>(low_rank(m, first), low_rank(m, second));
    }
//# end
//# end
    store(m, run, j, sum.x, sum.y);
  }
}
