//! Importance matrices as llama.cpp writes them: for each matrix of the model the mean square of
//! what each of its columns was multiplied with, over a sample of texts.
//!
//! Two forms are read, told apart by how they begin:
//! - GGUF (`general.type` = `imatrix`): for each matrix `NAME.in_sum2`, sums of squares, and
//!   `NAME.counts`, of how many.
//! - the older `.dat`: `i32` number of entries; for each `i32` length and bytes of the name, `i32`
//!   number of calls, `i32` number of columns, and so many `f32`, which are means times calls. What
//!   follows (calls in all, name of the sample) is not needed.

use std::collections::BTreeMap;
use std::path::Path;

use super::error::Error;
use super::plan::TensorPlan;
use crate::gguf::{self, Header, Parsed};

/// A bound on what is read: an importance matrix of this model has 6 MB.
const MAX_BYTES: u64 = 1 << 30;

/// The importances of the columns of matrices, by llama.cpp's names.
pub(super) struct Importances {
    by_tensor: BTreeMap<String, Vec<f32>>,
    path: std::path::PathBuf,
}

impl Importances {
    /// Reads a file of either form.
    ///
    /// Fails if it is damaged, holds no matrix at all, or a number that is negative or not finite.
    pub fn read(path: &Path) -> Result<Importances, Error> {
        let n_bytes = std::fs::metadata(path).map_err(Error::io(path))?.len();
        if n_bytes > MAX_BYTES {
            return Err(bad(
                path,
                format!("it has {n_bytes} bytes, more than 1 GiB"),
            ));
        }
        let bytes = std::fs::read(path).map_err(Error::io(path))?;
        let by_tensor = match bytes.starts_with(b"GGUF") {
            true => from_gguf(path, &bytes)?,
            false => from_dat(&bytes).map_err(|reason| bad(path, reason))?,
        };
        for (name, values) in &by_tensor {
            if let Some(at) = values.iter().position(|it| !(*it >= 0.0 && it.is_finite())) {
                let found = values[at];
                let reason = format!(
                    "`{name}`: column {at} is {found}; needed a finite number, not negative"
                );
                return Err(bad(path, reason));
            }
        }
        if by_tensor.is_empty() {
            return Err(bad(path, "it holds no matrix".to_owned()));
        }
        Ok(Importances {
            by_tensor,
            path: path.to_owned(),
        })
    }

    /// The importances of a matrix's columns, if they are known.
    pub fn of(&self, name: &str) -> Option<&[f32]> {
        self.by_tensor.get(name).map(Vec::as_slice)
    }

    /// Fails if a matrix has another number of columns than its importances, or if there are none
    /// for any matrix: then the file is of another model.
    pub fn check<'a>(&self, tensors: impl Iterator<Item = &'a TensorPlan>) -> Result<(), Error> {
        let mut n_known = 0;
        for tensor in tensors {
            let Some(found) = self.of(&tensor.spec.name) else {
                continue;
            };
            let needed = tensor.spec.shape.last().copied().unwrap_or(0);
            if found.len() != needed {
                let (name, found) = (&tensor.spec.name, found.len());
                let reason = format!("`{name}` has {found} columns, the model's {needed}");
                return Err(bad(&self.path, reason));
            }
            n_known += 1;
        }
        match n_known {
            0 => Err(bad(
                &self.path,
                "it names no matrix of this model".to_owned(),
            )),
            _ => Ok(()),
        }
    }
}

fn bad(path: &Path, reason: String) -> Error {
    Error::BadImatrix {
        path: path.to_owned(),
        reason,
    }
}

fn from_gguf(path: &Path, bytes: &[u8]) -> Result<BTreeMap<String, Vec<f32>>, Error> {
    let header = match Header::parse(bytes, Some(bytes.len() as u64)) {
        Ok(Parsed::Complete(header)) => header,
        Ok(_) => return Err(bad(path, "its header is cut off".to_owned())),
        Err(error) => return Err(bad(path, error.to_string())),
    };
    let kind = header.metadata.opt_str("general.type")?;
    if kind != Some("imatrix") {
        let reason = format!("`general.type` must be \"imatrix\", but is {kind:?}");
        return Err(bad(path, reason));
    }
    let values = |name: &str| -> Result<Vec<f32>, Error> {
        let tensor = header.tensor(name)?;
        let data = &bytes[tensor.offset as usize..][..tensor.n_bytes as usize];
        let mut values = vec![0.0; tensor.n_elements()];
        gguf::dequantize(tensor.tensor_type, data, &mut values)?;
        Ok(values)
    };
    let mut by_tensor = BTreeMap::new();
    for tensor in &header.tensors {
        let Some(name) = tensor.name.strip_suffix(".in_sum2") else {
            continue;
        };
        let counts = values(&format!("{name}.counts"))?;
        // A list of several counts belongs to stacked experts, which this model has none of.
        let [count] = counts[..] else {
            let reason = format!(
                "`{name}.counts` must be one number, but is {}",
                counts.len()
            );
            return Err(bad(path, reason));
        };
        if count > 0.0 {
            let sums = values(&tensor.name)?;
            let means = sums.into_iter().map(|sum| sum / count).collect();
            by_tensor.insert(name.to_owned(), means);
        }
    }
    Ok(by_tensor)
}

fn from_dat(mut bytes: &[u8]) -> Result<BTreeMap<String, Vec<f32>>, String> {
    let n_entries = count(&mut bytes, "the number of entries")?;
    let mut by_tensor = BTreeMap::new();
    for _ in 0..n_entries {
        let n_name = count(&mut bytes, "the length of a name")?;
        let name = take(&mut bytes, n_name, "a name")?;
        let name = String::from_utf8(name.to_vec()).map_err(|error| error.to_string())?;
        let n_calls = count(&mut bytes, "a number of calls")?;
        let n_values = count(&mut bytes, "a number of columns")?;
        let n_bytes = n_values.saturating_mul(4);
        let values = take(&mut bytes, n_bytes, &format!("the values of `{name}`"))?;
        let values = values.as_chunks::<4>().0.iter();
        if n_calls > 0 {
            let mean = |value: &[u8; 4]| f32::from_le_bytes(*value) / n_calls as f32;
            by_tensor.insert(name, values.map(mean).collect());
        }
    }
    Ok(by_tensor)
}

fn take<'a>(bytes: &mut &'a [u8], n_bytes: usize, what: &str) -> Result<&'a [u8], String> {
    let cut = || format!("it ends within {what}");
    let (taken, rest) = bytes.split_at_checked(n_bytes).ok_or_else(cut)?;
    *bytes = rest;
    Ok(taken)
}

fn count(bytes: &mut &[u8], what: &str) -> Result<usize, String> {
    let taken = take(bytes, 4, what)?;
    let number = i32::from_le_bytes([taken[0], taken[1], taken[2], taken[3]]);
    usize::try_from(number).map_err(|_| format!("{what} is {number}"))
}
