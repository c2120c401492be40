//! Tensors by name: either a list of what is needed, or what was read.

use std::collections::BTreeMap;

use burn::tensor::{Device, Tensor};

use crate::Result;

use super::Error;

/// Where the functions that build a model take their tensors from.
///
/// Built from [`Source::plan`], a model is a dry run that lists names and shapes; built from
/// [`Source::loaded`], it is the model. So each name and shape is stated once.
pub struct Source<'a> {
    file: &'a str,
    inner: Inner<'a>,
}

enum Inner<'a> {
    Plan {
        needed: BTreeMap<String, Vec<usize>>,
        device: Device,
    },
    Loaded(&'a mut Tensors),
}

/// Tensors that were read, in the order of their names.
pub type Tensors = BTreeMap<String, (Vec<usize>, Tensor<1>)>;

impl<'a> Source<'a> {
    /// Takes nothing and notes what is asked for.
    pub fn plan() -> Self {
        // The stand-ins are never computed with; the CPU device makes them without a GPU.
        Self {
            file: "",
            inner: Inner::Plan {
                needed: BTreeMap::new(),
                device: Device::flex(),
            },
        }
    }

    /// Takes from what was read.
    ///
    /// - `file`: what errors call the origin of the tensors
    pub fn loaded(file: &'a str, tensors: &'a mut Tensors) -> Self {
        Self {
            file,
            inner: Inner::Loaded(tensors),
        }
    }

    /// What a dry run asked for.
    pub fn into_plan(self) -> BTreeMap<String, Vec<usize>> {
        match self.inner {
            Inner::Plan { needed, .. } => needed,
            Inner::Loaded(_) => BTreeMap::new(),
        }
    }

    /// The tensor of that name and shape (outermost dimension first).
    pub fn take<const D: usize>(&mut self, name: &str, shape: [usize; D]) -> Result<Tensor<D>> {
        match &mut self.inner {
            Inner::Plan { needed, device } => {
                needed.insert(name.to_string(), shape.to_vec());
                Ok(Tensor::zeros([1; D], &*device))
            }
            Inner::Loaded(tensors) => match tensors.remove(name) {
                Some((found, tensor)) if found == shape => Ok(tensor.reshape(shape)),
                Some((found, _)) => Err(Error::WrongShape {
                    file: self.file.to_string(),
                    tensor: name.to_string(),
                    needed: shape.to_vec(),
                    found,
                }
                .into()),
                None => Err(Error::MissingTensor {
                    file: self.file.to_string(),
                    tensor: name.to_string(),
                    needed: shape.to_vec(),
                }
                .into()),
            },
        }
    }
}
