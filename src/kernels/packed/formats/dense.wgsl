// Matrix {{ s }}, in f32, row by row, in buffer {{ w }}.
fn row{{ s }}(n: u32) -> Row { return Row(n * {{ width{{ s }} }}u, 0u, 0u, {{ width{{ s }} }}u); }
struct Block{{ s }} { at: u32, left: u32 }
fn load{{ s }}(row: Row, kb: u32) -> Block{{ s }} {
  return Block{{ s }}(row.base + kb * 8u, row.blocks - min(row.blocks, kb * 8u));
}
fn vector{{ s }}(b: Block{{ s }}, i: u32) -> vec4<f32> {
  if (i >= b.left) { return vec4<f32>(0.0); }
  return bitcast<vec4<f32>>({{ w }}[b.at + i]);
}
fn octet{{ s }}(b: Block{{ s }}, o: u32) -> Octet {
  return Octet(vector{{ s }}(b, o * 2u), vector{{ s }}(b, o * 2u + 1u));
}
