//! Which form of each operation an adapter runs fastest, found by measuring a few.
//!
//! Every candidate is a shader to compile, so a choice is made once per adapter and kept by
//! whoever has a place for it (the page in its storage, the command in its cache folder) as the
//! text of [`Forms`]. Software adapters have their own fixed choice: measuring would take them
//! longer than it could ever save.

use burn::tensor::{DType, Int, Tensor, TensorData};

use crate::{
    Code, Device, Error, Result,
    gguf::TensorType,
    kernels::{
        AttentionForm, Forms, Heads, Kernels, KeyRanges, Linear, N_CLASSES, Packed, Packer, Part,
        Weight, attention,
    },
};

/// Measuring ends after so long; what was not reached by then stays as it was.
const BUDGET_MS: f64 = 3_000.0;
/// Time of the launches between two looks at the clock, which browsers round to 0.1 ms.
const BATCH_MS: f64 = 4.0;
/// Batches of a candidate; the shortest counts.
const BATCHES: usize = 3;
/// A candidate has to be this much faster than the fixed choice: less is noise.
const GAIN: f64 = 0.95;
/// Rows of x that stand for each class: its most, and a passage for the last.
const ROWS: [usize; N_CLASSES] = [4, 8, 16, 32, 128];
/// Inputs of the product: those of v4's decoder.
const K: usize = 2048;
/// A device that needs longer than this for the smallest product gets no larger one.
const SLOW_MS: f64 = 5.0;

/// Whether measuring is worth its time here.
pub fn is_worthwhile(device: &Device) -> bool {
    matches!(device.kernels(), Kernels::Gpu(_)) && !device.info().is_software
}

/// A kept choice, if it is one that this device can run.
pub fn recalled(device: &Device, text: &str) -> Option<Kernels> {
    let forms: Forms = text.parse().ok()?;
    let can = matches!(device.kernels(), Kernels::Gpu(_))
        && (device.info().shader_f16 || !forms.wants_f16());
    can.then_some(Kernels::Gpu(forms))
}

/// Measures the candidates on the device, and returns the fastest of each kind.
///
/// A candidate that the device refuses, or computes otherwise than the fixed choice, is left out.
///
/// - `now`: milliseconds since some moment
/// - returns: on the CPU, the only choice there is
pub async fn measure(device: &Device, now: impl Fn() -> f64) -> Result<Kernels> {
    let Kernels::Gpu(fixed) = device.kernels() else {
        return Ok(device.kernels());
    };
    let trial = Trial::new(device, &now);
    let mut forms = fixed;
    let small = Product::new(device, 256);
    let took = trial.run(|| small.run(&fixed, ROWS[4])).await?;
    let product = match took.ms > SLOW_MS {
        true => small,
        false => Product::new(device, 2048).repeated(8),
    };
    // Long inputs first: there is most to gain, should the time end.
    for class in (0..N_CLASSES).rev() {
        let run = |forms: &Forms| product.run(forms, ROWS[class]);
        let candidates = Forms::candidates(class, device.info().shader_f16);
        let candidates = candidates.map(|cut| fixed.with_product(class, cut));
        forms.products[class] = trial.fastest(fixed, candidates, run).await?.products[class];
    }
    let heads = Attention::new(device);
    let candidates = [AttentionForm::Tiles, AttentionForm::Registers];
    let candidates = candidates.map(|attention| fixed.with_attention(attention));
    let run = |forms: &Forms| heads.run(forms);
    forms.attention = trial.fastest(fixed, candidates, run).await?.attention;
    device.release_unused();
    Ok(Kernels::Gpu(forms))
}

/// Runs candidates against the clock.
struct Trial<'a, Now> {
    device: &'a Device,
    now: &'a Now,
    began: f64,
}

/// What a candidate computed, and how fast.
struct Outcome {
    values: Vec<f32>,
    ms: f64,
}

impl<'a, Now: Fn() -> f64> Trial<'a, Now> {
    fn new(device: &'a Device, now: &'a Now) -> Self {
        let began = now();
        Self { device, now, began }
    }

    /// The fastest of the candidates, or `fixed` if none is clearly faster.
    async fn fastest(
        &self,
        fixed: Forms,
        candidates: impl IntoIterator<Item = Forms>,
        run: impl Fn(&Forms) -> Tensor<2>,
    ) -> Result<Forms> {
        if self.is_over() {
            return Ok(fixed);
        }
        let needed = self.run(|| run(&fixed)).await?;
        let mut best = (fixed, needed.ms * GAIN);
        for candidate in candidates {
            if candidate == fixed || self.is_over() {
                continue;
            }
            match self.run(|| run(&candidate)).await {
                Ok(outcome) if !agree(&needed.values, &outcome.values) => {
                    log::warn!("this adapter computes `{candidate}` otherwise than `{fixed}`");
                }
                Ok(outcome) if outcome.ms < best.1 => best = (candidate, outcome.ms),
                Ok(_) => {}
                // A device that failed as a whole fails here too.
                Err(error) => {
                    self.device.check()?;
                    log::warn!("this adapter refuses `{candidate}`: {error}");
                }
            }
        }
        Ok(best.0)
    }

