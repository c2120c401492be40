// rope: half-split (NeoX) rotation, y = x * cos + (-x₂, x₁) * sin, for every head of a row.
//   x, y [M, heads * D] · cos, sin [M, D]; the second half of a table's row repeats the first
// One invocation turns one pair of channels.
// info: M, heads, D / 2.
{{ bindings }}

@compute @workgroup_size({{ workgroup_x }}, {{ workgroup_y }}, 1)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_id) local: vec3<u32>) {
  let heads = info[1]; let half = info[2];
  let pair = (group.y * groups.x + group.x) * {{ workgroup_x }}u + local.x;
  let pairs = heads * half;
  let m = pair / pairs;
  if (m >= info[0]) { return; }
  let channel = pair % half;
  let first = m * pairs * 2u + (pair % pairs) / half * half * 2u + channel;
  let c = cos_table[m * half * 2u + channel];
  let s = sin_table[m * half * 2u + channel];
  let x1 = x[first]; let x2 = x[first + half];
  y[first] = x1 * c - x2 * s;
  y[first + half] = x2 * c + x1 * s;
}
