// Which columns belong together. Columns are cut into spans, each decoded in one way, and a span
// into runs of pairs; one run is the share of an invocation (or of a workgroup, with tiles).
//   plain: the pairs of a run are neighbouring columns
//   rotate: a pair is two channels of a head that turn together
//   silu: a pair is a gate and what it gates
const PAIRS: u32 = {{ pairs }}u;
struct Pair { first: u32, second: u32 }
fn pair_of(run: u32, j: u32) -> Pair {
//# if rotate
  let p = run * PAIRS + j;
  let first = p / {{ half }}u * {{ head }}u + p % {{ half }}u;
  return Pair(first, first + {{ half }}u);
//# end
//# if silu
  let p = run * PAIRS + j;
  return Pair(p, p);
//# end
//# if plain
  let first = run * 2u * PAIRS + j;
  return Pair(first, first + PAIRS);
//# end
}
// Past the end of x lie zeros of the weights, which only want something finite.
fn input(at: u32) -> vec4<f32> {
//# if ragged
  return x[min(at, {{ m }}u * {{ stride4 }}u - 1u)];
//# end
//# if !ragged
  return x[at];
//# end
}
fn onto(sum: f32, a: vec4<f32>, b: vec4<f32>) -> f32 {
  return fma(a.w, b.w, fma(a.z, b.z, fma(a.y, b.y, fma(a.x, b.x, sum))));
}
//# if rank
const SCALE: f32 = {{ scale }};
// Where the coordinates of a column's low-rank update begin in a row of x.
fn coordinates(column: u32) -> u32 {
//# for p in parts
  if (column < {{ part_end_$p }}u) { return {{ k4 }}u + $pu * {{ rank4 }}u; }
//# end
  return {{ k4 }}u;
}
fn coordinate(at: u32) -> vec4<f32> { return x[min(at, {{ m }}u * {{ stride4 }}u - 1u)] * SCALE; }
//# end
fn bias_of(column: u32) -> f32 {
//# if has_bias
  if (column < {{ biased }}u) { return bias[column]; }
//# end
  return 0.0;
}
fn put(m: u32, slice: u32, pair: Pair, rows: u32, before: u32, a: f32, b: f32) {
//# if plain
  // Slices of K follow one another; the bias is part of the first.
  let to = (slice * {{ m }}u + m) * {{ columns }}u + before;
  let first = select(0.0, bias_of(before + pair.first), slice == 0u);
  let second = select(0.0, bias_of(before + pair.second), slice == 0u);
  if (pair.first < rows) { y[to + pair.first] = a + first; }
  if (pair.second < rows) { y[to + pair.second] = b + second; }
//# end
//# if rotate
  if (pair.second >= rows) { return; }
  let first = before + pair.first;
  let second = before + pair.second;
  let p = a + bias_of(first);
  let q = b + bias_of(second);
  if (first < {{ rotated }}u) {
    let turn = rope[m * {{ half }}u + pair.first % {{ head }}u];
    y[m * {{ columns }}u + first] = p * turn.x - q * turn.y;
    y[m * {{ columns }}u + second] = q * turn.x + p * turn.y;
  } else {
    y[m * {{ columns }}u + first] = p;
    y[m * {{ columns }}u + second] = q;
  }
//# end
//# if silu
  if (pair.first >= rows) { return; }
  let gate = a + bias_of(before + pair.first);
  y[m * {{ columns }}u + before + pair.first] = gate / (1.0 + exp(-gate)) * (b + bias_of({{ columns }}u + before + pair.second));
//# end
}
fn store(m: u32, slice: u32, run: u32, j: u32, a: f32, b: f32) {
  if (m >= {{ m }}u) { return; }
//# for s in spans
  if (run >= {{ first_run_of_$s }}u && run < {{ end_run_of_$s }}u) {
    put(m, slice, pair_of(run - {{ first_run_of_$s }}u, j), {{ rows_of_$s }}u, {{ before_of_$s }}u, a, b);
  }
//# end
}
