struct Block{{ s }} { q: vec4<u32>, fifth: u32, d: vec2<f32> }
fn load{{ s }}(row: Row, kb: u32) -> Block{{ s }} {
  let fifth = word{{ s }}(row, 4u * row.blocks, kb * row.height + row.r);
  let scales = word{{ s }}(row, 5u * row.blocks, kb * row.height + row.r);
  return Block{{ s }}({{ w }}[row.base + kb * row.height + row.r], fifth, unpack2x16float(scales));
}
fn octet{{ s }}(b: Block{{ s }}, o: u32) -> Octet {
  return scaled_from(joined(nibbles(b.q, o), bits(b.fifth, o, 4u)), b.d.x, b.d.y);
}
