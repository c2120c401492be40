//! Launches a WGSL kernel on tensors of the graphics device.

use std::{
    cell::RefCell,
    hash::{Hash, Hasher},
    sync::Arc,
};

use burn::{
    backend::{DType, Shape},
    tensor::{Int, Tensor},
};
use burn_wgpu::{CubeBackend, CubeDim, CubeTensor, KernelSource, SourceKernel, SourceTemplate};
use cubecl::{
    ir::attributes::BufferIOAttr,
    prelude::{CubeCount, KernelId},
    server::{KernelArguments, MetadataBindingInfo},
};

use super::{
    name::{Name, Source, Value},
    packed, timing,
    unroll::unroll,
};

/// Invocations of a workgroup along x and y; WebGPU guarantees 256 in all.
pub type WorkgroupSize = [u32; 2];

/// Workgroups that WebGPU guarantees along one dimension.
pub const MAX_WORKGROUPS: u32 = 65_535;

/// A kernel: its text with placeholders, and what they stand for.
///
/// The text holds `{{ bindings }}` for the declarations, `{{ decoders }}` for the functions that
/// decode packed matrices, `{{ name }}` for each constant, and blocks to [`unroll`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kernel {
    /// What counters call it.
    pub name: &'static str,
    pub source: Source,
    /// Names and element types of the inputs, in binding order.
    pub inputs: Vec<(Name, &'static str)>,
    /// Names and element types of the outputs.
    pub outputs: Vec<(&'static str, &'static str)>,
    /// Matrices among the inputs, in groups whose rows follow one another. For each the text may
    /// call a function of that name, `(row, kb, o) -> Octet`.
    pub decoders: Vec<(&'static str, Vec<packed::Decoder>)>,
    /// Values of placeholders, and counts of what is unrolled.
    pub constants: Vec<(Name, usize)>,
    /// Names of the numbers that each launch brings along, first in `info`: `{{ name }}u` stands for
    /// one. A shape is a number, so that layers of different sizes share a compiled shader.
    pub numbers: Vec<Name>,
    /// Values of placeholders within names, or that are no counts.
    pub switches: Vec<(Name, Value)>,
    pub workgroup_size: WorkgroupSize,
}

/// A kernel as the runtime keeps it, which asks for its id more than once for each launch.
#[derive(Clone)]
struct Shared(Arc<Kernel>);

impl KernelSource for Shared {
    fn source(&self) -> SourceTemplate {
        SourceTemplate::new(self.0.text())
    }

    fn id(&self) -> KernelId {
        KernelId::new::<Self>().info(self.0.clone())
    }

    fn lang(&self) -> &'static str {
        "wgsl"
    }
}

/// Values alone: which names they have follows from the source, and a launch waits for this.
impl Hash for Kernel {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.source.hash(state);
        self.workgroup_size.hash(state);
        for (_, decoders) in &self.decoders {
            decoders
                .iter()
                .for_each(|decoder| decoder.tensor_type.hash(state));
        }
        self.constants
            .iter()
            .for_each(|(_, value)| value.hash(state));
        self.switches
            .iter()
            .for_each(|(_, value)| value.hash(state));
    }
}

impl Kernel {
    /// The complete WGSL.
    pub fn text(&self) -> String {
        let mut text = self
            .source
            .text()
            .replace("{{ bindings }}", &self.bindings())
            .replace("{{ decoders }}", &self.decoder_text());
        let replace = |text: &mut String| {
            for (name, value) in &self.switches {
                *text = text.replace(&format!("{{{{ {name} }}}}"), &value.to_string());
            }
        };
        replace(&mut text);
        let count = |name: &str| {
            let constant = self.constants.iter().find(|(known, _)| known.is(name));
            constant.map_or(0, |(_, value)| *value)
        };
        text = unroll(&text, &count);
        // Names that unrolling made.
        replace(&mut text);
        for (at, name) in self.numbers.iter().enumerate() {
            text = text.replace(&format!("{{{{ {name} }}}}u"), &format!("info[{at}]"));
        }
        let [x, y] = self.workgroup_size.map(|n| n as usize);
        let sizes: [(Name, usize); 2] = [("workgroup_x".into(), x), ("workgroup_y".into(), y)];
        for (name, value) in sizes.iter().chain(&self.constants) {
            text = text.replace(&format!("{{{{ {name} }}}}"), &value.to_string());
        }
        text
    }

    fn bindings(&self) -> String {
        // Natively one buffer holds many tensors, and a buffer may not be bound both for reading
        // and for writing; in a browser every allocation is a buffer of its own.
        let access = if cfg!(target_family = "wasm") {
            "read"
        } else {
            "read_write"
        };
        let inputs = self.inputs.iter();
        let inputs = inputs.map(|(name, element)| (*name, *element, access));
        let outputs = self.outputs.iter();
        let outputs = outputs.map(|(name, element)| ((*name).into(), *element, "read_write"));
        inputs
            .chain(outputs)
            .chain([("info".into(), "u32", "read")])
            .enumerate()
            .map(|(binding, (name, element, access))| {
                format!("@group(0) @binding({binding}) var<storage, {access}> {name}: array<{element}>;\n")
            })
            .collect()
    }

