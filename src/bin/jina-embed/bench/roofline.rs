//! What the adapter can do at most, measured with shaders that do nothing else: multiply-adds in
//! registers, a copy of a buffer, and dispatches that compute nothing.
//!
//! The clock is the host's, around a submission that is waited for. So each shader runs for so
//! long (at least [`MIN_SECONDS`]) that the submission does not count.

use std::time::Instant;

use burn::tensor::wgpu::{WgpuSetup, wgpu};
use jina_embeddings_web::{Code, Device};
use serde::Serialize;

use crate::failure::Failure;

const MIN_SECONDS: f64 = 0.05;
/// Of which the shortest counts.
const REPEATS: usize = 5;
const WORKGROUP: u32 = 64;
/// Enough to fill a graphics card; a software adapter takes what it needs.
const WORKGROUPS: u32 = 2048;
/// Far above any cache, unless the adapter binds less.
const COPY_BYTES: u64 = 256 << 20;
const EMPTY_DISPATCHES: u32 = 2000;

/// The limits that kernels are held against.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Roofline {
    pub f32_flops_per_second: f64,
    /// Absent without `shader-f16`.
    pub f16_flops_per_second: Option<f64>,
    /// Read and written together.
    pub bytes_per_second: f64,
    /// A dispatch that computes nothing, among many in one pass.
    pub empty_dispatch_seconds: f64,
    /// One such dispatch, submitted alone and waited for.
    pub round_trip_seconds: f64,
}

impl Roofline {
    /// Seconds that the adapter needs at least, in f32.
    pub fn bound_seconds(&self, operations: u64, bytes: u64) -> f64 {
        (operations as f64 / self.f32_flops_per_second).max(bytes as f64 / self.bytes_per_second)
    }
}

/// Measures the adapter of a graphics device; fails on another one.
pub fn measure(device: &Device) -> Result<Roofline, Failure> {
    let setup = device.setup().ok_or_else(|| {
        Failure::new(
            Code::InputInvalid,
            "a profile needs a graphics device: --device gpu",
        )
    })?;
    let f16 = device.info().shader_f16.then(|| flops(setup, "f16"));
    Ok(Roofline {
        f32_flops_per_second: flops(setup, "f32")?,
        f16_flops_per_second: f16.transpose()?,
        bytes_per_second: copy(setup, device.info().max_binding_bytes)?,
        empty_dispatch_seconds: empty(setup, EMPTY_DISPATCHES)? / f64::from(EMPTY_DISPATCHES),
        round_trip_seconds: empty(setup, 1)?,
    })
}

/// Multiply-adds per second, a multiplication and an addition each counted: eight independent
/// chains of vectors, so that no latency limits them, by a constant, so that reading three
/// registers at once does not either.
fn flops(setup: &WgpuSetup, element: &str) -> Result<f64, Failure> {
    const CHAINS: u32 = 8;
    const LANES: u32 = 4;
    /// Times that the loop's body is written out, so that its counting does not count.
    const UNROLLED: usize = 8;
    let enable = if element == "f16" { "enable f16;" } else { "" };
    let chains: String = (0..CHAINS)
        .map(|i| format!("var c{i} = v + vec4<{element}>({i});\n"))
        .collect();
    let steps: String = (0..CHAINS)
        .map(|i| format!("c{i} = fma(c{i}, vec4<{element}>(0.99951171875), b);\n"))
        .collect::<String>()
        .repeat(UNROLLED);
    let sum: Vec<String> = (0..CHAINS).map(|i| format!("c{i}")).collect();
    let source = format!(
        "{enable}
        @group(0) @binding(0) var<storage, read_write> x: array<vec4<f32>>;
        @group(0) @binding(1) var<storage, read> n_steps: array<u32>;
        @compute @workgroup_size({WORKGROUP})
        fn main(@builtin(global_invocation_id) id: vec3<u32>) {{
            let v = vec4<{element}>(x[id.x]);
            let b = v + {element}(0.25);
            {chains}
            for (var i = 0u; i < n_steps[0]; i++) {{ {steps} }}
            x[id.x] = vec4<f32>({});
        }}",
        sum.join(" + ")
    );
    let invocations = u64::from(WORKGROUP * WORKGROUPS);
    let x = buffer(setup, invocations * 16);
    let mut n_steps = 64u32;
    loop {
        let count = buffer(setup, 4);
        setup.queue.write_buffer(&count, 0, &n_steps.to_le_bytes());
        let program = Program::new(setup, &source, &[&x, &count])?;
        let seconds = program.shortest(setup, WORKGROUPS, 1)?;
        if seconds >= MIN_SECONDS || n_steps > 1 << 24 {
            let per_step = u64::from(CHAINS * LANES) * 2 * UNROLLED as u64;
            return Ok((invocations * per_step * u64::from(n_steps)) as f64 / seconds);
        }
        n_steps *= if seconds < MIN_SECONDS / 8.0 { 8 } else { 2 };
    }
}

