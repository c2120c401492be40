// gather: y = some rows of a packed matrix, in f32.
//   parts of the matrix · rows [M]: numbers of rows · y [M, K]
// One invocation makes eight neighbouring values.
{{ bindings }}
{{ decoders }}

@compute @workgroup_size({{ workgroup_x }}, {{ workgroup_y }}, 1)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_id) local: vec3<u32>) {
  let at = (group.y * groups.x + group.x) * {{ workgroup_x }}u + local.x;
  if (at >= {{ n_octets }}u) { return; }
  let k = {{ k }}u;
  let octets = (k + 7u) / 8u;
  let m = at / octets;
  let o = at % octets;
  let octet = fetch(rows[m], o >> 2u, o & 3u);
  let values = array<vec4<f32>, 2>(octet.low, octet.high);
  for (var i = 0u; i < 8u; i++) {
    if (o * 8u + i < k) { y[m * k + o * 8u + i] = values[i >> 2u][i & 3u]; }
  }
}
