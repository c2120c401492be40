//! The device that computes: which one, what it offers, and whether it still can be believed.
//!
//! In a browser a rejected shader, a failed allocation and a lost device are invisible to the code
//! that reads results: the read succeeds, with stale or zero bytes. So work runs inside
//! [`Device::watched`], which listens with error scopes and turns each of these into an error,
//! and a device that failed once refuses all further work.

use std::{
    pin::Pin,
    sync::{Arc, Mutex},
};

use burn::{
    backend::DispatchDevice,
    tensor::{
        Device as BurnDevice,
        wgpu::{WgpuSetup, wgpu},
    },
};

use crate::{Code, Error, Result, kernels::Kernels};

/// Which kind of device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// WebGPU in a browser; Vulkan, Metal or DX12 elsewhere.
    Gpu,
    /// The processor, through Burn's Flex.
    Cpu,
}

/// What there is to know about a device.
#[derive(Debug, Clone)]
pub struct Info {
    pub kind: Kind,
    /// Name of the adapter, as far as it tells.
    pub name: String,
    /// Graphics interface, or `cpu`.
    pub backend: String,
    /// A processor that plays a graphics adapter.
    pub is_software: bool,
    pub shader_f16: bool,
    /// Longest buffer, in bytes.
    pub max_buffer_bytes: u64,
    /// Longest stretch of a buffer that a shader sees, in bytes.
    pub max_binding_bytes: u64,
}

/// Why a device is not to be believed any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    pub code: Code,
    pub message: String,
}

/// Tells, once the device has answered, whether it accepted what was sent to it.
pub type Accepted = Pin<Box<dyn Future<Output = Result<()>>>>;

/// A device with its state; clones share both.
#[derive(Clone)]
pub struct Device {
    burn: BurnDevice,
    info: Arc<Info>,
    setup: Option<Arc<WgpuSetup>>,
    failure: Arc<Mutex<Option<Failure>>>,
}

impl Device {
    /// The processor.
    pub fn cpu() -> Self {
        // Burn's product uses wasm SIMD only where it is told that the engine has it. Every
        // browser with WebGPU has, and so has every one released since 2023.
        #[cfg(target_family = "wasm")]
        gemm_common::set_wasm_simd128(true);
        let info = Info {
            kind: Kind::Cpu,
            name: std::env::consts::ARCH.to_string(),
            backend: "cpu".into(),
            is_software: true,
            shader_f16: false,
            max_buffer_bytes: u64::MAX,
            max_binding_bytes: u64::MAX,
        };
        Self {
            burn: BurnDevice::flex(),
            info: Arc::new(info),
            setup: None,
            failure: Arc::default(),
        }
    }

    /// The graphics adapter that the platform prefers, with the limits it offers.
    ///
    /// Each call makes a device of its own, so that one which failed or was destroyed leaves no
    /// trace in the next.
    pub async fn gpu() -> Result<Self> {
        let backends = match cfg!(target_family = "wasm") {
            true => wgpu::Backends::BROWSER_WEBGPU,
            false => wgpu::Backends::PRIMARY,
        };
        let instance = wgpu::Instance::new(wgpu::InstanceDescriptor {
            backends,
            ..wgpu::InstanceDescriptor::new_without_display_handle()
        });
        let options = wgpu::RequestAdapterOptions {
            power_preference: wgpu::PowerPreference::HighPerformance,
            ..Default::default()
        };
        let adapter = instance
            .request_adapter(&options)
            .await
            .map_err(|error| Error::Device {
                code: Code::NoAdapter,
                message: format!("no graphics adapter: {error}"),
            })?;
        let descriptor = wgpu::DeviceDescriptor {
            label: Some("jina-embeddings-web"),
            // CubeCL writes its shaders for what the adapter offers, so all of it is asked for.
            required_features: adapter.features()
                - wgpu::Features::MAPPABLE_PRIMARY_BUFFERS
                - wgpu::Features::all_experimental_mask(),
            required_limits: adapter.limits(),
            memory_hints: wgpu::MemoryHints::MemoryUsage,
            trace: wgpu::Trace::Off,
            experimental_features: Default::default(),
        };
        let (device, queue) =
            adapter
                .request_device(&descriptor)
                .await
                .map_err(|error| Error::Device {
                    code: Code::LimitsInsufficient,
                    message: format!("the graphics adapter gives no device: {error}"),
                })?;
        let adapter_info = adapter.get_info();
        let limits = device.limits();
        let info = Info {
            kind: Kind::Gpu,
            name: adapter_info.name.clone(),
            backend: adapter_info.backend.to_string(),
            is_software: adapter_info.device_type == wgpu::DeviceType::Cpu,
            shader_f16: device.features().contains(wgpu::Features::SHADER_F16),
            max_buffer_bytes: limits.max_buffer_size,
            max_binding_bytes: limits.max_storage_buffer_binding_size,
        };
        let backend = adapter_info.backend;
        let setup = WgpuSetup {
            instance,
            adapter,
            device,
            queue,
            backend,
        };
        let burn = BurnDevice::wgpu_options()
            .setup(setup.clone())
            .init()
            .map_err(|error| Error::Device {
                code: Code::GpuError,
                message: format!("the graphics device cannot run the model: {error}"),
            })?;
        let failure: Arc<Mutex<Option<Failure>>> = Arc::default();
        // Replaces CubeCL's handler, which panics inside the event.
        let noted = failure.clone();
        setup.device.on_uncaptured_error(Arc::new(move |error| {
            note(&noted, failure_of(&error));
        }));
        Ok(Self {
            burn,
            info: Arc::new(info),
            setup: Some(Arc::new(setup)),
            failure,
        })
    }

