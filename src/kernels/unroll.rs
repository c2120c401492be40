//! Repeats lines of a shader by hand, because software adapters keep indexed private arrays in
//! memory: what a loop would index becomes names.
//!
//! ```text
//! //# for i in ROWS
//! let x$i = x[at + $iu];
//! //# end
//! ```
//!
//! `$i` becomes 0, 1, … below the count called `ROWS`; blocks nest. `//# if NAME` … `//# end`
//! keeps its lines where the count is not zero, `//# if !NAME` where it is.

/// Expands a template.
///
/// - `count`: the value of a name; an unknown name counts zero
pub fn unroll(source: &str, count: &impl Fn(&str) -> usize) -> String {
    let lines: Vec<&str> = source.lines().collect();
    let mut text = String::with_capacity(source.len());
    expand(&lines, count, &mut text);
    text
}

fn expand(lines: &[&str], count: &impl Fn(&str) -> usize, text: &mut String) {
    let mut at = 0;
    while let Some(line) = lines.get(at) {
        let mut words = line.trim().strip_prefix("//# ").unwrap_or("").split(' ');
        let end = at + 1 + body_length(&lines[at + 1..]);
        match (words.next(), words.next(), words.next(), words.next()) {
            (Some("for"), Some(variable), Some("in"), Some(name)) => {
                let name_in_text = format!("${variable}");
                for i in 0..count(name) {
                    let value = i.to_string();
                    let body: Vec<String> = lines[at + 1..end]
                        .iter()
                        .map(|line| line.replace(&name_in_text, &value))
                        .collect();
                    let body: Vec<&str> = body.iter().map(String::as_str).collect();
                    expand(&body, count, text);
                }
                at = end + 1;
            }
            (Some("if"), Some(name), None, None) => {
                let is_kept = match name.strip_prefix('!') {
                    Some(name) => count(name) == 0,
                    None => count(name) != 0,
                };
                if is_kept {
                    expand(&lines[at + 1..end], count, text);
                }
                at = end + 1;
            }
            _ => {
                text.push_str(line);
                text.push('\n');
                at += 1;
            }
        }
    }
}

/// Lines up to the `//# end` that closes the block just opened.
fn body_length(lines: &[&str]) -> usize {
    let mut depth = 1;
    for (n, line) in lines.iter().enumerate() {
        let line = line.trim();
        if line == "//# end" {
            depth -= 1;
        } else if line.starts_with("//# ") {
            depth += 1;
        }
        if depth == 0 {
            return n;
        }
    }
    lines.len()
}

#[cfg(test)]
mod tests {
    use super::unroll;

    #[test]
    fn blocks_repeat_nest_and_fall_away() {
        let source = "a\n//# for i in TWO\n//# for j in TWO\n$i$j\n//# end\n//# if NONE\nno\n//# end\n//# end\n//# if !NONE\nb\n//# end";
        let count = |name: &str| if name == "TWO" { 2 } else { 0 };
        assert_eq!(unroll(source, &count), "a\n00\n01\n10\n11\nb\n");
    }
}
