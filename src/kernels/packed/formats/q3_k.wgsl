struct Block{{ s }} { q: vec2<u32>, third: u32, d: vec2<f32> }
// Six-bit factor of one of sixteen groups, packed in twelve bytes.
fn factor{{ s }}(words: vec3<u32>, group: u32) -> f32 {
  let low_word = select(words.x, words.y, (group & 4u) != 0u);
  let low_bits = (low_word >> (8u * (group & 3u) + 4u * (group >> 3u))) & 15u;
  let high_bits = (words.z >> (8u * (group & 3u) + 2u * (group >> 2u))) & 3u;
  return f32(low_bits | (high_bits << 4u)) - 32.0;
}
fn load{{ s }}(row: Row, kb: u32) -> Block{{ s }} {
  let at = kb * 2u * row.height + row.r;
  let q = vec2<u32>(word{{ s }}(row, 0u, at), word{{ s }}(row, 0u, at + row.height));
  let third = word{{ s }}(row, 2u * row.blocks, kb * row.height + row.r);
  let before = 3u * row.blocks;
  let first = (kb >> 3u) * 3u * row.height + row.r;
  let words = vec3<u32>(word{{ s }}(row, before, first), word{{ s }}(row, before, first + row.height), word{{ s }}(row, before, first + 2u * row.height));
  let d = unpack2x16float(word{{ s }}(row, before + 3u * (row.blocks >> 3u), (kb >> 3u) * row.height + row.r)).x;
  let group = (kb & 7u) * 2u;
  return Block{{ s }}(q, third, d * vec2<f32>(factor{{ s }}(words, group), factor{{ s }}(words, group + 1u)));
}
fn octet{{ s }}(b: Block{{ s }}, o: u32) -> Octet {
  return scaled(joined(pairs_of_bits(b.q, o), bits(b.third, o, 2u)), 4.0, select(b.d.x, b.d.y, o >= 2u));
}
