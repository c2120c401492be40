// add_norm: the sum of the residual stream, its norm, and the norm's low-rank coordinates.
//   s = x + u (+ coordinates(u) · Bᵀ)     n = s / sqrt(mean(s²) + eps) * weight     t = n · Aᵀ
//   x, s [M, H] · u [S * M, H + R]: the last product in S slices to add up, its coordinates behind
//   it · B [H, R]
//   weight [H] · A [T, H] · n [M, H + T]: the norm, its coordinates behind it
// One workgroup makes one row, which stays in workgroup memory: 4 H bytes and 4 per invocation.
{{ bindings }}
{{ decoders }}
const WIDTH: u32 = {{ workgroup_x }}u;
var<workgroup> row: array<vec4<f32>, {{ row_room }}>;
var<workgroup> partial: array<f32, {{ workgroup_x }}>;
var<workgroup> sixteenths: array<f32, 16>;

//# if update
// Four numbers of the product, from all slices.
fn product(m: u32, at: u32) -> vec4<f32> {
  let stride = {{ u_stride }}u / 4u;
  var sum = u[m * stride + at];
  for (var slice = 1u; slice < {{ slices }}u; slice++) { sum += u[(slice * {{ m }}u + m) * stride + at]; }
  return sum;
}
//# end
//# if update_rank
const SCALE: f32 = {{ scale }};
var<workgroup> coordinates: array<vec4<f32>, {{ rank_room }}>;
fn low_rank(column: u32) -> f32 {
  var sum = 0.0;
  for (var o = 0u; o < {{ update_octets }}u; o++) {
    let w = fetch_b(column, o >> 2u, o & 3u);
    // Past the end lie zeros of B.
    let last = {{ rank4 }}u - 1u;
    sum += dot(coordinates[min(2u * o, last)], w.low) + dot(coordinates[min(2u * o + 1u, last)], w.high);
  }
  return sum;
}
//# end

@compute @workgroup_size({{ workgroup_x }}, {{ workgroup_y }}, 1)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_id) local: vec3<u32>) {
  let l = local.x;
  // A row past the end repeats the last one, so that every invocation meets the barriers.
  let asked = group.y * groups.x + group.x;
  let is_mine = asked < {{ m }}u;
  let m = min(asked, {{ m }}u - 1u);
//# if update_rank
  // Once for all columns of the row.
  for (var i = l; i < {{ rank4 }}u; i += WIDTH) { coordinates[i] = product(m, {{ h4 }}u + i) * SCALE; }
  workgroupBarrier();
//# end
  var squares = 0.0;
  for (var h = l; h < {{ h4 }}u; h += WIDTH) {
    var value = x[m * {{ h4 }}u + h];
//# if update
    value += product(m, h);
//# if update_rank
    value += vec4<f32>(low_rank(4u * h), low_rank(4u * h + 1u), low_rank(4u * h + 2u), low_rank(4u * h + 3u));
//# end
    if (is_mine) { s[m * {{ h4 }}u + h] = value; }
//# end
    row[h] = value;
    squares += dot(value, value);
  }
  partial[l] = squares;
  workgroupBarrier();
  if (l < 16u) {
    var some = 0.0;
    for (var i = l; i < WIDTH; i += 16u) { some += partial[i]; }
    sixteenths[l] = some;
  }
  workgroupBarrier();
  var total = 0.0;
  for (var i = 0u; i < 16u; i++) { total += sixteenths[i]; }
  let scale = 1.0 / sqrt(total / f32({{ h4 }}u * 4u) + bitcast<f32>({{ eps }}u));
  for (var h = l; h < {{ h4 }}u; h += WIDTH) {
    let value = row[h] * scale * weight[h];
    row[h] = value;
    if (is_mine) {
      let at = m * {{ n_stride }}u + 4u * h;
      n[at] = value.x; n[at + 1u] = value.y; n[at + 2u] = value.z; n[at + 3u] = value.w;
    }
  }
//# if has_coordinates
  // 32 coordinates of each group; the invocations of each share its blocks and add up. All groups at
  // once: with few rows the loads of A have to wait for memory, so as many as can be are under way.
  let lanes = WIDTH / 32u;
  for (var first = 0u; first < {{ coordinates }}u; first += 32u * {{ coordinate_groups }}u) {
//# for g in coordinate_groups
    let r$g = min(first + 32u * $gu + l % 32u, {{ coordinates }}u - 1u);
    var sum$g = 0.0;
//# end
    workgroupBarrier();
    for (var kb = l / 32u; kb < ({{ h4 }}u + 7u) / 8u; kb += lanes) {
      let at = kb * 8u;
//# for g in coordinate_groups
//# for o in four
      let w$g_$o = fetch_a(r$g, kb, $ou);
//# end
//# end
      // Past the end lie zeros of A.
//# for o in four
      let low$o = row[min(at + 2u * $ou, {{ h4 }}u - 1u)];
      let high$o = row[min(at + 2u * $ou + 1u, {{ h4 }}u - 1u)];
//# for g in coordinate_groups
      sum$g += dot(low$o, w$g_$o.low) + dot(high$o, w$g_$o.high);
//# end
//# end
    }
//# for g in coordinate_groups
    workgroupBarrier();
    partial[l] = sum$g;
    workgroupBarrier();
    if (l < 32u && first + 32u * $gu + l < {{ coordinates }}u && is_mine) {
      var all = 0.0;
      for (var i = 0u; i < lanes; i++) { all += partial[i * 32u + l]; }
      n[m * {{ n_stride }}u + 4u * {{ h4 }}u + first + 32u * $gu + l] = all;
    }
//# end
  }
//# end
}
