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
//# for i in fours
  let q0_$i = qkv[from_q.x + $iu] * scale; var sum0_$i = vec4<f32>(0.0);
  let q1_$i = qkv[from_q.y + $iu] * scale; var sum1_$i = vec4<f32>(0.0);
  let q2_$i = qkv[from_q.z + $iu] * scale; var sum2_$i = vec4<f32>(0.0);
  let q3_$i = qkv[from_q.w + $iu] * scale; var sum3_$i = vec4<f32>(0.0);
//# end
  var largest = vec4<f32>(MASKED);
  var total = vec4<f32>(0.0);

  for (var j = tile.z; j < tile.w; j++) {
    let from_k = j * row + k_column; let from_v = j * row + v_column;
    var score = vec4<f32>(0.0);
//# for i in fours
    { let k = qkv[from_k + $iu]; score += vec4<f32>(dot(q0_$i, k), dot(q1_$i, k), dot(q2_$i, k), dot(q3_$i, k)); }
//# end
    score = select(vec4<f32>(MASKED), score, vec4<u32>(j) < ends);
    // What was summed so far counts less against a larger score.
    let before = largest;
    largest = max(largest, score);
    let shrink = exp(before - largest); let weight = exp(score - largest);
    total = total * shrink + weight;
//# for i in fours
    { let v = qkv[from_v + $iu]; sum0_$i = sum0_$i * shrink.x + weight.x * v; sum1_$i = sum1_$i * shrink.y + weight.y * v; sum2_$i = sum2_$i * shrink.z + weight.z * v; sum3_$i = sum3_$i * shrink.w + weight.w * v; }
//# end
  }

  let to_y = (kept * n_heads + head) * D4;
  if (queries.x < tile.y) {
//# for i in fours
    y[to_y.x + $iu] = sum0_$i / total.x;
//# end
  }
  if (queries.y < tile.y) {
//# for i in fours
    y[to_y.y + $iu] = sum1_$i / total.y;
//# end
  }
  if (queries.z < tile.y) {
//# for i in fours
    y[to_y.z + $iu] = sum2_$i / total.z;
//# end
  }
  if (queries.w < tile.y) {
//# for i in fours
    y[to_y.w + $iu] = sum3_$i / total.w;
//# end
  }
}
