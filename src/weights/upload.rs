//! Writes a tensor to the device piece by piece.

use burn::{
    backend::{Bytes, DType, DispatchDevice, Shape},
    tensor::{Device as BurnDevice, Int, Tensor, TensorData},
};
use burn_wgpu::{CubeBackend, CubeTensor};

use crate::{Device, Result, device::Kind, gguf::TensorInfo, gguf::TensorType, kernels::Blocks};

use super::{Error, stream::Want, tensors::Stored};

/// A tensor under way to the device.
pub enum Upload {
    /// A buffer on the GPU, filled from its start.
    Gpu {
        client: cubecl::client::Client,
        device: cubecl::Device,
        handle: cubecl::server::Handle,
        n_bytes: usize,
        position: usize,
    },
    /// The CPU device computes from host memory.
    Host {
        values: Vec<f32>,
        device: BurnDevice,
    },
}

/// In which form a device keeps a tensor: a graphics card decodes matrices where it uses them, the
/// processor keeps numbers.
pub fn form(device: &Device, info: &TensorInfo) -> Want {
    let is_matrix = info.shape.len() == 2;
    match device.info().kind {
        Kind::Gpu if is_matrix && info.tensor_type != TensorType::F32 => Want::Blocks,
        _ => Want::Values,
    }
}

impl Upload {
    /// Reserves room for a tensor, unless the device cannot hold it.
    ///
    /// - `file`: what errors call the origin of the tensor
    pub fn new(device: &Device, file: &str, info: &TensorInfo) -> Result<Self> {
        let n_bytes = match form(device, info) {
            Want::Blocks => info.n_bytes.next_multiple_of(4),
            _ => info.n_elements() as u64 * size_of::<f32>() as u64,
        };
        let found = device
            .info()
            .max_binding_bytes
            .min(device.info().max_buffer_bytes);
        let (file, tensor) = (file.to_string(), info.name.clone());
        if n_bytes > found {
            return Err(Error::TooLargeForDevice {
                file,
                tensor,
                needed: n_bytes,
                found,
            }
            .into());
        }
        match device.burn().as_dispatch() {
            DispatchDevice::Cube(cube) => {
                let client = cube.client();
                let n_bytes = n_bytes as usize;
                // Exactly this size, outside the pools that grow: weights live as long as the model.
                let handle = client.memory_persistent_allocation((), |_| client.empty(n_bytes));
                Ok(Self::Gpu {
                    client,
                    device: cube.clone(),
                    handle,
                    n_bytes,
                    position: 0,
                })
            }
            _ => {
                let mut values = Vec::new();
                if values.try_reserve_exact(info.n_elements()).is_err() {
                    return Err(Error::OutOfMemory {
                        file,
                        tensor,
                        needed: n_bytes,
                    }
                    .into());
                }
                Ok(Self::Host {
                    values,
                    device: device.burn().clone(),
                })
            }
        }
    }

    /// Appends values.
    pub fn push_values(&mut self, values: &[f32]) {
        match self {
            Self::Gpu { .. } => self.push_blocks(bytemuck::cast_slice(values)),
            Self::Host { values: all, .. } => all.extend_from_slice(values),
        }
    }

    /// Appends bytes, a multiple of four but at the end of the tensor.
    pub fn push_blocks(&mut self, bytes: &[u8]) {
        let Self::Gpu {
            client,
            handle,
            n_bytes,
            position,
            ..
        } = self
        else {
            return;
        };
        let mut bytes = bytes.to_vec();
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        let n_written = bytes.len();
        let target = handle
            .clone()
            .offset_start(*position as u64)
            .offset_end((*n_bytes - *position - n_written) as u64);
        client.write(&target, Bytes::from_bytes_vec(bytes));
        // Without a flush every piece stays queued, and in memory, until the next read. A failure
        // to flush is the device's; it is seen when the loading is checked.
        if let Err(error) = client.flush() {
            log::error!("flushing weights: {error}");
        }
        *position += n_written;
    }

    /// The whole tensor.
    pub fn finish(self, info: &TensorInfo, form: Want) -> Stored {
        match (self, form, &info.shape[..]) {
            (
                Self::Gpu {
                    client,
                    device,
                    handle,
                    n_bytes,
                    ..
                },
                Want::Blocks,
                [n, k],
            ) => {
                let shape = Shape::from([n_bytes / size_of::<u32>()]);
                let words = CubeTensor::new_contiguous(client, device, shape, handle, DType::U32);
                Stored::Blocks(Blocks {
                    words: Tensor::<1, Int>::from_primitive::<CubeBackend>(words),
                    tensor_type: info.tensor_type,
                    shape: [*n, *k],
                })
            }
            (
                Self::Gpu {
                    client,
                    device,
                    handle,
                    n_bytes,
                    ..
                },
                _,
                _,
            ) => {
                let shape = Shape::from([n_bytes / size_of::<f32>()]);
                let values = CubeTensor::new_contiguous(client, device, shape, handle, DType::F32);
                let values = Tensor::from_primitive::<CubeBackend>(values);
                Stored::Values {
                    shape: info.shape.clone(),
                    values,
                }
            }
            (Self::Host { values, device }, _, _) => {
                let n_elements = values.len();
                let values = Tensor::from_data(TensorData::new(values, [n_elements]), &device);
                Stored::Values {
                    shape: info.shape.clone(),
                    values,
                }
            }
        }
    }
}
