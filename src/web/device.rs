//! The device as JavaScript sees it, and its events.

use std::{cell::RefCell, rc::Rc};

use js_sys::{Function, Promise, Reflect};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::{future_to_promise, spawn_local};

use crate::{
    Code, Device,
    device::{Failure, Kind},
    kernel_choice,
};

use super::{event_loop::now_ms, field, object, rejection};

thread_local! {
    /// Who hears of a panic: the `on_event` of every device.
    static LISTENERS: RefCell<Vec<Listener>> = const { RefCell::new(Vec::new()) };
}

/// Who hears of a device's failures. The runtime never lets go of a device, so what is destroyed
/// lets go of its listener: behind it hangs all that was made for the device.
#[derive(Clone)]
struct Listener(Rc<RefCell<Option<Function>>>);

impl Listener {
    fn tell(&self, event: &JsValue) {
        let on_event = self.0.borrow().clone();
        if let Some(on_event) = on_event {
            // What the listener throws is its own affair.
            let _ = on_event.call1(&JsValue::NULL, event);
        }
    }
}

/// Tells every listener of a panic before it traps: afterwards nothing here runs any more, and the
/// promises under way stay pending for ever.
pub fn announce_panics() {
    std::panic::set_hook(Box::new(|info| {
        console_error_panic_hook::hook(info);
        let event = event("panic", Code::Internal, &info.to_string());
        LISTENERS.with(|listeners| {
            // A panic while listeners change is announced to none; its trap still throws.
            if let Ok(listeners) = listeners.try_borrow() {
                for listener in listeners.iter() {
                    listener.tell(&event);
                }
            }
        });
    }));
}

fn event(kind: &str, code: Code, message: &str) -> JsValue {
    object(&[
        ("type", kind.into()),
        ("code", code.as_str().into()),
        ("message", message.into()),
    ])
}

/// A device; see `create_device`.
#[wasm_bindgen(js_name = Device)]
pub struct WebDevice {
    inner: Device,
    listener: Listener,
    /// Hears of errors that no scope caught.
    uncaptured: RefCell<Option<Closure<dyn Fn(JsValue)>>>,
}

/// Makes a device of `kind` "webgpu" or "wasm" and reports its failures to `on_event`.
#[wasm_bindgen]
pub async fn create_device(kind: String, on_event: Function) -> Result<WebDevice, JsValue> {
    let inner = match kind.as_str() {
        "wasm" => Device::cpu(),
        "webgpu" => Device::gpu().await.map_err(|error| rejection(&error))?,
        _ => {
            return Err(super::misuse(format!(
                "`{kind}` is neither `webgpu` nor `wasm`"
            )));
        }
    };
    let listener = Listener(Rc::new(RefCell::new(Some(on_event))));
    LISTENERS.with(|listeners| listeners.borrow_mut().push(listener.clone()));
    let device = WebDevice {
        inner,
        listener,
        uncaptured: RefCell::default(),
    };
    device.listen();
    Ok(device)
}

#[wasm_bindgen(js_class = Device)]
impl WebDevice {
    /// What the device is and offers.
    pub fn info(&self) -> JsValue {
        let info = self.inner.info();
        // The browser tells more of its adapter than wgpu passes on.
        let adapter = field(&self.gpu_device(), "adapterInfo");
        let adapter = if adapter.is_object() {
            adapter
        } else {
            object(&[])
        };
        let text = |name| field(&adapter, name).as_string().unwrap_or_default();
        let is_fallback = field(&adapter, "isFallbackAdapter").is_truthy();
        let name = match (info.kind, info.name.is_empty()) {
            (Kind::Gpu, true) => [text("vendor"), text("architecture")]
                .join(" ")
                .trim()
                .to_string(),
            _ => info.name.clone(),
        };
        object(&[
            (
                "kind",
                if info.kind == Kind::Gpu {
                    "webgpu"
                } else {
                    "wasm"
                }
                .into(),
            ),
            ("name", name.into()),
            ("version", env!("CARGO_PKG_VERSION").into()),
            ("vendor", text("vendor").into()),
            ("architecture", text("architecture").into()),
            ("description", text("description").into()),
            (
                "isFallbackAdapter",
                (info.kind == Kind::Gpu && is_fallback).into(),
            ),
            ("shaderF16", info.shader_f16.into()),
            ("maxBufferBytes", (info.max_buffer_bytes as f64).into()),
            ("maxBindingBytes", (info.max_binding_bytes as f64).into()),
        ])
    }

