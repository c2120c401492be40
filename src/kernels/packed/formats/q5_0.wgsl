struct Block{{ s }} { q: vec4<u32>, fifth: u32, d: f32 }
fn load{{ s }}(row: Row, kb: u32) -> Block{{ s }} {
  let fifth = word{{ s }}(row, 4u * row.blocks, kb * row.height + row.r);
  let halves = word{{ s }}(row, 5u * row.blocks, (kb >> 1u) * row.height + row.r) >> ((kb & 1u) * 16u);
  return Block{{ s }}({{ w }}[row.base + kb * row.height + row.r], fifth, unpack2x16float(halves).x);
}
fn octet{{ s }}(b: Block{{ s }}, o: u32) -> Octet {
  return scaled(joined(nibbles(b.q, o), bits(b.fifth, o, 4u)), 16.0, b.d);
}
