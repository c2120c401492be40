struct Block{{ s }} { q: vec4<u32>, d: f32 }
fn load{{ s }}(row: Row, kb: u32) -> Block{{ s }} {
  let halves = word{{ s }}(row, 4u * row.blocks, (kb >> 1u) * row.height + row.r) >> ((kb & 1u) * 16u);
  return Block{{ s }}({{ w }}[row.base + kb * row.height + row.r], unpack2x16float(halves).x);
}
fn octet{{ s }}(b: Block{{ s }}, o: u32) -> Octet { return scaled(nibbles(b.q, o), 8.0, b.d); }
