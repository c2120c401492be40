//! Writes a tensor to the device piece by piece.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use burn::{
    backend::{Bytes, DType, DispatchDevice, Shape},
    tensor::{Device as BurnDevice, Int, Tensor, TensorData},
};
use burn_wgpu::{CubeBackend, CubeTensor};

use crate::{
    Device, Result, cpu,
    gguf::TensorInfo,
    kernels::{Packed, Packer, Part, padded_rows, row_words, rows_per_part},
};

use super::{Error, stream::Want, tables::stack_of, tensors::Stored};

/// A tensor under way to the device.
pub enum Upload {
    /// Numbers, into a buffer of the GPU.
    Values { buffer: Buffer, position: usize },
    /// A matrix, repacked panel by panel, into one buffer or several.
    Packed {
        packer: Packer,
        targets: Vec<Target>,
        /// Target under way, and bytes of it that are written.
        target: usize,
        position: usize,
    },
    /// Numbers, for the processor.
    HostValues {
        values: Vec<f32>,
        device: BurnDevice,
    },
    /// A matrix, for the processor.
    HostMatrix(cpu::MatrixBuilder),
}

/// A buffer on the GPU.
#[derive(Clone)]
pub struct Buffer {
    client: cubecl::client::Client,
    device: cubecl::Device,
    handle: cubecl::server::Handle,
    n_bytes: usize,
    /// Tells buffers apart.
    id: usize,
}

/// Where some rows of a matrix go.
pub struct Target {
    buffer: Buffer,
    /// First byte.
    start: usize,
    n_rows: usize,
    n_bytes: usize,
}

/// Buffers that hold several tensors, by the name of the first.
pub type Shared = BTreeMap<String, Buffer>;

/// In which form a device keeps a tensor: matrices in blocks, which are decoded where they are
/// used.
pub fn form(info: &TensorInfo) -> Want {
    match info.shape.len() {
        2 => Want::Blocks,
        _ => Want::Values,
    }
}

/// Bytes of a matrix on the device.
fn packed_bytes(info: &TensorInfo) -> usize {
    match info.shape[..] {
        [n, k] => padded_rows(n) * row_words(info.tensor_type, k) * size_of::<u32>(),
        _ => 0,
    }
}

impl Buffer {
    /// Room of exactly this size, outside the pools that grow: weights live as long as the model.
    fn new(cube: &cubecl::Device, n_bytes: usize) -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let client = cube.client();
        let handle = client.memory_persistent_allocation((), |_| client.empty(n_bytes));
        Self {
            client,
            device: cube.clone(),
            handle,
            n_bytes,
            id: NEXT.fetch_add(1, Ordering::Relaxed),
        }
    }

    fn write(&self, start: usize, bytes: Vec<u8>) {
        let rest = self.n_bytes - start - bytes.len();
        let target = self
            .handle
            .clone()
            .offset_start(start as u64)
            .offset_end(rest as u64);
        self.client.write(&target, Bytes::from_bytes_vec(bytes));
        // Without a flush every piece stays queued, and in memory, until the next read. A failure
        // to flush is the device's; it is seen when the loading is checked.
        if let Err(error) = self.client.flush() {
            log::error!("flushing weights: {error}");
        }
    }

    fn tensor(self, dtype: DType) -> CubeTensor {
        let shape = Shape::from([self.n_bytes / size_of::<u32>()]);
        CubeTensor::new_contiguous(self.client, self.device, shape, self.handle, dtype)
    }
}

