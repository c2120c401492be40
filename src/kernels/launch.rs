//! Launches a WGSL kernel on tensors of the graphics device.

use burn::{
    backend::{DType, Shape},
    tensor::Tensor,
};
use burn_wgpu::{CubeBackend, CubeDim, CubeTensor, KernelSource, SourceKernel, SourceTemplate};
use cubecl::{
    ir::attributes::BufferIOAttr,
    prelude::{CubeCount, KernelId},
    server::{KernelArguments, MetadataBindingInfo},
};

/// Invocations of a workgroup along x and y; WebGPU guarantees 256 in all.
pub type WorkgroupSize = [u32; 2];

/// Workgroups that WebGPU guarantees along one dimension.
pub const MAX_WORKGROUPS: u32 = 65_535;

/// A kernel: its text with placeholders, and what they stand for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Kernel {
    /// WGSL with `{{ bindings }}` for the declarations and a placeholder for each constant.
    pub source: &'static str,
    /// Names and element types of the inputs, in binding order.
    pub inputs: Vec<(&'static str, &'static str)>,
    /// Element type of the output, which is called `y`.
    pub output: &'static str,
    /// Values of the placeholders.
    pub constants: Vec<(&'static str, String)>,
    pub workgroup_size: WorkgroupSize,
}

impl KernelSource for Kernel {
    fn source(&self) -> SourceTemplate {
        let mut template = SourceTemplate::new(self.source)
            .register("bindings", self.bindings())
            .register("workgroup_x", self.workgroup_size[0].to_string())
            .register("workgroup_y", self.workgroup_size[1].to_string());
        for (name, value) in &self.constants {
            template = template.register(*name, value.clone());
        }
        template
    }

    fn id(&self) -> KernelId {
        KernelId::new::<Self>().info(self.clone())
    }

    fn lang(&self) -> &'static str {
        "wgsl"
    }
}

impl Kernel {
    fn bindings(&self) -> String {
        // Natively one buffer holds many tensors, and a buffer may not be bound both for reading
        // and for writing; in a browser every allocation is a buffer of its own.
        let access = if cfg!(target_family = "wasm") {
            "read"
        } else {
            "read_write"
        };
        let mut declarations = String::new();
        for (binding, (name, element)) in self.inputs.iter().enumerate() {
            declarations += &format!(
                "@group(0) @binding({binding}) var<storage, {access}> {name}: array<{element}>;\n"
            );
        }
        let output = self.inputs.len();
        declarations += &format!(
            "@group(0) @binding({output}) var<storage, read_write> y: array<{}>;\n\
             @group(0) @binding({}) var<storage, read> info: array<u32>;\n",
            self.output,
            output + 1
        );
        declarations
    }

    /// Runs the kernel.
    ///
    /// - `tensors`: the inputs, contiguous
    /// - `shape`: of the output
    /// - `info`: numbers that the kernel reads from `info`
    pub fn launch(
        self,
        tensors: Vec<CubeTensor>,
        shape: [usize; 2],
        workgroups: [u32; 3],
        info: &[u32],
    ) -> Tensor<2> {
        let client = tensors[0].client.clone();
        let device = tensors[0].device.clone();
        let output = client.empty(shape[0] * shape[1] * size_of::<f32>());
        let mut arguments = KernelArguments::new();
        for tensor in &tensors {
            arguments =
                arguments.with_buffer_io(tensor.handle.clone().binding(), BufferIOAttr::ReadOnly);
        }
        // The runtime passes 64-bit words; the kernel sees them as pairs, low half first.
        let words = info
            .chunks(2)
            .map(|pair| u64::from(pair[0]) | u64::from(*pair.get(1).unwrap_or(&0)) << 32)
            .collect();
        arguments = arguments
            .with_buffer_io(output.clone().binding(), BufferIOAttr::WriteOnly)
            .with_info(MetadataBindingInfo::custom(words));
        let [x, y] = self.workgroup_size;
        let [count_x, count_y, count_z] = workgroups;
        client.launch(
            Box::new(SourceKernel::new(self, CubeDim::new_2d(x, y))),
            CubeCount::Static(count_x, count_y, count_z),
            arguments,
        );
        let output =
            CubeTensor::new_contiguous(client, device, Shape::from(shape), output, DType::F32);
        Tensor::from_primitive::<CubeBackend>(output)
    }
}

/// The tensor's buffer, its rows one after the other.
///
/// A tensor of another device cannot be launched on; it is returned as `None`.
pub fn contiguous<const D: usize>(tensor: Tensor<D>) -> Option<CubeTensor> {
    let tensor = tensor.try_into_primitive::<CubeBackend>().ok()?;
    Some(burn_wgpu::into_contiguous(tensor))
}

/// Workgroups in two dimensions that hold at least `n` of them.
pub fn spread(n: u32) -> [u32; 3] {
    let y = n.div_ceil(MAX_WORKGROUPS).max(1);
    [n.div_ceil(y), y, 1]
}
