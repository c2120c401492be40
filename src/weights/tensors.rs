//! Tensors by name: either a list of what is needed, or what was read.

use std::{collections::BTreeMap, sync::Arc};

use burn::tensor::{Device, Tensor};

use crate::{
    Result, cpu,
    kernels::{Packed, Weight},
};

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
    },
    Loaded(&'a mut Tensors),
}

/// A tensor on the device.
#[derive(Debug, Clone)]
pub enum Stored {
    /// In f32, with its shape, outermost dimension first.
    Values {
        shape: Vec<usize>,
        values: Box<Tensor<1>>,
    },
    /// A matrix in the blocks of its file.
    Packed(Packed),
    /// A matrix in the blocks of its file on the processor.
    Host {
        shape: [usize; 2],
        matrix: Arc<cpu::Matrix>,
    },
}

impl Stored {
    /// Outermost dimension first.
    pub fn shape(&self) -> &[usize] {
        match self {
            Stored::Values { shape, .. } => shape,
            Stored::Packed(packed) => &packed.shape,
            Stored::Host { shape, .. } => shape,
        }
    }

    /// As a matrix. The shape was compared before.
    pub fn into_weight(self, shape: [usize; 2]) -> Weight {
        match self {
            Stored::Values { values, .. } => values.reshape(shape).into(),
            Stored::Packed(packed) => Weight::Packed(vec![packed]),
            Stored::Host { matrix, .. } => Weight::Host(vec![matrix]),
        }
    }

    /// In f32. The shape was compared before.
    pub fn into_dense<const D: usize>(self, shape: [usize; D]) -> Tensor<D> {
        match self {
            Stored::Values { values, .. } => values.reshape(shape),
            Stored::Packed(packed) => packed.dense().reshape(shape),
            Stored::Host { matrix, .. } => Weight::Host(vec![matrix]).dense().reshape(shape),
        }
    }
}

/// Tensors that were read, in the order of their names.
pub type Tensors = BTreeMap<String, Stored>;

impl<'a> Source<'a> {
    /// Takes nothing and notes what is asked for.
    pub fn plan() -> Self {
        Self {
            file: "",
            inner: Inner::Plan {
                needed: BTreeMap::new(),
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
            Inner::Plan { needed } => needed,
            Inner::Loaded(_) => BTreeMap::new(),
        }
    }

    /// The tensor of that name and shape (outermost dimension first), in f32.
    pub fn take<const D: usize>(&mut self, name: &str, shape: [usize; D]) -> Result<Tensor<D>> {
        Ok(match self.stored(name, &shape)? {
            Some(stored) => stored.into_dense(shape),
            None => Tensor::zeros([1; D], &Device::flex()),
        })
    }

    /// The matrix of that name and shape, as the device keeps it.
    pub fn take_weight(&mut self, name: &str, shape: [usize; 2]) -> Result<Weight> {
        Ok(match self.stored(name, &shape)? {
            Some(stored) => stored.into_weight(shape),
            None => Tensor::zeros([1, 1], &Device::flex()).into(),
        })
    }

    /// Takes a tensor, or notes that it is needed. The stand-ins of a dry run are never computed
    /// with; the CPU device makes them without a GPU.
    fn stored(&mut self, name: &str, shape: &[usize]) -> Result<Option<Stored>> {
        match &mut self.inner {
            Inner::Plan { needed } => {
                needed.insert(name.to_string(), shape.to_vec());
                Ok(None)
            }
            Inner::Loaded(tensors) => match tensors.remove(name) {
                Some(stored) if stored.shape() == shape => Ok(Some(stored)),
                Some(stored) => Err(Error::WrongShape {
                    file: self.file.to_string(),
                    tensor: name.to_string(),
                    needed: shape.to_vec(),
                    found: stored.shape().to_vec(),
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
