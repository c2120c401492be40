struct Block{{ s }} { q: vec4<u32>, d: vec2<f32> }
fn load{{ s }}(row: Row, kb: u32) -> Block{{ s }} {
  let s = {{ w }}[row.base + row.height * row.blocks + (kb >> 3u) * row.height + row.r];
  let d = unpack2x16float(s.x) * factor_and_minimum(s.yzw, kb & 7u);
  return Block{{ s }}({{ w }}[row.base + kb * row.height + row.r], vec2<f32>(d.x, -d.y));
}
fn octet{{ s }}(b: Block{{ s }}, o: u32) -> Octet { return scaled_from(nibbles(b.q, o), b.d.x, b.d.y); }
