struct Block{{ s }} { q: vec2<u32>, a: vec2<f32>, b: vec2<f32> }
fn load{{ s }}(row: Row, kb: u32) -> Block{{ s }} {
  let at = kb * 2u * row.height + row.r;
  let q = vec2<u32>(word{{ s }}(row, 0u, at), word{{ s }}(row, 0u, at + row.height));
  let factors = {{ w }}[row.base + (row.height >> 1u) * row.blocks + (kb >> 3u) * row.height + row.r];
  let d = unpack2x16float(word{{ s }}(row, 2u * row.blocks + row.blocks / 2u, (kb >> 3u) * row.height + row.r));
  let part = kb & 7u;
  let four = bytes(factors[part >> 1u]);
  let two = select(four.xy, four.zw, (part & 1u) == 1u);
  let scale = d.x * vec2<f32>(two & vec2<u32>(15u));
  let minimum = -d.y * vec2<f32>(two >> vec2<u32>(4u));
  return Block{{ s }}(q, vec2<f32>(scale.x, minimum.x), vec2<f32>(scale.y, minimum.y));
}
fn octet{{ s }}(b: Block{{ s }}, o: u32) -> Octet {
  let d = select(b.a, b.b, o >= 2u);
  return scaled_from(pairs_of_bits(b.q, o), d.x, d.y);
}
