//! One model in several files, by llama.cpp's rules.
//!
//! Every part is a GGUF file with three keys: its number, how many parts there are, and how many
//! tensors they have together. Part 0 carries the model's metadata, the others may carry nothing
//! else. Tensors are whole; each lies in one part.

use std::collections::HashSet;

use super::error::Error;
use super::header::Header;
use super::metadata::Metadata;

/// The number of this part, from 0.
pub const NUMBER_KEY: &str = "split.no";
/// How many parts there are.
pub const COUNT_KEY: &str = "split.count";
/// How many tensors all parts have together.
pub const TENSOR_COUNT_KEY: &str = "split.tensors.count";

/// What a file says about its place in a split model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Split {
    /// The number of this part, from 0.
    pub number: u32,
    /// How many parts there are.
    pub count: u32,
    /// How many tensors all parts have together.
    pub n_tensors: u32,
}

impl Split {
    /// Reads the keys of a file; a file without them is the only part of its model.
    ///
    /// Fails if the keys are incomplete, have another type, or name a part beyond the count.
    pub fn of(header: &Header) -> Result<Split, Error> {
        let metadata = &header.metadata;
        let n_tensors = header.tensors.len() as u32;
        if metadata.get(NUMBER_KEY).is_none() && metadata.opt_u32(COUNT_KEY)?.unwrap_or(1) <= 1 {
            return Ok(Split {
                number: 0,
                count: 1,
                n_tensors,
            });
        }
        let split = Split {
            number: metadata.u32(NUMBER_KEY)?,
            count: metadata.u32(COUNT_KEY)?,
            n_tensors: metadata.u32(TENSOR_COUNT_KEY)?,
        };
        if split.number >= split.count {
            return Err(Error::SplitMismatch {
                part: split.number as usize,
                key: NUMBER_KEY,
                needed: format!("a number below `{COUNT_KEY}` {}", split.count),
                found: split.number.to_string(),
            });
        }
        Ok(split)
    }

    /// Adds the keys, in the widths that llama.cpp expects.
    ///
    /// Fails if they are there already or if a number does not fit.
    pub fn insert_into(self, metadata: &mut Metadata) -> Result<(), Error> {
        let narrow = |key: &'static str, number: u32| {
            u16::try_from(number).map_err(|_| Error::KeyRange {
                key: key.to_owned(),
                needed: "at most 65535",
                found: number.to_string(),
            })
        };
        let n_tensors = i32::try_from(self.n_tensors).map_err(|_| Error::KeyRange {
            key: TENSOR_COUNT_KEY.to_owned(),
            needed: "at most 2147483647",
            found: self.n_tensors.to_string(),
        })?;
        metadata.insert(NUMBER_KEY, narrow(NUMBER_KEY, self.number)?)?;
        metadata.insert(COUNT_KEY, narrow(COUNT_KEY, self.count)?)?;
        metadata.insert(TENSOR_COUNT_KEY, n_tensors)
    }
}

/// Fails unless these are all parts of one model, in order, with all their tensors.
///
/// A single file without split keys passes.
pub fn check_parts(parts: &[&Header]) -> Result<(), Error> {
    let mut names = HashSet::new();
    let mut first = None;
    for (part, header) in parts.iter().enumerate() {
        let split = Split::of(header)?;
        let first = *first.get_or_insert(split);
        let mismatch = |key, needed: u64, found: u64| {
            Err(Error::SplitMismatch {
                part,
                key,
                needed: needed.to_string(),
                found: found.to_string(),
            })
        };
        if u64::from(split.count) != parts.len() as u64 {
            return mismatch(COUNT_KEY, parts.len() as u64, u64::from(split.count));
        }
        if u64::from(split.number) != part as u64 {
            return mismatch(NUMBER_KEY, part as u64, u64::from(split.number));
        }
        if split.count > 1 && split.n_tensors != first.n_tensors {
            return mismatch(
                TENSOR_COUNT_KEY,
                u64::from(first.n_tensors),
                u64::from(split.n_tensors),
            );
        }
        for tensor in &header.tensors {
            if !names.insert(tensor.name.as_str()) {
                return Err(Error::DuplicateTensor {
                    name: tensor.name.clone(),
                });
            }
        }
    }
    match first {
        Some(first) if u64::from(first.n_tensors) != names.len() as u64 => {
            Err(Error::SplitMismatch {
                part: 0,
                key: TENSOR_COUNT_KEY,
                needed: format!("the {} tensors that the parts hold", names.len()),
                found: first.n_tensors.to_string(),
            })
        }
        _ => Ok(()),
    }
}

/// The file name of a part: `text-00001-of-00003.gguf` for number 0 of 3.
pub fn part_name(stem: &str, number: u32, count: u32) -> String {
    format!("{stem}-{:05}-of-{count:05}.gguf", u64::from(number) + 1)
}

/// Takes a part's file name apart: stem, number from 0, count. `None` for any other name.
pub fn parse_part_name(name: &str) -> Option<(&str, u32, u32)> {
    let (rest, count) = name.strip_suffix(".gguf")?.rsplit_once("-of-")?;
    let (stem, number) = rest.rsplit_once('-')?;
    let digits = |text: &str| {
        (text.len() == 5 && text.bytes().all(|byte| byte.is_ascii_digit()))
            .then(|| text.parse::<u32>().ok())?
    };
    let (number, count) = (digits(number)?, digits(count)?);
    (1..=count)
        .contains(&number)
        .then(|| (stem, number - 1, count))
}
