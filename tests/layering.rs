//! Data flows one way through the library, and so do its imports. This reads `src` and compares
//! which module names which with the table below: a new edge has to be put there, after a thought.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// Module -> the modules that it uses. Each knows only modules above it, and `error`.
///
/// The command `bin` is a crate of its own, which the compiler holds to the public items.
const LAYERS: [(&str, &[&str]); 20] = [
    ("gguf", &["error"]),
    // Slices only.
    ("cpu", &["gguf"]),
    ("text", &["error", "gguf"]),
    ("image", &["error"]),
    // Vectors only.
    ("search", &["error"]),
    // Text and numbers only, so that every face can read it.
    ("self_test", &["error", "text"]),
    ("js", &["error"]),
    // Tensors only; the block formats of a matrix are those of the file.
    ("kernels", &["cpu", "gguf"]),
    ("model", &["kernels", "text"]),
    ("pooling", &[]),
    ("device", &["error", "kernels"]),
    ("kernel_choice", &["device", "error", "gguf", "kernels"]),
    (
        "weights",
        &["cpu", "device", "error", "gguf", "kernels", "model", "text"],
    ),
    (
        "embedder",
        &[
            "device", "error", "image", "kernels", "model", "pooling", "text", "weights",
        ],
    ),
    ("convert", &["error", "gguf", "self_test", "text"]),
    // HTTP in front of whatever computes.
    ("server", &["error", "pooling", "text"]),
    (
        "model_files",
        &[
            "convert", "device", "embedder", "error", "gguf", "text", "weights",
        ],
    ),
    (
        "verify",
        &["convert", "embedder", "error", "gguf", "self_test", "text"],
    ),
    (
        "web",
        &[
            "device",
            "embedder",
            "error",
            "image",
            "js",
            "kernel_choice",
            "kernels",
            "model",
            "text",
            "weights",
        ],
    ),
    ("edge", &["error", "gguf", "image", "js", "search", "text"]),
];

/// What `error` wraps: the errors of these modules, and nothing else of them.
const WRAPPED: [(&str, &str); 8] = [
    ("convert", "Error"),
    ("gguf", "Error"),
    ("image", "Error"),
    ("model", "Stopped"),
    ("search", "Error"),
    ("self_test", "Error"),
    ("text", "Error"),
    ("weights", "Error"),
];

/// What the tests in `src` use beyond the code that they test.
const IN_TESTS: [(&str, &str); 1] = [("kernels", "device")];

const MAX_LINES: usize = 500;

/// A file of `src` without its comments.
struct Source {
    /// Relative to `src`.
    path: String,
    n_lines: usize,
    code: String,
    /// The tests at the end of the file, or the whole of a file of tests.
    tests: String,
}

impl Source {
    fn read(root: &Path, path: &Path) -> Source {
        let text = fs::read_to_string(path).expect("a source file");
        let is_code = |line: &&str| !line.trim_start().starts_with("//");
        let code: Vec<&str> = text.lines().filter(is_code).collect();
        let code = code.join("\n");
        let relative = path.strip_prefix(root).expect("a file of src");
        let (code, tests) = match relative.file_name().and_then(|name| name.to_str()) {
            Some("tests.rs" | "testing.rs") => (String::new(), code),
            _ => match code.split_once("#[cfg(test)]\nmod tests {") {
                Some((code, tests)) => (code.to_string(), tests.to_string()),
                None => (code, String::new()),
            },
        };
        let parts: Vec<_> = relative
            .iter()
            .map(|part| part.to_str().expect("UTF-8"))
            .collect();
        Source {
            path: parts.join("/"),
            n_lines: text.lines().count(),
            code,
            tests,
        }
    }

    /// `a::b` for `a/b.rs` and `a/b/mod.rs`.
    fn module_path(&self) -> Vec<&str> {
        let path = self.path.trim_end_matches(".rs").trim_end_matches("/mod");
        path.split('/').collect()
    }

    fn module(&self) -> &str {
        self.module_path()[0]
    }
}