impl Upload {
    /// Reserves room for a tensor, unless the device cannot hold it.
    ///
    /// - `file`: what errors call the origin of the tensor
    /// - `tensors`: all of that file: those that are used together get one buffer
    pub fn new(
        device: &Device,
        file: &str,
        info: &TensorInfo,
        tensors: &[TensorInfo],
        shared: &mut Shared,
    ) -> Result<Self> {
        let most = device
            .info()
            .max_binding_bytes
            .min(device.info().max_buffer_bytes);
        let fits = |needed: usize| match needed as u64 > most {
            true => Err(Error::TooLargeForDevice {
                file: file.to_string(),
                tensor: info.name.clone(),
                needed: needed as u64,
                found: most,
            }),
            false => Ok(()),
        };
        match (device.burn().as_dispatch(), form(info), &info.shape[..]) {
            (DispatchDevice::Cube(cube), Want::Blocks, [n, k]) => {
                let row_bytes = row_words(info.tensor_type, *k) * size_of::<u32>();
                let rows_per_part = rows_per_part(info.tensor_type, *k);
                fits((*n).min(rows_per_part) * row_bytes)?;
                let target = |buffer, start, n_rows| Target {
                    buffer,
                    start,
                    n_rows,
                    n_bytes: padded_rows(n_rows) * row_bytes,
                };
                let targets = match stack(info, tensors, rows_per_part * row_bytes) {
                    Some((name, n_bytes, start)) => {
                        let buffer = shared
                            .entry(name)
                            .or_insert_with(|| Buffer::new(cube, n_bytes));
                        vec![target(buffer.clone(), start, *n)]
                    }
                    None => (0..*n)
                        .step_by(rows_per_part)
                        .map(|first| {
                            let n_rows = rows_per_part.min(n - first);
                            let n_bytes = padded_rows(n_rows) * row_bytes;
                            target(Buffer::new(cube, n_bytes), 0, n_rows)
                        })
                        .collect(),
                };
                Ok(Self::Packed {
                    packer: Packer::new(info.tensor_type, [*n, *k]),
                    targets,
                    target: 0,
                    position: 0,
                })
            }
            (DispatchDevice::Cube(cube), _, _) => {
                let n_bytes = info.n_elements() * size_of::<f32>();
                fits(n_bytes)?;
                Ok(Self::Values {
                    buffer: Buffer::new(cube, n_bytes),
                    position: 0,
                })
            }
            (_, Want::Blocks, [n, k]) => {
                let builder = cpu::MatrixBuilder::new(info.tensor_type, [*n, *k]);
                let builder = builder.map_err(|error| Error::of_matrix(file, info, error))?;
                Ok(Self::HostMatrix(builder))
            }
            _ => {
                let mut values = Vec::new();
                if values.try_reserve_exact(info.n_elements()).is_err() {
                    return Err(Error::OutOfMemory {
                        file: file.to_string(),
                        tensor: info.name.clone(),
                        needed: info.n_elements() as u64 * size_of::<f32>() as u64,
                    }
                    .into());
                }
                Ok(Self::HostValues {
                    values,
                    device: device.burn().clone(),
                })
            }
        }
    }

    /// Appends values.
    pub fn push_values(&mut self, values: &[f32]) {
        match self {
            Self::Values { buffer, position } => {
                let bytes: &[u8] = bytemuck::cast_slice(values);
                buffer.write(*position, bytes.to_vec());
                *position += bytes.len();
            }
            Self::HostValues { values: all, .. } => all.extend_from_slice(values),
            Self::Packed { .. } | Self::HostMatrix(_) => {}
        }
    }

    /// Appends blocks, in file order.
    pub fn push_blocks(&mut self, bytes: &[u8]) -> std::result::Result<(), cpu::Error> {
        let (packer, targets, target, position) = match self {
            Self::Packed {
                packer,
                targets,
                target,
                position,
            } => (packer, targets, target, position),
            Self::HostMatrix(builder) => return builder.push(bytes),
            Self::Values { .. } | Self::HostValues { .. } => return Ok(()),
        };
        packer.push(bytes, |panel| {
            let Target {
                buffer,
                start,
                n_bytes,
                ..
            } = &targets[*target];
            let panel: &[u8] = bytemuck::cast_slice(&panel);
            buffer.write(start + *position, panel.to_vec());
            *position += panel.len();
            if *position == *n_bytes {
                *target += 1;
                *position = 0;
            }
        });
        Ok(())
    }

    /// The whole tensor.
    pub fn finish(self, info: &TensorInfo) -> std::result::Result<Stored, cpu::Error> {
        Ok(match self {
            Self::Packed { targets, .. } => {
                let parts = targets.into_iter().map(|target| {
                    let (buffer, first) = (target.buffer.id, target.start / 16);
                    let words = target.buffer.tensor(DType::U32);
                    Part {
                        words: Tensor::<1, Int>::from_primitive::<CubeBackend>(words),
                        buffer,
                        first,
                        n_rows: target.n_rows,
                    }
                });
                Stored::Packed(Packed {
                    parts: parts.collect(),
                    tensor_type: info.tensor_type,
                    shape: [info.shape[0], info.shape[1]],
                })
            }
            Self::Values { buffer, .. } => Stored::Values {
                shape: info.shape.clone(),
                values: Box::new(Tensor::from_primitive::<CubeBackend>(
                    buffer.tensor(DType::F32),
                )),
            },
            Self::HostValues { values, device } => {
                let n_elements = values.len();
                Stored::Values {
                    shape: info.shape.clone(),
                    values: Box::new(Tensor::from_data(
                        TensorData::new(values, [n_elements]),
                        &device,
                    )),
                }
            }
            Self::HostMatrix(builder) => {
                let matrix = Arc::new(builder.finish()?);
                let shape = matrix.shape();
                Stored::Host { shape, matrix }
            }
        })
    }
}

/// The buffer that a tensor shares with those used together with it: the name of the first, bytes
/// of all, bytes before this one. `None` if one of them is in another file, or if they are more
/// than one binding holds.
fn stack(info: &TensorInfo, tensors: &[TensorInfo], most: usize) -> Option<(String, usize, usize)> {
    let names = stack_of(&info.name);
    let (mut start, mut n_bytes) = (0, 0);
    for name in &names {
        let member = tensors.iter().find(|tensor| tensor.name == *name)?;
        if *name == info.name {
            start = n_bytes;
        }
        n_bytes += packed_bytes(member);
    }
    (names.len() > 1 && n_bytes <= most).then(|| (names[0].clone(), n_bytes, start))
}