    /// Runs a candidate: once to compile it and to see its result, then by the clock.
    async fn run(&self, run: impl Fn() -> Tensor<2>) -> Result<Outcome> {
        let work = async {
            let values = self.read(ends(run())).await?;
            let one = self.batch(&run, 1).await?;
            let n = (BATCH_MS / one.max(0.1)).ceil().clamp(1.0, 32.0);
            let mut ms = one;
            for _ in 0..BATCHES {
                ms = ms.min(self.batch(&run, n as usize).await?);
            }
            Ok(Outcome { values, ms })
        };
        self.device.attempted(work).await
    }

    /// Milliseconds of each of `n` runs one after the other.
    async fn batch(&self, run: &impl Fn() -> Tensor<2>, n: usize) -> Result<f64> {
        let began = (self.now)();
        let mut last = run();
        for _ in 1..n {
            last = run();
        }
        // The device answers when all of it is done.
        self.read(last.narrow(0, 0, 1)).await?;
        Ok(((self.now)() - began) / n as f64)
    }

    async fn read(&self, tensor: Tensor<2>) -> Result<Vec<f32>> {
        let data = tensor.into_data_async().await;
        let data = data.map_err(|error| self.device.execution_error(error))?;
        data.try_to_vec().map_err(|error| Error::Device {
            code: Code::GpuError,
            message: format!("reading a product: {error:?}"),
        })
    }

    fn is_over(&self) -> bool {
        (self.now)() - self.began > BUDGET_MS
    }
}

/// Rows of both ends: enough to see whether forms agree, and little to read back.
fn ends(result: Tensor<2>) -> Tensor<2> {
    const ROWS: usize = 8;
    match result.dims()[0] {
        m if m <= 2 * ROWS => result,
        m => {
            let first = result.clone().narrow(0, 0, ROWS);
            Tensor::cat(vec![first, result.narrow(0, m - ROWS, ROWS)], 0)
        }
    }
}

/// Whether two forms gave the same result; halves agree to about a thousandth.
fn agree(needed: &[f32], found: &[f32]) -> bool {
    let largest = needed
        .iter()
        .fold(0.0f32, |most, value| most.max(value.abs()));
    needed.len() == found.len()
        && needed
            .iter()
            .zip(found)
            .all(|(needed, found)| (needed - found).abs() <= 1e-2 * largest)
}

/// A product of v4's width in four bits, the commonest type.
struct Product {
    weight: Weight,
    x: Tensor<2>,
}

impl Product {
    fn new(device: &Device, n: usize) -> Self {
        let block = TensorType::Q4_0.block_bytes();
        let n_blocks = n * K / TensorType::Q4_0.block_elements();
        let mut bytes = pattern(n_blocks * block);
        for block in bytes.chunks_mut(block) {
            // The scale: 2^-6.
            block[..2].copy_from_slice(&0x2400u16.to_le_bytes());
        }
        let mut packer = Packer::new(TensorType::Q4_0, [n, K]);
        let mut words: Vec<u32> = Vec::new();
        packer.push(&bytes, |panel| words.extend(panel));
        let n_words = words.len();
        let data = TensorData::new(words, [n_words]);
        let words: Tensor<1, Int> = Tensor::from_data(data, (device.burn(), DType::U32));
        let part = Part {
            words,
            buffer: 0,
            first: 0,
            n_rows: n,
        };
        let weight = Weight::Packed(vec![Packed {
            parts: vec![part],
            tensor_type: TensorType::Q4_0,
            shape: [n, K],
        }]);
        let rows = ROWS[N_CLASSES - 1];
        let x = values(device, [rows, K]);
        Self { weight, x }
    }

    /// The same rows so many times, copied on the device: enough columns for a large card.
    fn repeated(self, times: usize) -> Self {
        let Weight::Packed(matrices) = self.weight else {
            return self;
        };
        let matrices = matrices.into_iter().map(|matrix| {
            let parts = matrix.parts.into_iter().map(|part| Part {
                words: part.words.repeat_dim(0, times),
                n_rows: part.n_rows * times,
                ..part
            });
            Packed {
                parts: parts.collect(),
                shape: [matrix.shape[0] * times, matrix.shape[1]],
                ..matrix
            }
        });
        let weight = Weight::Packed(matrices.collect());
        Self { weight, ..self }
    }

