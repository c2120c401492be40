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
// Of four columns, whose blocks are loaded together.
fn low_rank(first: u32) -> vec4<f32> {
  var sum = vec4<f32>();
  for (var o = 0u; o < {{ update_octets }}u; o++) {
    // Past the end lie zeros of B.
    let last = {{ rank4 }}u - 1u;
    let low = coordinates[min(2u * o, last)];
    let high = coordinates[min(2u * o + 1u, last)];
//# for c in four
    let w$c = fetch_b(first + $cu, o >> 2u, o & 3u);
//# end
//# for c in four
    sum[$c] += dot(low, w$c.low) + dot(high, w$c.high);
//# end
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
    value += low_rank(4u * h);
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
  // A's rows in groups of 32, each of one matrix, some of them at once: with few rows of x the loads of A
  // have to wait for memory, so nothing may stand between them. The invocations of a row share its blocks.
  let lanes = WIDTH / 32u;
//# for b in batches
  {
//# for g in groups
    let row$b$g = row{{ s$b$g }}(min({{ first$b$g }}u + l % 32u, {{ rows{{ s$b$g }} }}u - 1u));
    var sum$g = 0.0;
//# end
    workgroupBarrier();
    for (var kb = l / 32u; kb < ({{ h4 }}u + 7u) / 8u; kb += lanes) {
      let at = kb * 8u;
//# for g in groups
      let block$g = load{{ s$b$g }}(row$b$g, kb);
//# for o in four
      let w$g_$o = octet{{ s$b$g }}(block$g, $ou);
//# end
//# end
      // Past the end lie zeros of A.
//# for o in four
      let low$o = row[min(at + 2u * $ou, {{ h4 }}u - 1u)];
      let high$o = row[min(at + 2u * $ou + 1u, {{ h4 }}u - 1u)];
//# for g in groups
      sum$g += dot(low$o, w$g_$o.low) + dot(high$o, w$g_$o.high);
//# end
//# end
    }
//# for g in groups
    workgroupBarrier();
    partial[l] = sum$g;
    workgroupBarrier();
    if (l < 32u && {{ first$b$g }}u + l < {{ rows{{ s$b$g }} }}u && is_mine) {
      var all = 0.0;
      for (var i = 0u; i < lanes; i++) { all += partial[i * 32u + l]; }
      n[m * {{ n_stride }}u + 4u * {{ h4 }}u + {{ before{{ s$b$g }} }}u + {{ first$b$g }}u + l] = all;
    }
//# end
  }
//# end
//# end
}