    /// The `GPUDevice` that computes; `undefined` on the CPU.
    pub fn gpu_device(&self) -> JsValue {
        let device = self
            .inner
            .setup()
            .and_then(|setup| setup.device.as_webgpu());
        device.map_or(JsValue::UNDEFINED, |device| JsValue::from(device.clone()))
    }

    /// Bytes of buffers on the GPU and of this module's memory.
    pub fn bytes_in_use(&self) -> JsValue {
        let wasm_bytes = core::arch::wasm32::memory_size(0) as f64 * 65_536.0;
        object(&[
            ("gpu", (self.inner.bytes_in_use() as f64).into()),
            ("wasm", wasm_bytes.into()),
        ])
    }

    /// Measures which form of each operation runs fastest here, and names the choice.
    pub fn measure_kernels(&self) -> Promise {
        let device = self.inner.clone();
        future_to_promise(async move {
            let kernels = kernel_choice::measure(&device, now_ms).await;
            let kernels = kernels.map_err(|error| rejection(&error))?;
            Ok(kernels.to_string().into())
        })
    }

    /// Whether this names a choice that the device can run.
    pub fn runs_kernels(&self, kernels: &str) -> bool {
        kernel_choice::recalled(&self.inner, kernels).is_some()
    }

    /// Frees every buffer of the device, at once.
    pub fn destroy(&self) {
        LISTENERS.with(|listeners| {
            listeners
                .borrow_mut()
                .retain(|listener| !Rc::ptr_eq(&listener.0, &self.listener.0));
        });
        // May be the very call that is under way, so the function itself stays until this does.
        if let Some(handler) = &*self.uncaptured.borrow() {
            self.event_target("removeEventListener", handler.as_ref());
        }
        // wgpu's own, which it never takes back.
        let gpu_device = self.gpu_device();
        if !gpu_device.is_undefined() {
            let _ = Reflect::set(&gpu_device, &"onuncapturederror".into(), &JsValue::NULL);
        }
        self.listener.0.take();
        self.inner.destroy();
    }
}

impl WebDevice {
    pub(super) fn inner(&self) -> &Device {
        &self.inner
    }

    /// Waits for the loss of the device, and for errors that no scope caught.
    fn listen(&self) {
        let gpu_device = self.gpu_device();
        if gpu_device.is_undefined() {
            return;
        }
        if let Ok(lost) = field(&gpu_device, "lost").dyn_into::<Promise>() {
            let (device, listener) = (self.inner.clone(), self.listener.clone());
            spawn_local(async move {
                let Ok(info) = wasm_bindgen_futures::JsFuture::from(lost).await else {
                    return;
                };
                // Its owner destroyed it: `destroy` noted that first.
                if device.is_disposed() {
                    return;
                }
                let reason = field(&info, "reason").as_string().unwrap_or_default();
                let text = field(&info, "message").as_string().unwrap_or_default();
                let message = format!("the graphics device was lost ({reason}): {text}");
                device.fail(Failure {
                    code: Code::DeviceLost,
                    message: message.clone(),
                });
                listener.tell(&event("lost", Code::DeviceLost, &message));
            });
        }
        let (device, listener) = (self.inner.clone(), self.listener.clone());
        let handler = Closure::<dyn Fn(JsValue)>::new(move |uncaptured: JsValue| {
            let error = field(&uncaptured, "error");
            let message = field(&error, "message").as_string().unwrap_or_default();
            let constructor = field(&field(&error, "constructor"), "name").as_string();
            let code = match constructor.as_deref() {
                Some("GPUOutOfMemoryError") => Code::OutOfMemory,
                _ => Code::GpuError,
            };
            device.fail(Failure {
                code,
                message: message.clone(),
            });
            listener.tell(&event("error", code, &message));
        });
        self.event_target("addEventListener", handler.as_ref());
        self.uncaptured.replace(Some(handler));
    }

    /// Adds or removes a listener of `uncapturederror`.
    fn event_target(&self, method: &str, handler: &JsValue) {
        let gpu_device = self.gpu_device();
        if let Ok(method) = field(&gpu_device, method).dyn_into::<Function>() {
            let arguments = js_sys::Array::of2(&"uncapturederror".into(), handler);
            let _ = Reflect::apply(&method, &gpu_device, &arguments);
        }
    }
}
