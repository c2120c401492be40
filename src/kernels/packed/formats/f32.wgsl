struct Block{{ s }} { at: u32, height: u32 }
fn load{{ s }}(row: Row, kb: u32) -> Block{{ s }} {
  return Block{{ s }}(row.base + kb * 8u * row.height + row.r, row.height);
}
fn octet{{ s }}(b: Block{{ s }}, o: u32) -> Octet {
  let at = b.at + o * 2u * b.height;
  return Octet(bitcast<vec4<f32>>({{ w }}[at]), bitcast<vec4<f32>>({{ w }}[at + b.height]));
}
