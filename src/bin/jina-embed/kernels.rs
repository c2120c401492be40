//! The kernels that an adapter runs fastest: measured when it is first used, then remembered in the
//! user's cache folder. A file that cannot be read or written is none: measuring again costs seconds.

use std::{
    collections::BTreeMap,
    fs,
    io::Write,
    path::{Path, PathBuf},
    time::Instant,
};

use jina_embeddings_web::{Device, kernel_choice, kernels::Kernels};

use crate::failure::Failure;

/// The remembered choice of this adapter, or one measured now. Software adapters have a fixed one.
pub fn choose(device: &Device) -> Result<Kernels, Failure> {
    if !kernel_choice::is_worthwhile(device) {
        return Ok(device.kernels());
    }
    let memory = dirs::cache_dir().map(|folder| Memory {
        path: folder.join("jina-embeddings-web").join("kernels.json"),
    });
    let key = key(device);
    let known = memory
        .as_ref()
        .and_then(|memory| memory.read().remove(&key));
    if let Some(kernels) = known.and_then(|text| kernel_choice::recalled(device, &text)) {
        return Ok(kernels);
    }
    eprintln!("measuring kernels on this adapter, once");
    let kernels = measure(device)?;
    if let Some(memory) = memory
        && let Err(error) = memory.add(key, kernels.to_string())
    {
        eprintln!(
            "the choice of kernels is not kept: {}: {error}",
            memory.path.display()
        );
    }
    Ok(kernels)
}

/// Measures, whatever is remembered.
pub fn measure(device: &Device) -> Result<Kernels, Failure> {
    let began = Instant::now();
    let now = || began.elapsed().as_secs_f64() * 1e3;
    Ok(pollster::block_on(kernel_choice::measure(device, now))?)
}

/// Names the adapter, its driver and this version.
fn key(device: &Device) -> String {
    let info = device.info();
    let driver = device.setup().map(|setup| {
        let info = setup.adapter.get_info();
        format!("{} {}", info.driver, info.driver_info)
    });
    let driver = driver.unwrap_or_default();
    let version = env!("CARGO_PKG_VERSION");
    format!("{version} | {} | {} | {driver}", info.name, info.backend)
}

/// Choices by their keys, in a file.
struct Memory {
    path: PathBuf,
}

impl Memory {
    fn read(&self) -> BTreeMap<String, String> {
        let bytes = fs::read(&self.path).unwrap_or_default();
        serde_json::from_slice(&bytes).unwrap_or_default()
    }

    /// Adds a choice; the file is replaced whole.
    fn add(&self, key: String, kernels: String) -> std::io::Result<()> {
        let mut choices = self.read();
        choices.insert(key, kernels);
        let folder = self.path.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(folder)?;
        let mut unfinished = self.path.clone();
        unfinished.set_extension(format!("{}.json", std::process::id()));
        let written = fs::File::create(&unfinished)
            .and_then(|mut file| file.write_all(&serde_json::to_vec_pretty(&choices)?))
            .and_then(|()| fs::rename(&unfinished, &self.path));
        if written.is_err() {
            let _ = fs::remove_file(&unfinished);
        }
        written
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn memory() -> (tempfile::TempDir, Memory) {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("deeper").join("kernels.json");
        (folder, Memory { path })
    }

    #[test]
    fn choices_of_several_adapters_are_remembered_side_by_side() {
        let (folder, memory) = memory();
        assert!(memory.read().is_empty());
        for name in ["one", "two", "one"] {
            memory
                .add(name.into(), format!("of {name}"))
                .expect("written");
        }
        let found: Vec<_> = memory.read().into_values().collect();
        assert_eq!(found, ["of one", "of two"]);
        let files = fs::read_dir(folder.path().join("deeper")).expect("a folder");
        assert_eq!(files.count(), 1, "nothing unfinished lies about");
    }

    #[test]
    fn a_damaged_file_remembers_nothing_and_is_replaced() {
        let (_folder, memory) = memory();
        fs::create_dir_all(memory.path.parent().expect("a folder")).expect("made");
        fs::write(&memory.path, b"{\"one\": ").expect("written");
        assert!(memory.read().is_empty());
        memory.add("two".into(), "of two".into()).expect("written");
        assert_eq!(memory.read().len(), 1);
    }
}
