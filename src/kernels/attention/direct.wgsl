// attention, registers only: y[m, h] = softmax(q[m, h] · k[j, g]ᵀ / sqrt(D)) · v[j, g], g = h * G / N,
// over the keys j that query m sees; the scores are never stored (online softmax).
//   qkv [M, (N + 2 G) * D]: query heads, key heads, value heads · y [M, N * D] · D % 4 == 0
//   tiles: first query, one past the last; first key, one past the last
//   info: tiles, workgroups along x, N, G, 1 / sqrt(D) as bits, 1 if no query sees later keys
// For processors that play a graphics card: there a load from a buffer costs as much as several
// products, and a barrier more than either. So one lane makes one head of four queries, whose
// vectors and sums stay in variables, and each number of k and v is loaded once for four multiply-adds
// of every lane. The variables of eight lanes take 32 KiB at D = 128: the processor's first cache.
// A line with a hash sign stands for D / 4 lines, one for each four numbers of a head.
{{ bindings }}
const D4: u32 = {{ fours }}u;
const LANES: u32 = {{ workgroup_x }}u;
const MASKED: f32 = -3.0e38;

@compute @workgroup_size({{ workgroup_x }}, {{ workgroup_y }}, 1)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let n = group.y * info[1] + group.x;
  if (n >= info[0]) { return; }
  let tile = tiles[n];
  let n_heads = info[2]; let n_groups = info[3]; let head = group.z;
  let row = (n_heads + 2u * n_groups) * D4;
  let k_column = (n_heads + head * n_groups / n_heads) * D4;
  let v_column = k_column + n_groups * D4;
  let scale = bitcast<f32>(info[4]);

  let queries = vec4<u32>(tile.x + lane) + vec4<u32>(0u, LANES, 2u * LANES, 3u * LANES);
  let kept = min(queries, vec4<u32>(tile.y - 1u));
  let ends = select(vec4<u32>(tile.w), kept + 1u, vec4<bool>(info[5] != 0u));
  let from_q = kept * row + head * D4;
  let q0_# = qkv[from_q.x + #u] * scale; var sum0_# = vec4<f32>(0.0);
  let q1_# = qkv[from_q.y + #u] * scale; var sum1_# = vec4<f32>(0.0);
  let q2_# = qkv[from_q.z + #u] * scale; var sum2_# = vec4<f32>(0.0);
  let q3_# = qkv[from_q.w + #u] * scale; var sum3_# = vec4<f32>(0.0);
  var largest = vec4<f32>(MASKED);
  var total = vec4<f32>(0.0);

  for (var j = tile.z; j < tile.w; j++) {
    let from_k = j * row + k_column; let from_v = j * row + v_column;
    var score = vec4<f32>(0.0);
    { let k = qkv[from_k + #u]; score += vec4<f32>(dot(q0_#, k), dot(q1_#, k), dot(q2_#, k), dot(q3_#, k)); }
    score = select(vec4<f32>(MASKED), score, vec4<u32>(j) < ends);
    // What was summed so far counts less against a larger score.
    let before = largest;
    largest = max(largest, score);
    let shrink = exp(before - largest); let weight = exp(score - largest);
    total = total * shrink + weight;
    { let v = qkv[from_v + #u]; sum0_# = sum0_# * shrink.x + weight.x * v; sum1_# = sum1_# * shrink.y + weight.y * v; sum2_# = sum2_# * shrink.z + weight.z * v; sum3_# = sum3_# * shrink.w + weight.w * v; }
  }

  let to_y = (kept * n_heads + head) * D4;
  if (queries.x < tile.y) {
    y[to_y.x + #u] = sum0_# / total.x;
  }
  if (queries.y < tile.y) {
    y[to_y.y + #u] = sum1_# / total.y;
  }
  if (queries.z < tile.y) {
    y[to_y.z + #u] = sum2_# / total.z;
  }
  if (queries.w < tile.y) {
    y[to_y.w + #u] = sum3_# / total.w;
  }
}
