struct Block{{ s }} { at: u32, height: u32 }
fn load{{ s }}(row: Row, kb: u32) -> Block{{ s }} {
  return Block{{ s }}(row.base + kb * 4u * row.height + row.r, row.height);
}
fn octet{{ s }}(b: Block{{ s }}, o: u32) -> Octet {
  let q = {{ w }}[b.at + o * b.height];
  let even = bitcast<vec4<f32>>(q << vec4<u32>(16u));
  let odd = bitcast<vec4<f32>>(q & vec4<u32>(0xffff0000u));
  return Octet(vec4<f32>(even.x, odd.x, even.y, odd.y), vec4<f32>(even.z, odd.z, even.w, odd.w));
}