    /// The device as Burn knows it.
    pub fn burn(&self) -> &BurnDevice {
        &self.burn
    }

    /// What it is.
    pub fn info(&self) -> &Info {
        &self.info
    }

    /// The form of the model's operations that runs best here.
    pub fn kernels(&self) -> Kernels {
        match self.info.kind {
            Kind::Cpu => Kernels::Host,
            Kind::Gpu if self.info.is_software => Kernels::DIRECT,
            Kind::Gpu => Kernels::TILED,
        }
    }

    /// The wgpu objects behind a graphics device.
    pub fn setup(&self) -> Option<&WgpuSetup> {
        self.setup.as_deref()
    }

    /// Notes that nothing computed from now on is to be believed. The first reason stays.
    pub fn fail(&self, failure: Failure) {
        note(&self.failure, failure);
    }

    /// Fails if the device did.
    pub fn check(&self) -> Result<()> {
        let failure = self
            .failure
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        match &*failure {
            None => Ok(()),
            Some(Failure { code, message }) => Err(Error::Device {
                code: *code,
                message: message.clone(),
            }),
        }
    }

    /// Runs work that ends with a read from the device; its result counts only if the device
    /// accepted every step of it.
    pub async fn watched<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        self.check()?;
        let Some(setup) = &self.setup else {
            return work.await;
        };
        let scopes = Scopes::open(setup);
        let result = work.await;
        for failure in scopes.close().await {
            self.fail(failure);
        }
        // What a scope caught explains a read that failed, so it comes first.
        self.check()?;
        if let Err(Error::Device { code, message }) = &result {
            self.fail(Failure {
                code: *code,
                message: message.clone(),
            });
        }
        result
    }

    /// Runs work that the device may refuse without harm: what it refuses fails this work alone.
    ///
    /// Natively a refusal reaches the device's handler, and counts as in [`watched`](Self::watched).
    pub(crate) async fn attempted<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        self.check()?;
        let Some(setup) = &self.setup else {
            return work.await;
        };
        let scopes = Scopes::open(setup);
        let result = work.await;
        if let Some(Failure { code, message }) = scopes.close().await.into_iter().next() {
            return Err(Error::Device { code, message });
        }
        self.check()?;
        result
    }

    /// Runs work that only issues commands; the future tells whether the device accepted them.
    pub fn watched_commands<T>(&self, work: impl FnOnce() -> Result<T>) -> (Result<T>, Accepted) {
        let scopes = self.setup.as_ref().map(|setup| Scopes::open(setup));
        let result = match self.check() {
            Ok(()) => work(),
            Err(error) => Err(error),
        };
        let closing = scopes.map(Scopes::close);
        let device = self.clone();
        let accepted = Box::pin(async move {
            if let Some(closing) = closing {
                for failure in closing.await {
                    device.fail(failure);
                }
            }
            device.check()
        });
        (result, accepted)
    }

    /// What a failed read means.
    pub(crate) fn execution_error(&self, error: impl std::fmt::Debug) -> Error {
        let message = format!("{error:?}");
        let code = match message.to_lowercase().contains("poison") {
            true => Code::DeviceLost,
            false => Code::GpuError,
        };
        Error::Device {
            code,
            message: format!("reading from the device failed: {message}"),
        }
    }

    /// Frees everything the device holds, at once. Whatever was loaded onto it is gone.
    pub fn destroy(&self) {
        self.fail(Failure {
            code: Code::Disposed,
            message: "the device was released by its owner".into(),
        });
        if let Some(setup) = &self.setup {
            setup.device.destroy();
        }
    }

    /// Whether [`destroy`](Self::destroy) was the reason why this device works no more.
    pub fn is_disposed(&self) -> bool {
        self.check()
            .is_err_and(|error| error.code() == Code::Disposed)
    }

    /// Bytes of the buffers that tensors use now; zero on the CPU, whose memory is the program's.
    pub fn bytes_in_use(&self) -> u64 {
        match self.burn.as_dispatch() {
            DispatchDevice::Cube(cube) => {
                cube.client()
                    .memory_report(cubecl::MemoryScope::Device)
                    .usage()
                    .bytes_in_use
            }
            _ => 0,
        }
    }

    /// Bytes that the pools behind the tensors hold, used or not; zero on the CPU.
    pub fn bytes_reserved(&self) -> u64 {
        match self.burn.as_dispatch() {
            DispatchDevice::Cube(cube) => {
                cube.client()
                    .memory_report(cubecl::MemoryScope::Device)
                    .usage()
                    .bytes_reserved
            }
            _ => 0,
        }
    }

    /// Returns memory that no tensor uses to the platform.
    ///
    /// In a browser it then has no owner, and whoever counts the device's buffers may destroy it.
    pub fn release_unused(&self) {
        // What is recorded and not submitted still names the buffers.
        if let DispatchDevice::Cube(cube) = self.burn.as_dispatch()
            && let Err(error) = cube.client().flush()
        {
            log::error!("flushing before memory is released: {error}");
        }
        self.burn.memory_cleanup();
    }
}

