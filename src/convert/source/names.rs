//! How published files spell the names of tensors.
//!
//! Names as stored (`model.layers…`, `visual…`), as renamed on load (`model.language_model.layers…`,
//! `model.visual…`) and as vLLM spells them (`language_model.model.layers…`) all become one
//! canonical spelling: `layers…`, `embed_tokens…`, `norm…`, `visual…`, `multi_vector_projector…`.

/// How names are written in a set of files, and how they are looked up here.
#[derive(Clone, Copy)]
pub(super) struct Spelling {
    pub canonical: fn(&str) -> &str,
    /// The published form of a canonical name, for messages.
    pub published: fn(&str) -> String,
}

pub(super) const BASE: Spelling = Spelling {
    canonical: canonical_base,
    published: published_base,
};
pub(super) const ADAPTERS: Spelling = Spelling {
    canonical: canonical_adapter,
    published: published_adapter,
};
/// llama.cpp's names, which are those of the output.
pub(super) const GGUF: Spelling = Spelling {
    canonical: |name| name,
    published: str::to_owned,
};

/// Without the names of the modules around the model, in whatever order they come.
pub(super) fn canonical_base(name: &str) -> &str {
    let outer = |name| {
        ["model.", "language_model."]
            .iter()
            .find_map(|prefix| str::strip_prefix(name, prefix))
    };
    // `language_model.model.` is the longest.
    let inner = outer(name).unwrap_or(name);
    outer(inner).unwrap_or(inner)
}

fn published_base(canonical: &str) -> String {
    let top_level = ["visual.", "multi_vector_projector."];
    let own = top_level.iter().any(|prefix| canonical.starts_with(prefix));
    let prefix = if own { "" } else { "model." };
    format!("{prefix}{canonical}")
}

/// `base_model.model.model.language_model.X` and `base_model.model.model.X` become `X`.
fn canonical_adapter(name: &str) -> &str {
    canonical_base(name.strip_prefix("base_model.model.").unwrap_or(name))
}

fn published_adapter(canonical: &str) -> String {
    let own = canonical.starts_with("multi_vector_projector.");
    let inner = if own { "" } else { "model.language_model." };
    format!("base_model.model.{inner}{canonical}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_known_spelling_of_a_tensor_is_the_same_tensor() {
        for prefix in [
            "model.",
            "model.language_model.",
            "language_model.model.",
            "",
        ] {
            let name = format!("{prefix}layers.3.mlp.up_proj.weight");
            assert_eq!(canonical_base(&name), "layers.3.mlp.up_proj.weight");
        }
        for prefix in ["", "model."] {
            let name = format!("{prefix}visual.merger.ln_q.weight");
            assert_eq!(canonical_base(&name), "visual.merger.ln_q.weight");
        }
        let adapter =
            "base_model.model.model.language_model.layers.0.mlp.up_proj.lora_A.code.weight";
        assert_eq!(
            canonical_adapter(adapter),
            "layers.0.mlp.up_proj.lora_A.code.weight"
        );
    }
}
