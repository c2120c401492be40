// silu_mul: y = gate / (1 + exp(-gate)) * up.
//   gate, up, y: the same number of elements
// info: number of elements.
{{ bindings }}

@compute @workgroup_size({{ workgroup_x }}, {{ workgroup_y }}, 1)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_id) local: vec3<u32>) {
  let i = (group.y * groups.x + group.x) * {{ workgroup_x }}u + local.x;
  if (i >= info[0]) { return; }
  let g = gate[i];
  // exp(88) is the last that an f32 holds; beyond it the result is zero to all digits.
  y[i] = g / (1.0 + exp(min(-g, 88.0))) * up[i];
}
