// attention in tiles (flash attention): y[m, h] = softmax(q[m, h] · k[j, g]ᵀ / sqrt(D)) · v[j, g],
// g = h * G / N, over the keys j that query m sees; the scores never leave the workgroup.
//   qkv [M, (N + 2 G) * D]: query heads, key heads, value heads · y [M, N * D] · D % 4 == 0, D <= 128
//   tiles: first query, one past the last; first key, one past the last
//   info: tiles, workgroups along x, N, G, 1 / sqrt(D) as bits, 1 if no query sees later keys, S
// A workgroup makes 64 rows: the S heads of each of 64 / S queries that share their keys (S divides
// N / G), against 32 keys at a time. Keys beyond the last query's are never touched.
//   1. scores: q and k go through `stage` 16 numbers wide; a lane sums 4 rows x 4 keys.
//   2. online softmax: the lanes of a row tell each other their largest score; what was summed
//      before counts less against a larger one. The weights go to `weights`.
//   3. sums: v goes through `stage` 8 keys at a time; a lane sums 4 rows x D / 8 numbers.
// Cost of 32 keys at D = 128, per lane: 4,096 multiply-adds on 128 + 128 + 160 vec4 loads from the
// workgroup's memory (about 10 to a load), 32 from the buffer (8 multiply-adds to a byte, which the
// cache serves), 16 + 4 exponentials, 26 barriers. 64 registers hold sums, 16 scores, 32 operands.
// 14,592 bytes of workgroup memory: 6,400 `stage`, 8,192 `weights`. 128 invocations.
// Neighbouring lanes read neighbouring vec4s everywhere: q rows are 66 and k rows 34 vec4s apart, so
// that they are written to different banks too, and `weights` swaps rows within each eight for that.
// A line with a hash sign stands for as many as a lane sums vec4s of a row: D / 32, rounded up.
{{ bindings }}
const D4: u32 = {{ fours }}u;
/// vec4s of a staged v: what all lanes of a row sum, some beyond the head if D % 32 != 0.
const V4: u32 = {{ fours_summed }}u;
const Q_STRIDE: u32 = 66u;
const K_STRIDE: u32 = 34u;
const K_STAGE: u32 = 4u * Q_STRIDE;
const MASKED: f32 = -3.0e38;
var<workgroup> stage: array<vec4<f32>, 400>;
var<workgroup> weights: array<vec4<f32>, 512>;

@compute @workgroup_size({{ workgroup_x }}, {{ workgroup_y }}, 1)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let n = group.y * info[1] + group.x;
  if (n >= info[0]) { return; }
  let tile = tiles[n];
  let n_heads = info[2]; let n_groups = info[3]; let n_shared = info[6];
  let scale = bitcast<f32>(info[4]);
  let row4 = (n_heads + 2u * n_groups) * D4;
  let first_head = group.z * n_shared;
  let k_column = (n_heads + first_head * n_groups / n_heads) * D4;
  let v_column = k_column + n_groups * D4;
  let n_rows = (tile.y - tile.x) * n_shared;

  // What this lane brings to the stage: one vec4 of a chunk, of two rows and of one key.
  let c = lane % 4u; let staged = lane / 4u;
  let staged_rows = min(vec2<u32>(staged, staged + 32u), vec2<u32>(n_rows - 1u));
  let from_q = (tile.x + staged_rows / n_shared) * row4 + (first_head + staged_rows % n_shared) * D4;
  let to_q = c * Q_STRIDE + staged;
  // Key 4 a + b goes to place 8 b + a: then the lanes' first keys are neighbours, their second...
  let to_k = K_STAGE + c * K_STRIDE + (staged % 4u) * 8u + staged / 4u;

  // What this lane sums: rows ty + 0, 16, 32, 48; keys 4 tx + 0..3; vec4s tx + 0, 8... of the head.
  let tx = lane % 8u; let ty = lane / 8u;
  let rows = vec4<u32>(ty) + vec4<u32>(0u, 16u, 32u, 48u);
  let queries = tile.x + rows / n_shared;
  let ends = select(vec4<u32>(tile.w), min(queries + 1u, vec4<u32>(tile.w)), vec4<bool>(info[5] != 0u));
//# for i in of_a_lane
  var sum0_$i = vec4<f32>(0.0); var sum1_$i = vec4<f32>(0.0); var sum2_$i = vec4<f32>(0.0); var sum3_$i = vec4<f32>(0.0);