    fn run(&self, forms: &Forms, m: usize) -> Tensor<2> {
        let x = self.x.clone().narrow(0, 0, m);
        Linear::new(&self.weight).run(Kernels::Gpu(*forms), x)
    }
}

/// The heads of v4's decoder over a passage of 256 tokens.
struct Attention {
    heads: Heads,
    qkv: Tensor<2>,
    keys: KeyRanges,
}

impl Attention {
    fn new(device: &Device) -> Self {
        const TOKENS: usize = 256;
        let heads = Heads {
            n_heads: 16,
            n_kv_heads: 2,
            head_dim: 128,
        };
        let width = (heads.n_heads + 2 * heads.n_kv_heads) * heads.head_dim;
        Self {
            heads,
            qkv: values(device, [TOKENS, width]),
            keys: KeyRanges::causal(TOKENS, device.burn()),
        }
    }

    fn run(&self, forms: &Forms) -> Tensor<2> {
        attention(
            Kernels::Gpu(*forms),
            self.qkv.clone(),
            self.heads,
            &self.keys,
        )
    }
}

/// Numbers in -1..1, always the same.
fn values(device: &Device, shape: [usize; 2]) -> Tensor<2> {
    let bytes = pattern(shape[0] * shape[1]);
    let values: Vec<f32> = bytes
        .iter()
        .map(|byte| f32::from(*byte as i8) / 128.0)
        .collect();
    Tensor::from_data(TensorData::new(values, shape), device.burn())
}

/// Bytes without a pattern that a shader could profit from, always the same.
fn pattern(n: usize) -> Vec<u8> {
    let mut state = 1u32;
    let next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    std::iter::repeat_with(next).take(n).collect()
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, time::Instant};

    use super::*;

    #[test]
    fn a_measured_choice_is_one_that_the_device_can_run() {
        let device = pollster::block_on(Device::gpu()).expect("a Vulkan adapter");
        let began = Instant::now();
        let now = || began.elapsed().as_secs_f64() * 1e3;
        let kernels = pollster::block_on(measure(&device, now)).expect("a choice");
        let Kernels::Gpu(forms) = kernels else {
            panic!("needed a form of the shaders, found {kernels:?}");
        };
        assert_eq!(recalled(&device, &forms.to_string()), Some(kernels));
        assert!(device.check().is_ok());
    }

    #[test]
    fn what_is_faster_by_the_clock_is_chosen() {
        let device = pollster::block_on(Device::gpu()).expect("a Vulkan adapter");
        // A clock that passes only while the fixed cut runs.
        let clock = Cell::new(0.0);
        let now = || clock.get();
        let trial = Trial::new(&device, &now);
        let faster = Forms::DIRECT.with_attention(AttentionForm::Tiles);
        let run = |forms: &Forms| {
            clock.set(clock.get() + if *forms == faster { 1.0 } else { 2.0 });
            values(&device, [1, 4])
        };
        let fastest = trial.fastest(Forms::DIRECT, [Forms::DIRECT, faster], run);
        assert_eq!(pollster::block_on(fastest).expect("a choice"), faster);
    }

    #[test]
    fn what_computes_something_else_is_not_chosen() {
        let device = pollster::block_on(Device::gpu()).expect("a Vulkan adapter");
        let clock = Cell::new(0.0);
        let now = || clock.get();
        let trial = Trial::new(&device, &now);
        let wrong = Forms::DIRECT.with_attention(AttentionForm::Tiles);
        let run = |forms: &Forms| {
            let is_wrong = *forms == wrong;
            clock.set(clock.get() + if is_wrong { 1.0 } else { 2.0 });
            let numbers = values(&device, [1, 4]);
            if is_wrong {
                numbers.add_scalar(1.0)
            } else {
                numbers
            }
        };
        let fastest = trial.fastest(Forms::DIRECT, [wrong], run);
        assert_eq!(
            pollster::block_on(fastest).expect("a choice"),
            Forms::DIRECT
        );
    }

    #[test]
    fn a_choice_in_halves_is_kept_only_for_adapters_that_have_them() {
        let device = pollster::block_on(Device::gpu()).expect("a Vulkan adapter");
        let halves = Forms::TILED.to_string().replace("tiles-8", "tiles-8-f16");
        assert_eq!(
            recalled(&device, &halves).is_some(),
            device.info().shader_f16
        );
        assert_eq!(recalled(&device, "anything"), None);
        assert_eq!(recalled(&Device::cpu(), &Forms::TILED.to_string()), None);
    }
}