    fn decoder_text(&self) -> String {
        if self.decoders.is_empty() {
            return String::new();
        }
        let mut text = packed::COMMON.to_string();
        for (name, decoders) in &self.decoders {
            let mut fetch = format!("fn {name}(n: u32, kb: u32, o: u32) -> Octet {{\n");
            let mut before = String::new();
            for (i, decoder) in decoders.iter().enumerate() {
                text += &decoder.text();
                let s = decoder.suffix;
                let line = format!("return octet{s}(load{s}(row{s}(n{before}), kb), o);");
                before += &format!(" - {{{{ rows{s} }}}}u");
                if i + 1 < decoders.len() {
                    let rows = before.replace(" - ", " + ");
                    fetch += &format!("  if (n < 0u{rows}) {{ {line} }}\n");
                } else {
                    fetch += &format!("  {line}\n}}\n");
                }
            }
            text += &fetch;
        }
        text
    }

    /// Runs the kernel.
    ///
    /// - `tensors`: the inputs, contiguous
    /// - `shapes`: of the outputs
    /// - `info`: values of `numbers`, then what else the kernel reads from `info`
    pub fn launch(
        self,
        tensors: Vec<CubeTensor>,
        shapes: &[[usize; 2]],
        workgroups: [u32; 3],
        info: &[u32],
    ) -> Vec<Tensor<2>> {
        let client = tensors[0].client.clone();
        let device = tensors[0].device.clone();
        let outputs: Vec<_> = shapes
            .iter()
            .map(|[rows, columns]| client.empty(rows * columns * size_of::<f32>()))
            .collect();
        let kernel = Shared(Arc::new(self));
        let [x, y] = kernel.0.workgroup_size;
        let described = || Launch {
            kernel: kernel.0.name,
            shapes: shapes.to_vec(),
            bytes: tensors
                .iter()
                .map(|tensor| tensor.handle.size_in_used())
                .chain(outputs.iter().map(|output| output.size_in_used()))
                .sum(),
            numbers: kernel
                .0
                .numbers
                .iter()
                .copied()
                .zip(info.iter().copied())
                .collect(),
        };
        count(described);
        let mut arguments = KernelArguments::new();
        for tensor in &tensors {
            arguments =
                arguments.with_buffer_io(tensor.handle.clone().binding(), BufferIOAttr::ReadOnly);
        }
        for output in &outputs {
            arguments = arguments.with_buffer_io(output.clone().binding(), BufferIOAttr::WriteOnly);
        }
        // The runtime passes 64-bit words; the kernel sees them as pairs, low half first.
        let words = info
            .chunks(2)
            .map(|pair| u64::from(pair[0]) | u64::from(*pair.get(1).unwrap_or(&0)) << 32)
            .collect();
        arguments = arguments.with_info(MetadataBindingInfo::custom(words));
        let [count_x, count_y, count_z] = workgroups;
        timing::around(&client, described, || {
            client.launch(
                Box::new(SourceKernel::new(kernel.clone(), CubeDim::new_2d(x, y))),
                CubeCount::Static(count_x, count_y, count_z),
                arguments,
            );
        });
        outputs
            .into_iter()
            .zip(shapes)
            .map(|(output, shape)| {
                let (client, device) = (client.clone(), device.clone());
                let shape = Shape::from(*shape);
                let output = CubeTensor::new_contiguous(client, device, shape, output, DType::F32);
                Tensor::from_primitive::<CubeBackend>(output)
            })
            .collect()
    }
}

/// One launch of a kernel, for whoever counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Launch {
    pub kernel: &'static str,
    /// Shapes of the outputs.
    pub shapes: Vec<[usize; 2]>,
    /// Bytes of the buffers bound, inputs and outputs.
    pub bytes: u64,
    /// What the launch brought along: see `Kernel::numbers`.
    pub numbers: Vec<(Name, u32)>,
}

thread_local! {
    static COUNTED: RefCell<Option<Vec<Launch>>> = const { RefCell::new(None) };
}

fn count(launch: impl FnOnce() -> Launch) {
    COUNTED.with_borrow_mut(|counted| {
        if let Some(counted) = counted {
            counted.push(launch());
        }
    });
}

/// Lists the launches of this thread from now on, until [`end_count`].
pub fn begin_count() {
    COUNTED.set(Some(Vec::new()));
}

/// The launches since [`begin_count`], in order.
pub fn end_count() -> Vec<Launch> {
    COUNTED.take().unwrap_or_default()
}

/// The tensor's buffer, its rows one after the other.
///
/// A tensor of another device cannot be launched on; it is returned as `None`.
pub fn contiguous<const D: usize>(tensor: Tensor<D>) -> Option<CubeTensor> {
    let tensor = tensor.try_into_primitive::<CubeBackend>().ok()?;
    Some(burn_wgpu::into_contiguous(tensor))
}

/// The buffer of whole numbers.
pub fn primitive(tensor: Tensor<1, Int>) -> Option<CubeTensor> {
    tensor.try_into_primitive::<CubeBackend>().ok()
}

/// Names of numbers, and their values.
pub fn split_numbers(numbers: Vec<(Name, usize)>) -> (Vec<Name>, Vec<u32>) {
    let values = numbers
        .into_iter()
        .map(|(name, value)| (name, value as u32));
    values.unzip()
}

/// Workgroups in two dimensions that hold at least `n` of them.
pub fn spread(n: u32) -> [u32; 3] {
    let y = n.div_ceil(MAX_WORKGROUPS).max(1);
    [n.div_ceil(y), y, 1]
}
