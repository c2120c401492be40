struct Block{{ s }} { q: vec4<u32>, d: f32 }
fn load{{ s }}(row: Row, kb: u32) -> Block{{ s }} {
  let at = (kb >> 3u) * 2u * row.height + row.r;
  let head = word{{ s }}(row, 4u * row.blocks, at);
  let part = kb & 7u;
  let low_bits = (word{{ s }}(row, 4u * row.blocks, at + row.height) >> (4u * part)) & 15u;
  let high_bits = (head >> (16u + 2u * part)) & 3u;
  let factor = f32(low_bits | (high_bits << 4u)) - 32.0;
  return Block{{ s }}({{ w }}[row.base + kb * row.height + row.r], unpack2x16float(head).x * factor);
}
fn octet{{ s }}(b: Block{{ s }}, o: u32) -> Octet { return from_codebook(nibbles(b.q, o), b.d); }
