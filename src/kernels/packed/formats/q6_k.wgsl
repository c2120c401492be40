struct Block{{ s }} { q: vec4<u32>, high: vec2<u32>, d: vec2<f32> }
fn load{{ s }}(row: Row, kb: u32) -> Block{{ s }} {
  let at = kb * 2u * row.height + row.r;
  let high = vec2<u32>(word{{ s }}(row, 4u * row.blocks, at), word{{ s }}(row, 4u * row.blocks, at + row.height));
  let factors = {{ w }}[row.base + (row.height >> 2u) * 6u * row.blocks + (kb >> 3u) * row.height + row.r];
  let d = unpack2x16float(word{{ s }}(row, 6u * row.blocks + row.blocks / 2u, (kb >> 3u) * row.height + row.r)).x;
  // Two factors for each block of 32.
  let part = kb & 7u;
  let word = signed_bytes(factors[part >> 1u]);
  return Block{{ s }}({{ w }}[row.base + kb * row.height + row.r], high, d * select(word.xy, word.zw, (part & 1u) == 1u));
}
fn octet{{ s }}(b: Block{{ s }}, o: u32) -> Octet {
  let high = pairs_of_bits(b.high, o);
  let codes = joined(nibbles(b.q, o), Codes(high.low << vec4<u32>(4u), high.high << vec4<u32>(4u)));
  return scaled(codes, 32.0, select(b.d.x, b.d.y, o >= 2u));
}
