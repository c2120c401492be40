struct Block{{ s }} { a: vec4<u32>, b: vec4<u32>, d: f32 }
fn load{{ s }}(row: Row, kb: u32) -> Block{{ s }} {
  let at = row.base + kb * 2u * row.height + row.r;
  let halves = word{{ s }}(row, 8u * row.blocks, (kb >> 1u) * row.height + row.r) >> ((kb & 1u) * 16u);
  return Block{{ s }}({{ w }}[at], {{ w }}[at + row.height], unpack2x16float(halves).x);
}
fn octet{{ s }}(b: Block{{ s }}, o: u32) -> Octet {
  let q = select(b.a, b.b, o >= 2u);
  let words = select(q.xy, q.zw, (o & 1u) == 1u);
  return Octet(signed_bytes(words.x) * b.d, signed_bytes(words.y) * b.d);
}
