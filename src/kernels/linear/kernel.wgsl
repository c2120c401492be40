// linear: y = x · Wᵀ (+ bias) (+ t · Bᵀ) (+ residual), all f32.
//   x [M, K] · W [N, K] · bias [N] · t [M, R] · B [N, R] · residual, y [M, N] · K % 4 == R % 4 == 0
// One invocation makes 4 x 4 outputs from registers alone: no workgroup memory, no barriers.
// info: M, N, K / 4, R / 4.
{{ bindings }}
fn row(m: u32) -> u32 { return min(m, info[0] - 1u); }
fn col(n: u32) -> u32 { return min(n, info[1] - 1u); }

@compute @workgroup_size({{ workgroup_x }}, {{ workgroup_y }}, 1)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let M = info[0]; let N = info[1]; let K4 = info[2];
  let n0 = id.x * 4u; let m0 = id.y * 4u;
  if (n0 >= N || m0 >= M) { return; }
  let x0 = m0 * K4; let x1 = row(m0 + 1u) * K4; let x2 = row(m0 + 2u) * K4; let x3 = row(m0 + 3u) * K4;
  let w0 = n0 * K4; let w1 = col(n0 + 1u) * K4; let w2 = col(n0 + 2u) * K4; let w3 = col(n0 + 3u) * K4;
  var a0 = vec4<f32>(0.0); var a1 = vec4<f32>(0.0); var a2 = vec4<f32>(0.0); var a3 = vec4<f32>(0.0);
  for (var k = 0u; k < K4; k++) {
    let p = w[w0 + k]; let q = w[w1 + k]; let r = w[w2 + k]; let s = w[w3 + k];
    let b = x[x0 + k]; a0 += vec4<f32>(dot(b, p), dot(b, q), dot(b, r), dot(b, s));
    let c = x[x1 + k]; a1 += vec4<f32>(dot(c, p), dot(c, q), dot(c, r), dot(c, s));
    let d = x[x2 + k]; a2 += vec4<f32>(dot(d, p), dot(d, q), dot(d, r), dot(d, s));
    let e = x[x3 + k]; a3 += vec4<f32>(dot(e, p), dot(e, q), dot(e, r), dot(e, s));
  }
  let sums = array<vec4<f32>, 4>(a0, a1, a2, a3);
  for (var i = 0u; i < 4u; i++) {
    let m = m0 + i;
    if (m >= M) { break; }
    for (var j = 0u; j < 4u; j++) {
      let n = n0 + j;
      if (n >= N) { break; }
      var sum = sums[i][j];
      {{ bias }}
      {{ low_rank }}
      {{ residual }}
      y[m * N + n] = sum;
    }
  }
}
