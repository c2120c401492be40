// dequantize: y = the values of a matrix that is stored as ggml blocks, byte for byte as in its file.
//   words: the blocks, four bytes a word, little-endian · y [N, K] f32
// One invocation makes 32 neighbouring values, which every block format stores together.
// info: number of values (or of gathered values), K.
// Formats: ggml's block structures; `base` is the first byte of a block, `part` the 32 values in it.
{{ bindings }}

fn byte(at: u32) -> u32 { return (words[at >> 2u] >> ((at & 3u) * 8u)) & 255u; }
fn short(at: u32) -> u32 { return byte(at) | (byte(at + 1u) << 8u); }
fn half(at: u32) -> f32 { return unpack2x16float(short(at)).x; }
// The sign of a byte, extended.
fn signed(value: u32) -> f32 { return f32(i32(value << 24u) >> 24u); }
fn low(at: u32) -> u32 { return byte(at) & 15u; }
fn high(at: u32) -> u32 { return byte(at) >> 4u; }
// Value i of 32 nibbles in 16 bytes: the low ones first.
fn nibble(at: u32, i: u32) -> u32 { return (byte(at + (i & 15u)) >> (4u * (i >> 4u))) & 15u; }

const CODEBOOK = array<f32, 16>(-127.0, -104.0, -83.0, -65.0, -49.0, -35.0, -22.0, -10.0,
                                1.0, 13.0, 25.0, 38.0, 53.0, 69.0, 89.0, 113.0);

fn F16(base: u32, part: u32, i: u32) -> f32 { return half(base); }
fn BF16(base: u32, part: u32, i: u32) -> f32 { return bitcast<f32>(short(base) << 16u); }
fn Q4_0(base: u32, part: u32, i: u32) -> f32 { return half(base) * (f32(nibble(base + 2u, i)) - 8.0); }
fn Q4_1(base: u32, part: u32, i: u32) -> f32 {
  return half(base) * f32(nibble(base + 4u, i)) + half(base + 2u);
}
fn fifth_bit(at: u32, i: u32) -> u32 { return ((byte(at + i / 8u) >> (i & 7u)) & 1u) << 4u; }
fn Q5_0(base: u32, part: u32, i: u32) -> f32 {
  return half(base) * (f32(nibble(base + 6u, i) | fifth_bit(base + 2u, i)) - 16.0);
}
fn Q5_1(base: u32, part: u32, i: u32) -> f32 {
  return half(base) * f32(nibble(base + 8u, i) | fifth_bit(base + 4u, i)) + half(base + 2u);
}
fn Q8_0(base: u32, part: u32, i: u32) -> f32 { return half(base) * signed(byte(base + 2u + i)); }
fn IQ4_NL(base: u32, part: u32, i: u32) -> f32 { return half(base) * CODEBOOK[nibble(base + 2u, i)]; }
fn IQ4_XS(base: u32, part: u32, i: u32) -> f32 {
  let low_bits = (byte(base + 4u + part / 2u) >> (4u * (part & 1u))) & 15u;
  let high_bits = (short(base + 2u) >> (2u * part)) & 3u;
  let scale = f32(low_bits | (high_bits << 4u)) - 32.0;
  return half(base) * scale * CODEBOOK[nibble(base + 8u + 16u * part, i)];
}
// Two bits of value i: `part` picks the half of 64 bytes and the shift.
fn two_bits(at: u32, part: u32, i: u32) -> u32 {
  return (byte(at + part / 4u * 32u + i) >> (2u * (part & 3u))) & 3u;
}
fn Q2_K(base: u32, part: u32, i: u32) -> f32 {
  let scale = byte(base + part * 2u + i / 16u);
  return half(base + 80u) * f32(scale & 15u) * f32(two_bits(base + 16u, part, i))
    - half(base + 82u) * f32(scale >> 4u);
}
fn Q3_K(base: u32, part: u32, i: u32) -> f32 {
  let group = part * 2u + i / 16u;
  let scales = base + 96u;
  let low_bits = (byte(scales + (group & 7u)) >> (4u * (group / 8u))) & 15u;
  let high_bits = (byte(scales + 8u + (group & 3u)) >> (2u * (group / 4u))) & 3u;
  let scale = f32(low_bits | (high_bits << 4u)) - 32.0;
  let third_bit = ((byte(base + i) >> part) & 1u) << 2u;
  return half(base + 108u) * scale * (f32(two_bits(base + 32u, part, i) | third_bit) - 4.0);
}
// Six-bit scale (x) and minimum (y) of one of eight parts, packed in twelve bytes.
fn scale_min(at: u32, part: u32) -> vec2<f32> {
  if (part < 4u) { return vec2<f32>(f32(byte(at + part) & 63u), f32(byte(at + part + 4u) & 63u)); }
  let scale = (byte(at + part + 4u) & 15u) | ((byte(at + part - 4u) >> 6u) << 4u);
  let minimum = (byte(at + part + 4u) >> 4u) | ((byte(at + part) >> 6u) << 4u);
  return vec2<f32>(f32(scale), f32(minimum));
}
fn Q4_K(base: u32, part: u32, i: u32) -> f32 {
  let s = scale_min(base + 4u, part);
  let code = (byte(base + 16u + part / 2u * 32u + i) >> (4u * (part & 1u))) & 15u;
  return half(base) * s.x * f32(code) - half(base + 2u) * s.y;
}
fn Q5_K(base: u32, part: u32, i: u32) -> f32 {
  let s = scale_min(base + 4u, part);
  let code = (byte(base + 48u + part / 2u * 32u + i) >> (4u * (part & 1u))) & 15u;
  let top = ((byte(base + 16u + i) >> part) & 1u) << 4u;
  return half(base) * s.x * f32(code | top) - half(base + 2u) * s.y;
}
fn Q6_K(base: u32, part: u32, i: u32) -> f32 {
  let quarter = part & 3u;
  let code = (byte(base + part / 4u * 64u + (quarter & 1u) * 32u + i) >> (4u * (quarter / 2u))) & 15u;
  let top = two_bits(base + 128u, part, i) << 4u;
  let scale = signed(byte(base + 192u + part * 2u + i / 16u));
  return half(base + 208u) * scale * (f32(code | top) - 32.0);
}

const BLOCK_ELEMENTS: u32 = {{ block_elements }}u;
const BLOCK_BYTES: u32 = {{ block_bytes }}u;

@compute @workgroup_size({{ workgroup_x }}, {{ workgroup_y }}, 1)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_id) local: vec3<u32>) {
  let first = ((group.y * groups.x + group.x) * {{ workgroup_x }}u + local.x) * 32u;
  for (var i = 0u; i < 32u; i++) {
    let at = first + i;
    if (at >= info[0]) { return; }
    let value = {{ value }};
    let base = value / BLOCK_ELEMENTS * BLOCK_BYTES;
    y[at] = {{ format }}(base, value % BLOCK_ELEMENTS / 32u, value & 31u);
  }
}