/// Bytes per second, those read and those written.
fn copy(setup: &WgpuSetup, max_binding_bytes: u64) -> Result<f64, Failure> {
    let n_bytes = COPY_BYTES.min(max_binding_bytes / 2).next_power_of_two() / 2;
    // A dimension holds 65,535 workgroups: each invocation copies several vectors, a stride apart.
    let stride = WORKGROUP * WORKGROUPS;
    let source = format!(
        "@group(0) @binding(0) var<storage, read_write> x: array<vec4<f32>>;
        @group(0) @binding(1) var<storage, read_write> y: array<vec4<f32>>;
        @compute @workgroup_size({WORKGROUP})
        fn main(@builtin(global_invocation_id) id: vec3<u32>) {{
            for (var i = id.x; i < arrayLength(&x); i += {stride}u) {{ y[i] = x[i]; }}
        }}"
    );
    let program = Program::new(
        setup,
        &source,
        &[&buffer(setup, n_bytes), &buffer(setup, n_bytes)],
    )?;
    let mut n_dispatches = 1;
    loop {
        let seconds = program.shortest(setup, WORKGROUPS, n_dispatches)?;
        if seconds >= MIN_SECONDS || n_dispatches >= 1 << 12 {
            return Ok((2 * n_bytes * u64::from(n_dispatches)) as f64 / seconds);
        }
        n_dispatches *= 4;
    }
}

/// Seconds of so many dispatches of one invocation that only touches its buffer.
fn empty(setup: &WgpuSetup, n_dispatches: u32) -> Result<f64, Failure> {
    let source = "@group(0) @binding(0) var<storage, read_write> x: array<u32>;
        @compute @workgroup_size(1)
        fn main() { x[0] = 1u; }";
    Program::new(setup, source, &[&buffer(setup, 4)])?.shortest(setup, 1, n_dispatches)
}

fn buffer(setup: &WgpuSetup, n_bytes: u64) -> wgpu::Buffer {
    setup.device.create_buffer(&wgpu::BufferDescriptor {
        label: Some("roofline"),
        size: n_bytes,
        usage: wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST,
        mapped_at_creation: false,
    })
}

/// A shader with its buffers.
struct Program {
    pipeline: wgpu::ComputePipeline,
    bindings: wgpu::BindGroup,
}

impl Program {
    fn new(setup: &WgpuSetup, source: &str, buffers: &[&wgpu::Buffer]) -> Result<Self, Failure> {
        let device = &setup.device;
        let scope = device.push_error_scope(wgpu::ErrorFilter::Validation);
        let module = device.create_shader_module(wgpu::ShaderModuleDescriptor {
            label: Some("roofline"),
            source: wgpu::ShaderSource::Wgsl(source.into()),
        });
        let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some("roofline"),
            layout: None,
            module: &module,
            entry_point: Some("main"),
            compilation_options: Default::default(),
            cache: None,
        });
        let entries: Vec<_> = (0..)
            .zip(buffers)
            .map(|(binding, buffer)| wgpu::BindGroupEntry {
                binding,
                resource: buffer.as_entire_binding(),
            })
            .collect();
        let bindings = device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some("roofline"),
            layout: &pipeline.get_bind_group_layout(0),
            entries: &entries,
        });
        match pollster::block_on(scope.pop()) {
            None => Ok(Self { pipeline, bindings }),
            Some(error) => Err(Failure::new(Code::GpuError, format!("roofline: {error}"))),
        }
    }

    /// Shortest seconds of so many dispatches after one another.
    fn shortest(
        &self,
        setup: &WgpuSetup,
        workgroups: u32,
        n_dispatches: u32,
    ) -> Result<f64, Failure> {
        let mut shortest = f64::INFINITY;
        // The first compiles, and is not counted.
        for repeat in 0..=REPEATS {
            let mut encoder = setup.device.create_command_encoder(&Default::default());
            {
                let mut pass = encoder.begin_compute_pass(&Default::default());
                pass.set_pipeline(&self.pipeline);
                pass.set_bind_group(0, &self.bindings, &[]);
                for _ in 0..n_dispatches {
                    pass.dispatch_workgroups(workgroups, 1, 1);
                }
            }
            let commands = encoder.finish();
            let began = Instant::now();
            setup.queue.submit([commands]);
            setup
                .device
                .poll(wgpu::PollType::wait_indefinitely())
                .map_err(|error| Failure::new(Code::GpuError, format!("roofline: {error}")))?;
            if repeat > 0 {
                shortest = shortest.min(began.elapsed().as_secs_f64());
            }
        }
        Ok(shortest)
    }
}
