// linear, in registers: y = finish(x · Wᵀ + bias + t · Bᵀ).
//   x [M, K + parts * R]: numbers and low-rank coordinates t · W [N, K], B [N, R]: packed or f32
//   bias [N] · rope [M, D / 2]: cosine and sine · y [M, COLUMNS]
// One invocation makes ROWS x 2 PAIRS outputs over every LANES-th block of 32 inputs; the lanes of
// a workgroup add up at the end. Per block it decodes 2 PAIRS x 32 weights once and multiplies each
// with ROWS rows. Without lanes there is neither workgroup memory nor a barrier. Workgroups along z
// make slices of K, which lie one after the other in y.
{{ bindings }}
{{ decoders }}
{{ columns_text }}
const WIDTH: u32 = {{ workgroup_x }}u;
const LANES: u32 = {{ workgroup_y }}u;
const ROWS: u32 = {{ rows }}u;
//# if lanes
var<workgroup> sums: array<vec2<f32>, {{ partial_sums }}>;
//# end

@compute @workgroup_size({{ workgroup_x }}, {{ workgroup_y }}, 1)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
  let run = group.x * WIDTH + local.x;
  let lane = local.y;
  let m0 = group.y * ROWS;
  let last = {{ m }}u - 1u;
  let stride = {{ stride4 }}u;
//# for i in rows
  let x$i = min(m0 + $iu, last) * stride;
//# for j in pairs
  var a$i_$j = 0.0; var b$i_$j = 0.0;
//# end
//# end
//# for s in spans
  if (run >= {{ first_run_of_$s }}u && run < {{ end_run_of_$s }}u) {
//# for j in pairs
    let pair$j = pair_of(run - {{ first_run_of_$s }}u, $ju);
    let first$j = min(pair$j.first, {{ rows_of_$s }}u - 1u);
    let second$j = min(pair$j.second, {{ rows_of_$s }}u - 1u);
    let p$j = row_{{ first_decoder_$s }}(first$j);
    let q$j = row_{{ second_decoder_$s }}(second$j);
//# end
    let begin = group.z * {{ slice_blocks }}u;
    let end = min(begin + {{ slice_blocks }}u, {{ kb }}u);
    for (var kb = begin + lane; kb < end; kb += LANES) {
//# for j in pairs
      let v$j = load_{{ first_decoder_$s }}(p$j, kb);
      let w$j = load_{{ second_decoder_$s }}(q$j, kb);
//# end
//# for o in four
//# for j in pairs
      let v$o_$j = octet_{{ first_decoder_$s }}(v$j, $ou);
      let w$o_$j = octet_{{ second_decoder_$s }}(w$j, $ou);
//# end
//# for i in rows
      let c$o_$i = input(x$i + kb * 8u + 2u * $ou);
      let d$o_$i = input(x$i + kb * 8u + 2u * $ou + 1u);
//# for j in pairs
      a$i_$j = onto(onto(a$i_$j, c$o_$i, v$o_$j.low), d$o_$i, v$o_$j.high);
      b$i_$j = onto(onto(b$i_$j, c$o_$i, w$o_$j.low), d$o_$i, w$o_$j.high);
//# end
//# end
//# end
    }
//# if rank
//# if low_rank_$s
    let t = coordinates({{ before_of_$s }}u + first0);
    let u = coordinates({{ before_of_$s }}u + {{ second_offset }}u + second0);
    for (var o = lane; o < {{ octets }}u; o += LANES) {
//# for j in pairs
      let v$j = fetch_b({{ before_of_$s }}u + first$j, o >> 2u, o & 3u);
      let w$j = fetch_b({{ before_of_$s }}u + {{ second_offset }}u + second$j, o >> 2u, o & 3u);
//# end
//# for i in rows
      let c$i = coordinate(x$i + t + 2u * o);
      let d$i = coordinate(x$i + t + 2u * o + 1u);
//# if silu
      let e$i = coordinate(x$i + u + 2u * o);
      let f$i = coordinate(x$i + u + 2u * o + 1u);
//# end
//# if !silu
      let e$i = c$i;
      let f$i = d$i;
//# end
//# for j in pairs
      a$i_$j = onto(onto(a$i_$j, c$i, v$j.low), d$i, v$j.high);
      b$i_$j = onto(onto(b$i_$j, e$i, w$j.low), f$i, w$j.high);
//# end
//# end
    }
//# end
//# end
  }
//# end
//# if lanes
  let slot = (lane * WIDTH + local.x) * ROWS * PAIRS;
//# for i in rows
//# for j in pairs
  sums[slot + $iu * PAIRS + $ju] = vec2<f32>(a$i_$j, b$i_$j);
//# end
//# end
  workgroupBarrier();
  for (var e = lane; e < ROWS * PAIRS; e += LANES) {
    var sum = vec2<f32>(0.0);
    for (var i = 0u; i < LANES; i++) { sum += sums[(i * WIDTH + local.x) * ROWS * PAIRS + e]; }
    store(m0 + e / PAIRS, group.z, run, e % PAIRS, sum.x, sum.y);
  }
//# end
//# if !lanes
  var sums: array<vec2<f32>, {{ partial_sums }}>;
//# for i in rows
//# for j in pairs
  sums[$iu * PAIRS + $ju] = vec2<f32>(a$i_$j, b$i_$j);
//# end
//# end
  for (var e = 0u; e < ROWS * PAIRS; e++) { store(m0 + e / PAIRS, group.z, run, e % PAIRS, sums[e].x, sums[e].y); }
//# end
}