/// Error scopes around commands. They belong to the thread that issues commands: in a browser that
/// is this one; natively it is CubeCL's, whose errors reach the device's handler instead.
struct Scopes(Option<[wgpu::ErrorScopeGuard; 3]>);

impl Scopes {
    fn open(setup: &WgpuSetup) -> Self {
        let filters = [
            wgpu::ErrorFilter::Validation,
            wgpu::ErrorFilter::OutOfMemory,
            wgpu::ErrorFilter::Internal,
        ];
        let in_browser = cfg!(target_family = "wasm");
        Self(in_browser.then(|| filters.map(|filter| setup.device.push_error_scope(filter))))
    }

    /// Ends the scopes now; the future tells what they caught, the cause before its consequences.
    fn close(self) -> impl Future<Output = Vec<Failure>> {
        // Scopes are a stack: the last pushed is the first popped.
        let popped = self.0.map(|[validation, out_of_memory, internal]| {
            let internal = internal.pop();
            let out_of_memory = out_of_memory.pop();
            (out_of_memory, internal, validation.pop())
        });
        async move {
            let Some((out_of_memory, internal, validation)) = popped else {
                return Vec::new();
            };
            // A buffer that could not be allocated makes every command that uses it invalid.
            let caught = [out_of_memory.await, internal.await, validation.await];
            caught.iter().flatten().map(failure_of).collect()
        }
    }
}

fn note(noted: &Mutex<Option<Failure>>, failure: Failure) {
    // A release by the owner is no accident, and needs no line in anyone's console.
    if failure.code != Code::Disposed {
        log::error!("{}: {}", failure.code, failure.message);
    }
    let mut noted = noted
        .lock()
        .unwrap_or_else(|poisoned| poisoned.into_inner());
    noted.get_or_insert(failure);
}

fn failure_of(error: &wgpu::Error) -> Failure {
    let code = match error {
        wgpu::Error::OutOfMemory { .. } => Code::OutOfMemory,
        wgpu::Error::Validation { .. } | wgpu::Error::Internal { .. } => Code::GpuError,
    };
    Failure {
        code,
        message: error.to_string(),
    }
}