/// Every file of `src`.
fn sources() -> Vec<Source> {
    fn walk(directory: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(directory).expect("a directory") {
            let path = entry.expect("an entry").path();
            match path.is_dir() {
                true => walk(&path, found),
                false if path.extension().is_some_and(|it| it == "rs") => found.push(path),
                false => {}
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut paths = Vec::new();
    walk(&root, &mut paths);
    paths.sort();
    let sources: Vec<_> = paths.iter().map(|path| Source::read(&root, path)).collect();
    assert!(sources.len() > 50, "only {} files found", sources.len());
    sources
}

/// The files of the library's modules.
fn library() -> Vec<Source> {
    let mut sources = sources();
    sources.retain(|source| source.module() != "bin" && source.path != "lib.rs");
    sources
}

/// The branches of a use tree: `a::B` and `c` of `{a::B, c}`; a single path is its own branch.
fn branches(tree: &str) -> Vec<String> {
    let Some(tree) = tree.strip_prefix('{') else {
        let end = tree.find(|c: char| !(c.is_alphanumeric() || "_:".contains(c)));
        return vec![tree[..end.unwrap_or(tree.len())].to_string()];
    };
    let (mut depth, mut found) = (0, vec![String::new()]);
    for c in tree.chars() {
        match c {
            '}' if depth == 0 => break,
            ',' if depth == 0 => found.push(String::new()),
            c => {
                depth += i32::from(c == '{') - i32::from(c == '}');
                found.last_mut().expect("one").push(c);
            }
        }
    }
    let found = found.iter().map(|branch| branch.trim().to_string());
    found.filter(|branch| !branch.is_empty()).collect()
}

/// The first name of a path: `gguf` of `gguf::{self, Header}`, of `gguf as g` and of `gguf`.
fn first_name(path: &str) -> &str {
    let end = path.find(|c: char| !(c.is_alphanumeric() || c == '_'));
    &path[..end.unwrap_or(path.len())]
}

/// What follows each `crate::` of some code.
fn uses_of_crate(code: &str) -> BTreeSet<String> {
    code.split("crate::")
        .skip(1)
        .flat_map(branches)
        .map(|path| first_name(&path).to_string())
        .collect()
}

/// Names that `lib.rs` re-exports -> the module they come from.
fn re_exports(lib: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for line in lib.lines() {
        let Some((module, tree)) = line
            .strip_prefix("pub use ")
            .and_then(|path| path.split_once("::"))
        else {
            continue;
        };
        for name in branches(tree) {
            found.insert(name, module.to_string());
        }
    }
    assert_eq!(found.get("Embedder").map(String::as_str), Some("embedder"));
    found
}

fn lib() -> String {
    let lib = sources().into_iter().find(|source| source.path == "lib.rs");
    lib.expect("lib.rs").code
}

/// Module -> modules it uses, from the code or from the tests.
fn edges(part: impl Fn(&Source) -> &str) -> BTreeMap<String, BTreeSet<String>> {
    let re_exports = re_exports(&lib());
    let mut edges: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
    for source in library() {
        let used = edges.entry(source.module().to_string()).or_default();
        for name in uses_of_crate(part(&source)) {
            let module = re_exports.get(&name).unwrap_or(&name);
            if module != source.module() {
                used.insert(module.clone());
            }
        }
    }
    edges
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| name.to_string()).collect()
}

#[test]
fn the_table_lets_no_module_know_one_below_it() {
    let mut above = BTreeSet::from(["error"]);
    for (module, used) in LAYERS {
        for name in used {
            assert!(above.contains(name), "`{module}` stands above `{name}`");
        }
        above.insert(module);
    }
    for (module, _) in WRAPPED {
        assert!(above.contains(module), "`{module}` is not in the table");
    }
}

#[test]
fn every_module_uses_the_modules_of_the_table_and_no_other() {
    let mut found = edges(|source| &source.code);
    let wrapped = WRAPPED.map(|(module, _)| module);
    assert_eq!(found.remove("error"), Some(set(&wrapped)), "error");
    let needed: BTreeMap<_, _> = LAYERS
        .iter()
        .map(|(module, used)| (module.to_string(), set(used)))
        .collect();
    for (module, used) in &found {
        assert_eq!(Some(used), needed.get(module), "`{module}` in src/");
    }
    assert_eq!(found.len(), needed.len(), "{:?}", found.keys());
}

#[test]
fn tests_in_src_use_little_beyond_what_they_test() {
    for (module, used) in edges(|source| &source.tests) {
        let code = LAYERS.iter().find(|(name, _)| *name == module);
        let mut allowed = set(code.map_or(&[], |(_, used)| used));
        let beyond = IN_TESTS.iter().filter(|(name, _)| *name == module);
        allowed.extend(beyond.map(|(_, used)| used.to_string()));
        let extra: Vec<_> = used.difference(&allowed).collect();
        assert!(extra.is_empty(), "tests of `{module}` use {extra:?}");
    }
}

#[test]
fn the_error_of_the_crate_knows_nothing_of_the_modules_but_their_errors() {
    let library = library();
    let source = library.iter().find(|source| source.path == "error.rs");
    let code = &source.expect("error.rs").code;
    for (module, item) in WRAPPED {
        let used: BTreeSet<_> = code
            .split(&format!("{module}::"))
            .skip(1)
            .map(first_name)
            .collect();
        assert_eq!(used, BTreeSet::from([item]), "`{module}` in error.rs");
    }
}

#[test]
fn the_faces_to_javascript_use_only_what_is_public_and_what_they_share() {
    let lib = lib();
    let re_exports = re_exports(&lib);
    let is_face = |source: &&Source| ["web", "edge"].contains(&source.module());
    for source in library().iter().filter(is_face) {
        for name in uses_of_crate(&source.code) {
            let is_public = name == "js"
                || re_exports.contains_key(&name)
                || lib.contains(&format!("pub mod {name};"));
            assert!(is_public, "src/{} uses the private `{name}`", source.path);
        }
    }
}

#[test]
fn no_module_reaches_another_by_way_of_its_parent() {
    for source in library() {
        // The tests at the end of a file are a module below it.
        let depth = source.module_path().len();
        let n_inline = usize::from(!source.code.is_empty());
        for (part, depth) in [(&source.code, depth), (&source.tests, depth + n_inline)] {
            let climb = "super::".repeat(depth);
            let path = &source.path;
            assert!(!part.contains(&climb), "src/{path} has `{climb}`");
        }
    }
}

#[test]
fn no_file_is_longer_than_500_lines() {
    for source in sources() {
        let (path, n_lines) = (&source.path, source.n_lines);
        assert!(n_lines <= MAX_LINES, "src/{path} has {n_lines} lines");
    }
}
