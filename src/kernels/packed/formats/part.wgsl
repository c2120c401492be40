// Matrix {{ s }}: [{{ rows }}, {{ k }}] in panels of 64 rows, in buffer {{ w }}.
const KB{{ s }} = {{ blocks }}u;
fn row{{ s }}(n: u32) -> Row {
  let panel = n >> 6u;
  return Row({{ first }}u + panel * {{ panel_vectors }}u, min(64u, {{ padded_rows }}u - (panel << 6u)), n & 63u);
}
// Word i of a plane that begins after so many words of each row.
fn word{{ s }}(row: Row, before: u32, i: u32) -> u32 {
  return {{ w }}[row.base + (row.height >> 2u) * before + (i >> 2u)][i & 3u];
}
