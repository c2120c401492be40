// rms_norm: y = x / sqrt(mean(x²) + eps) * weight, in f32.
//   x, y [M, H] · weight [H]
// One workgroup makes one row; 256 bytes of workgroup memory, one barrier.
// info: M, H, eps as bits.
{{ bindings }}
const WIDTH: u32 = {{ workgroup_x }}u;
var<workgroup> squares: array<f32, {{ workgroup_x }}>;

@compute @workgroup_size({{ workgroup_x }}, {{ workgroup_y }}, 1)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_id) local: vec3<u32>) {
  let H = info[1];
  // A row past the end reads the last one, so that every invocation meets the barrier.
  let asked = group.y * groups.x + group.x;
  let m = min(asked, info[0] - 1u);
  var partial = 0.0;
  for (var h = local.x; h < H; h += WIDTH) { partial = fma(x[m * H + h], x[m * H + h], partial); }
  squares[local.x] = partial;
  workgroupBarrier();
  var total = 0.0;
  for (var i = 0u; i < WIDTH; i++) { total += squares[i]; }
  let scale = 1.0 / sqrt(total / f32(H) + bitcast<f32>(info[2]));
  if (asked < info[0]) {
    for (var h = local.x; h < H; h += WIDTH) { y[m * H + h] = x[m * H + h] * scale * weight[h]; }
  }
}
