struct Block{{ s }} { q: vec4<u32>, d: vec2<f32> }
fn load{{ s }}(row: Row, kb: u32) -> Block{{ s }} {
  let scales = word{{ s }}(row, 4u * row.blocks, kb * row.height + row.r);
  return Block{{ s }}({{ w }}[row.base + kb * row.height + row.r], unpack2x16float(scales));
}
fn octet{{ s }}(b: Block{{ s }}, o: u32) -> Octet { return scaled_from(nibbles(b.q, o), b.d.x, b.d.y); }
