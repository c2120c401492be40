//! Writes a tensor to the device piece by piece.

use burn::{
    backend::{Bytes, DType, DispatchDevice, Shape},
    tensor::{Device as BurnDevice, Tensor, TensorData},
};
use burn_wgpu::{CubeBackend, CubeTensor};

use crate::{Device, Result, gguf::TensorInfo};

use super::Error;

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

impl Upload {
    /// Reserves room for the values of a tensor, unless the device cannot hold them.
    ///
    /// - `file`: what errors call the origin of the tensor
    pub fn new(device: &Device, file: &str, info: &TensorInfo) -> Result<Self> {
        let n_elements = info.n_elements();
        let found = device
            .info()
            .max_binding_bytes
            .min(device.info().max_buffer_bytes);
        let n_bytes = n_elements as u64 * size_of::<f32>() as u64;
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
                let n_bytes = n_elements * size_of::<f32>();
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
                if values.try_reserve_exact(n_elements).is_err() {
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
    pub fn push(&mut self, values: &[f32]) {
        match self {
            Self::Gpu {
                client,
                handle,
                n_bytes,
                position,
                ..
            } => {
                let bytes: &[u8] = bytemuck::cast_slice(values);
                let target = handle
                    .clone()
                    .offset_start(*position as u64)
                    .offset_end((*n_bytes - *position - bytes.len()) as u64);
                client.write(&target, Bytes::from_bytes_vec(bytes.to_vec()));
                // Without a flush every piece stays queued, and in memory, until the next read.
                // A failure to flush is the device's; it is seen when the loading is checked.
                if let Err(error) = client.flush() {
                    log::error!("flushing weights: {error}");
                }
                *position += bytes.len();
            }
            Self::Host { values: all, .. } => all.extend_from_slice(values),
        }
    }

    /// The whole tensor, `[n_elements]`.
    pub fn finish(self) -> Tensor<1> {
        match self {
            Self::Gpu {
                client,
                device,
                handle,
                n_bytes,
                ..
            } => {
                let shape = Shape::from([n_bytes / size_of::<f32>()]);
                Tensor::from_primitive::<CubeBackend>(CubeTensor::new_contiguous(
                    client,
                    device,
                    shape,
                    handle,
                    DType::F32,
                ))
            }
            Self::Host { values, device } => {
                let n_elements = values.len();
                Tensor::from_data(TensorData::new(values, [n_elements]), &device)
            }
        }
    }
}
