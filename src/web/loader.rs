//! Files, pushed in chunks, become an embedder.

use std::{cell::RefCell, rc::Rc};

use js_sys::Promise;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::future_to_promise;

use crate::{
    Device, Embedder, Error, Result,
    device::{Accepted, Kind},
    kernel_choice,
    kernels::Kernels,
    text::Task,
    weights::{Loader, Role},
};

use super::{device::WebDevice, embedder::WebEmbedder, misuse, rejection};

/// A model under way; see `wasm-face.ts`.
#[wasm_bindgen(js_name = ModelLoader)]
pub struct WebLoader {
    device: Device,
    loader: Loader,
    /// Calls that the device has not answered for yet.
    accepted: RefCell<Vec<Accepted>>,
}

#[wasm_bindgen(js_class = ModelLoader)]
impl WebLoader {
    /// A loader onto `device`.
    #[wasm_bindgen(constructor)]
    pub fn new(device: &WebDevice) -> WebLoader {
        let device = device.inner().clone();
        WebLoader {
            loader: Loader::new(&device),
            device,
            accepted: RefCell::default(),
        }
    }

    /// Opens a file.
    pub fn begin_file(
        &mut self,
        role: &str,
        task: Option<String>,
        name: &str,
        n_bytes: Option<f64>,
    ) -> Result<(), JsValue> {
        let role = match (role, task) {
            ("text", _) => Role::Text,
            ("vision", _) => Role::Vision,
            ("projector", _) => Role::Projector,
            ("adapter", Some(task)) => {
                let task: Task = task
                    .parse()
                    .map_err(|error| rejection(&Error::from(error)))?;
                Role::Adapter(task)
            }
            (role, task) => {
                return Err(misuse(format!("no role `{role}` with task {task:?}")));
            }
        };
        let n_bytes = n_bytes.map(|n_bytes| n_bytes as u64);
        self.loader
            .begin_file(role, name, n_bytes)
            .map_err(|error| rejection(&error))
    }

    /// The next bytes of the open file.
    pub fn push(&mut self, chunk: &[u8]) -> Result<(), JsValue> {
        self.watch(|loader| loader.push(chunk))
    }

    /// The open file is over.
    pub fn end_file(&mut self) -> Result<(), JsValue> {
        self.watch(Loader::end_file)
    }

    /// The embedder, once the device accepted all that was sent to it.
    ///
    /// - `kernels`: "auto", or the form of the operations on a graphics device: "tiled", "direct" or
    ///   what `Device.measure_kernels` named
    /// - `scratch_limit`: bytes that encoding may use beside the weights
    pub fn finish(self, kernels: String, scratch_limit: Option<f64>) -> Promise {
        let WebLoader {
            device,
            loader,
            accepted,
        } = self;
        future_to_promise(async move {
            let kernels = match (kernels.as_str(), device.info().kind) {
                ("tiled", Kind::Gpu) => Kernels::TILED,
                ("direct", Kind::Gpu) => Kernels::DIRECT,
                ("auto" | "tiled" | "direct", _) => device.kernels(),
                (measured, _) => kernel_choice::recalled(&device, measured)
                    .ok_or_else(|| misuse(format!("no kernels of this device are `{measured}`")))?,
            };
            let finished = async {
                let loaded = device.watched(async { loader.finish() }).await;
                // A failed allocation explains a failed build, not the other way round.
                for accepted in accepted.into_inner() {
                    accepted.await?;
                }
                let limit = scratch_limit.map(|limit| limit.max(0.0) as u64);
                Ok(Embedder::new(device.clone(), loaded?)
                    .with_kernels(kernels)
                    .with_scratch_limit(limit))
            };
            let embedder: Result<Embedder> = finished.await;
            let embedder = embedder.map_err(|error| rejection(&error))?;
            Ok(WebEmbedder::new(Rc::new(embedder)).into())
        })
    }
}

impl WebLoader {
    fn watch(&mut self, work: impl FnOnce(&mut Loader) -> Result<()>) -> Result<(), JsValue> {
        let loader = &mut self.loader;
        let (result, accepted) = self.device.watched_commands(|| work(loader));
        self.accepted.borrow_mut().push(Box::pin(accepted));
        result.map_err(|error| rejection(&error))
    }
}
