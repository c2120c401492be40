// attention: y[m, h] = softmax(q[m, h] · k[j, h / G]ᵀ / sqrt(D)) · v[j, h / G], over the keys j
// of the query's own range; the scores are never stored (online softmax).
//   q, y [M, heads * D] · k, v [M, heads / G * D] · ranges [M]: first key, one past the last
//   D % 4 == 0
// One invocation makes one head of one query, in registers: no workgroup memory, no barriers.
// info: M, heads, G (query heads per key/value head), 1 / sqrt(D) as bits.
{{ bindings }}
const D4: u32 = {{ head_dim }}u / 4u;

@compute @workgroup_size({{ workgroup_x }}, {{ workgroup_y }}, 1)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let m = id.x; let head = id.y;
  if (m >= info[0]) { return; }
  let heads = info[1]; let group = head / info[2]; let groups = heads / info[2];
  let scale = bitcast<f32>(info[3]);
  var query: array<vec4<f32>, {{ head_dim }}u / 4u>;
  var sum: array<vec4<f32>, {{ head_dim }}u / 4u>;
  for (var d = 0u; d < D4; d++) {
    query[d] = q[(m * heads + head) * D4 + d] * scale;
    sum[d] = vec4<f32>(0.0);
  }
  let keys = ranges[m];
  var largest = -3.0e38;
  var weights = 0.0;
  for (var j = keys.x; j < keys.y; j++) {
    let at = (j * groups + group) * D4;
    var score = 0.0;
    for (var d = 0u; d < D4; d++) { score += dot(query[d], k[at + d]); }
    if (score > largest) {
      // What was summed so far counts less against a larger score.
      let shrink = exp(largest - score);
      weights *= shrink;
      for (var d = 0u; d < D4; d++) { sum[d] *= shrink; }
      largest = score;
    }
    let weight = exp(score - largest);
    weights += weight;
    for (var d = 0u; d < D4; d++) { sum[d] += weight * v[at + d]; }
  }
  for (var d = 0u; d < D4; d++) { y[(m * heads + head) * D4 + d] = sum[d] / weights; }
}
