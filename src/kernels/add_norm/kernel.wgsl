// add_norm: the sum of the residual stream, its norm, and the norm's low-rank coordinates.
//   s = x + u (+ coordinates(u) · Bᵀ)     n = s / sqrt(mean(s²) + eps) * weight     t = n · Aᵀ
//   x, s [M, H] · u [M, H + R]: the last product, its coordinates behind it · B [H, R]
//   weight [H] · A [T, H] · n [M, H + T]: the norm, its coordinates behind it
// One workgroup makes one row, which stays in workgroup memory: 4 H bytes and 4 per invocation.
{{ bindings }}
{{ decoders }}
const WIDTH: u32 = {{ workgroup_x }}u;
var<workgroup> row: array<vec4<f32>, {{ row_room }}>;
var<workgroup> partial: array<f32, {{ workgroup_x }}>;

//# if update_rank
const SCALE: f32 = {{ scale }};
fn low_rank(m: u32, column: u32) -> f32 {
  var sum = 0.0;
  for (var o = 0u; o < {{ update_octets }}u; o++) {
    let w = fetch_b(column, o >> 2u, o & 3u);
    let at = m * ({{ u_stride }}u / 4u) + {{ h4 }}u + 2u * o;
    let last = m * ({{ u_stride }}u / 4u) + ({{ u_stride }}u / 4u) - 1u;
    sum += dot(u[min(at, last)], w.low) + dot(u[min(at + 1u, last)], w.high);
  }
  return sum * SCALE;
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
  var squares = 0.0;
  for (var h = l; h < {{ h4 }}u; h += WIDTH) {
    var value = x[m * {{ h4 }}u + h];
//# if update
    value += u[m * ({{ u_stride }}u / 4u) + h];
//# if update_rank
    value += vec4<f32>(low_rank(m, 4u * h), low_rank(m, 4u * h + 1u), low_rank(m, 4u * h + 2u), low_rank(m, 4u * h + 3u));
//# end
    if (is_mine) { s[m * {{ h4 }}u + h] = value; }
//# end
    row[h] = value;
    squares += dot(value, value);
  }
  partial[l] = squares;
  workgroupBarrier();
  var total = 0.0;
  for (var i = 0u; i < WIDTH; i++) { total += partial[i]; }
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
  // 32 coordinates at a time; the invocations of each share its blocks and add up.
  let lanes = WIDTH / 32u;
  for (var first = 0u; first < {{ coordinates }}u; first += 32u) {
    let r = min(first + l % 32u, {{ coordinates }}u - 1u);
    var sum = 0.0;
    workgroupBarrier();
    for (var kb = l / 32u; kb < ({{ h4 }}u + 7u) / 8u; kb += lanes) {
      for (var o = 0u; o < 4u; o++) {
        let w = fetch_a(r, kb, o);
        let at = kb * 8u + 2u * o;
        // Past the end lie zeros of A.
        sum += dot(row[min(at, {{ h4 }}u - 1u)], w.low) + dot(row[min(at + 1u, {{ h4 }}u - 1u)], w.high);
      }
    }
    partial[l] = sum;
    workgroupBarrier();
    if (l < 32u && first + l < {{ coordinates }}u && is_mine) {
      var all = 0.0;
      for (var i = 0u; i < lanes; i++) { all += partial[i * 32u + l]; }
      n[m * {{ n_stride }}u + 4u * {{ h4 }}u + first + l] = all;
    }
  }
//# end
}