//# end
  var largest = vec4<f32>(MASKED);
  var total = vec4<f32>(0.0);

  for (var first = tile.z; first < tile.w; first += 32u) {
    var s0 = vec4<f32>(0.0); var s1 = vec4<f32>(0.0); var s2 = vec4<f32>(0.0); var s3 = vec4<f32>(0.0);
    let from_k = min(first + staged, tile.w - 1u) * row4 + k_column;
    for (var chunk = 0u; chunk < D4; chunk += 4u) {
      let d = min(chunk + c, D4 - 1u);
      // Beyond the head, nothing counts.
      let counts = select(0.0, scale, chunk + c < D4);
      workgroupBarrier();
      stage[to_q] = qkv[from_q.x + d] * counts;
      stage[to_q + 32u] = qkv[from_q.y + d] * counts;
      stage[to_k] = qkv[from_k + d];
      workgroupBarrier();
      for (var i = 0u; i < 4u; i++) {
        let q_at = i * Q_STRIDE + ty; let k_at = K_STAGE + i * K_STRIDE + tx;
        let k0 = stage[k_at]; let k1 = stage[k_at + 8u]; let k2 = stage[k_at + 16u]; let k3 = stage[k_at + 24u];
        let q0 = stage[q_at]; let q1 = stage[q_at + 16u]; let q2 = stage[q_at + 32u]; let q3 = stage[q_at + 48u];
        s0 += vec4<f32>(dot(q0, k0), dot(q0, k1), dot(q0, k2), dot(q0, k3));
        s1 += vec4<f32>(dot(q1, k0), dot(q1, k1), dot(q1, k2), dot(q1, k3));
        s2 += vec4<f32>(dot(q2, k0), dot(q2, k1), dot(q2, k2), dot(q2, k3));
        s3 += vec4<f32>(dot(q3, k0), dot(q3, k1), dot(q3, k2), dot(q3, k3));
      }
    }
    let keys = vec4<u32>(first + 4u * tx) + vec4<u32>(0u, 1u, 2u, 3u);
    s0 = select(vec4<f32>(MASKED), s0, keys < vec4<u32>(ends.x));
    s1 = select(vec4<f32>(MASKED), s1, keys < vec4<u32>(ends.y));
    s2 = select(vec4<f32>(MASKED), s2, keys < vec4<u32>(ends.z));
    s3 = select(vec4<f32>(MASKED), s3, keys < vec4<u32>(ends.w));

    workgroupBarrier();
    stage[lane] = vec4<f32>(most(s0), most(s1), most(s2), most(s3));
    workgroupBarrier();
    let before = largest;
    for (var i = 0u; i < 8u; i++) { largest = max(largest, stage[ty * 8u + i]); }
    let shrink = exp(before - largest);
    s0 = exp(s0 - largest.x); s1 = exp(s1 - largest.y); s2 = exp(s2 - largest.z); s3 = exp(s3 - largest.w);
    total = total * shrink + vec4<f32>(added(s0), added(s1), added(s2), added(s3));
    let to_weights = tx * 64u + (ty ^ tx);
    weights[to_weights] = s0; weights[to_weights + 16u] = s1;
    weights[to_weights + 32u] = s2; weights[to_weights + 48u] = s3;
//# for i in of_a_lane
    sum0_$i *= shrink.x; sum1_$i *= shrink.y; sum2_$i *= shrink.z; sum3_$i *= shrink.w;
//# end

    for (var group8 = 0u; group8 < 4u && first + group8 * 8u < tile.w; group8++) {
      workgroupBarrier();
      for (var i = lane; i < 8u * D4; i += 128u) {
        let key = i / D4; let d = i % D4;
        stage[key * V4 + d] = qkv[min(first + group8 * 8u + key, tile.w - 1u) * row4 + v_column + d];
      }
      workgroupBarrier();
      for (var half = 0u; half < 2u; half++) {
        let fourth = group8 * 2u + half;
        let w_at = fourth * 64u + (ty ^ fourth);
        let w0 = weights[w_at]; let w1 = weights[w_at + 16u]; let w2 = weights[w_at + 32u]; let w3 = weights[w_at + 48u];
        let v_at = half * 4u * V4 + tx;
//# for i in of_a_lane
        let a$i = stage[v_at + $iu * 8u]; let b$i = stage[v_at + V4 + $iu * 8u]; let c$i = stage[v_at + 2u * V4 + $iu * 8u]; let d$i = stage[v_at + 3u * V4 + $iu * 8u]; sum0_$i += w0.x * a$i + w0.y * b$i + w0.z * c$i + w0.w * d$i; sum1_$i += w1.x * a$i + w1.y * b$i + w1.z * c$i + w1.w * d$i; sum2_$i += w2.x * a$i + w2.y * b$i + w2.z * c$i + w2.w * d$i; sum3_$i += w3.x * a$i + w3.y * b$i + w3.z * c$i + w3.w * d$i;
//# end
      }
    }
  }

  workgroupBarrier();
  stage[lane] = total;
  workgroupBarrier();
  total = vec4<f32>(0.0);
  for (var i = 0u; i < 8u; i++) { total += stage[ty * 8u + i]; }
  let to_y = (queries * n_heads + first_head + rows % n_shared) * D4 + tx;
  let valid = rows < vec4<u32>(n_rows);
//# for i in of_a_lane
  if (valid.x && tx + $iu * 8u < D4) { y[to_y.x + $iu * 8u] = sum0_$i / total.x; }
  if (valid.y && tx + $iu * 8u < D4) { y[to_y.y + $iu * 8u] = sum1_$i / total.y; }
  if (valid.z && tx + $iu * 8u < D4) { y[to_y.z + $iu * 8u] = sum2_$i / total.z; }
  if (valid.w && tx + $iu * 8u < D4) { y[to_y.w + $iu * 8u] = sum3_$i / total.w; }
//# end
}

fn most(x: vec4<f32>) -> f32 { return max(max(x.x, x.y), max(x.z, x.w)); }

fn added(x: vec4<f32>) -> f32 { return dot(x, vec4<f32>(1.0)); }
