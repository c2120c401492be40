// Matrix {{ s }}, in panels of 64 rows, in buffer {{ w }}.
fn row{{ s }}(n: u32) -> Row {
  let panel = n >> 6u;
  let rows = ({{ rows{{ s }} }}u + 3u) & ~3u;
  return Row({{ first{{ s }} }}u + panel * {{ panel_vectors{{ s }} }}u, min(64u, rows - (panel << 6u)), n & 63u, {{ blocks{{ s }} }}u);
}
// Word i of a plane that begins after so many words of each row.
fn word{{ s }}(row: Row, before: u32, i: u32) -> u32 {
  return {{ w }}[row.base + (row.height >> 2u) * before + (i >> 2u)][i & 3u];
}
