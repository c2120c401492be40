// What the decoders of all formats share. A decoder reads 32 neighbouring values of a row (a
// block) into registers, then unpacks eight of them at a time (an octet).
struct Octet { low: vec4<f32>, high: vec4<f32> }
struct Codes { low: vec4<u32>, high: vec4<u32> }
// A row of a panel: first vector of the panel, its rows, the row's place in it; blocks of the row.
struct Row { base: u32, height: u32, r: u32, blocks: u32 }

const BYTES = vec4<u32>(0u, 8u, 16u, 24u);
fn bytes(word: u32) -> vec4<u32> { return (vec4<u32>(word) >> BYTES) & vec4<u32>(255u); }
fn signed_bytes(word: u32) -> vec4<f32> {
  return vec4<f32>(vec4<i32>(vec4<u32>(word) << (vec4<u32>(24u) - BYTES)) >> vec4<u32>(24u));
}
// Octet o of 32 four-bit codes: value i in the low half of byte i, value i + 16 in its high half.
fn nibbles(q: vec4<u32>, o: u32) -> Codes {
  let words = select(q.xy, q.zw, (o & 1u) == 1u);
  let shift = BYTES + vec4<u32>((o >> 1u) * 4u);
  return Codes((vec4<u32>(words.x) >> shift) & vec4<u32>(15u), (vec4<u32>(words.y) >> shift) & vec4<u32>(15u));
}
// Octet o of 32 two-bit codes: value 8 j + i in bits 2 j of byte i.
fn pairs_of_bits(q: vec2<u32>, o: u32) -> Codes {
  let shift = BYTES + vec4<u32>(o * 2u);
  return Codes((vec4<u32>(q.x) >> shift) & vec4<u32>(3u), (vec4<u32>(q.y) >> shift) & vec4<u32>(3u));
}
// Octet o of 32 single bits, moved to bit `to`.
fn bits(q: u32, o: u32, to: u32) -> Codes {
  let word = vec4<u32>(q >> (o * 8u));
  let place = vec4<u32>(0u, 1u, 2u, 3u);
  let one = vec4<u32>(1u);
  return Codes(((word >> place) & one) << vec4<u32>(to), ((word >> (place + vec4<u32>(4u))) & one) << vec4<u32>(to));
}
fn joined(a: Codes, b: Codes) -> Codes { return Codes(a.low | b.low, a.high | b.high); }
fn scaled(codes: Codes, zero: f32, scale: f32) -> Octet {
  return Octet((vec4<f32>(codes.low) - zero) * scale, (vec4<f32>(codes.high) - zero) * scale);
}
fn scaled_from(codes: Codes, scale: f32, minimum: f32) -> Octet {
  return Octet(vec4<f32>(codes.low) * scale + minimum, vec4<f32>(codes.high) * scale + minimum);
}
// ggml's table of IQ4_NL and IQ4_XS, as bytes.
fn codebook(code: u32) -> f32 {
  const TABLE = vec4<u32>(0xbfad9881u, 0xf6eaddcfu, 0x26190d01u, 0x71594535u);
  let word = select(select(TABLE.x, TABLE.y, (code & 4u) != 0u), select(TABLE.z, TABLE.w, (code & 4u) != 0u), (code & 8u) != 0u);
  return f32(i32(word << (24u - (code & 3u) * 8u)) >> 24u);
}
fn from_codebook(codes: Codes, scale: f32) -> Octet {
  let a = codes.low; let b = codes.high;
  return Octet(vec4<f32>(codebook(a.x), codebook(a.y), codebook(a.z), codebook(a.w)) * scale,
               vec4<f32>(codebook(b.x), codebook(b.y), codebook(b.z), codebook(b.w)) * scale);
}
// Six-bit factor and minimum of one of eight parts, packed in twelve bytes (Q4_K, Q5_K).
fn factor_and_minimum(words: vec3<u32>, part: u32) -> vec2<f32> {
  let at = 8u * (part & 3u);
  let first = words >> vec3<u32>(at);
  let late = vec2<u32>((first.z & 15u) | ((first.x >> 2u) & 48u), ((first.z >> 4u) & 15u) | ((first.y >> 2u) & 48u));
  return vec2<f32>(select(first.xy & vec2<u32>(63u), late, part >= 4u));
}
