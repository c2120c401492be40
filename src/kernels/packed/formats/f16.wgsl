struct Block{{ s }} { at: u32, height: u32 }
fn load{{ s }}(row: Row, kb: u32) -> Block{{ s }} {
  return Block{{ s }}(row.base + kb * 4u * row.height + row.r, row.height);
}
fn octet{{ s }}(b: Block{{ s }}, o: u32) -> Octet {
  let q = {{ w }}[b.at + o * b.height];
  return Octet(vec4<f32>(unpack2x16float(q.x), unpack2x16float(q.y)),
               vec4<f32>(unpack2x16float(q.z), unpack2x16float(q.w)));
}
