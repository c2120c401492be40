//! `jina-embed bench --profile`: what each kernel of a call takes, and what it would take at best.
//!
//! 1. [`roofline`] measures what the adapter can do at most.
//! 2. For each length of text: a call apart, which compiles shaders; the shortest of `--repeats`
//!    calls; and as many calls again with each launch timed by itself, by the device's own clock
//!    where it has one.
//! 3. Launches of equal kernel and shape are one row: how often, and the shortest time of one, with
//!    its share of what its operations and bytes allow.

use std::time::Duration;

use jina_embeddings_web::{
    Code, Embedder, EncodeOptions, Input,
    kernels::{self, Kernels, Launch},
};
use serde::Serialize;

use super::{
    DeviceReport, Measurement, device_report, measure,
    roofline::{self, Roofline},
    text_of,
};
use crate::failure::Failure;

#[derive(Serialize)]
pub struct Profile {
    device: DeviceReport,
    /// The form of each operation, as text.
    kernels: String,
    roofline: Roofline,
    layers: usize,
    calls: Vec<Call>,
}

/// One length of text.
#[derive(Serialize)]
struct Call {
    measurement: Measurement,
    dispatches: usize,
    /// Dispatches of the call over its layers: those before the first and after the last count too.
    dispatches_per_layer: f64,
    operations: u64,
    bytes: u64,
    /// The sum of the shortest times of all launches.
    kernels_ms: f64,
    /// What the adapter needs at least for each launch, added up.
    bound_ms: f64,
    rows: Vec<Row>,
}

/// Launches of one kernel with one shape.
#[derive(Serialize)]
struct Row {
    kernel: &'static str,
    /// Of the outputs.
    shapes: Vec<[usize; 2]>,
    dispatches: usize,
    /// Of one launch; a multiplication and an addition count as two.
    operations: u64,
    /// Of the buffers that one launch binds.
    bytes: u64,
    /// Shortest of one launch.
    ms: f64,
    share_of_f32: f64,
    /// Absent without `shader-f16`.
    share_of_f16: Option<f64>,
    share_of_bandwidth: f64,
}

/// Profiles texts of these lengths.
pub fn run(
    embedder: &Embedder,
    kernels: Kernels,
    options: &EncodeOptions,
    lengths: &[usize],
    repeats: u32,
) -> Result<Profile, Failure> {
    let roofline = roofline::measure(embedder.device())?;
    let calls = lengths
        .iter()
        .map(|n_tokens| {
            let text = text_of(embedder.tokenizer(), options.task, *n_tokens)?;
            call(embedder, options, &Input::Text(text), repeats, &roofline)
        })
        .collect::<Result<_, _>>()?;
    Ok(Profile {
        device: device_report(embedder.device()),
        kernels: kernels.to_string(),
        roofline,
        layers: embedder.decoder().layers.len(),
        calls,
    })
}

fn call(
    embedder: &Embedder,
    options: &EncodeOptions,
    input: &Input,
    repeats: u32,
    roofline: &Roofline,
) -> Result<Call, Failure> {
    let measurement = measure(embedder, "text", input, options, repeats)?;
    let mut shortest: Vec<(Launch, Duration)> = Vec::new();
    for _ in 0..repeats {
        let launches = timed(embedder, options, input)?;
        if shortest.is_empty() {
            shortest = launches;
            continue;
        }
        // Every call launches the same, in the same order: nothing in it is random.
        for ((kept, least), (launch, took)) in shortest.iter_mut().zip(launches) {
            if *kept != launch {
                return Err(Failure::new(
                    Code::Internal,
                    format!("two calls launched different kernels: {kept:?}, then {launch:?}"),
                ));
            }
            *least = took.min(*least);
        }
    }
    let rows = rows(&shortest, roofline);
    let layers = embedder.decoder().layers.len().max(1);
    let total = |of: fn(&Row) -> u64| rows.iter().map(|row| of(row) * row.dispatches as u64).sum();
    Ok(Call {
        dispatches: shortest.len(),
        dispatches_per_layer: shortest.len() as f64 / layers as f64,
        operations: total(|row| row.operations),
        bytes: total(|row| row.bytes),
        kernels_ms: rows.iter().map(|row| row.ms * row.dispatches as f64).sum(),
        bound_ms: shortest
            .iter()
            .map(|(launch, _)| roofline.bound_seconds(operations(launch), launch.bytes) * 1e3)
            .sum(),
        measurement,
        rows,
    })
}

/// One call with each launch timed.
fn timed(
    embedder: &Embedder,
    options: &EncodeOptions,
    input: &Input,
) -> Result<Vec<(Launch, Duration)>, Failure> {
    kernels::begin_timing();
    let inputs = std::slice::from_ref(input);
    let results = pollster::block_on(embedder.encode(inputs, options, &mut (), |_, _| ()));
    let timings = kernels::end_timing();
    for result in results? {
        result?;
    }
    timings
        .into_iter()
        .map(|(launch, timing)| match pollster::block_on(timing) {
            Some(took) => Ok((launch, took)),
            None => Err(Failure::new(
                Code::GpuError,
                format!("the device gave no time for {launch:?}"),
            )),
        })
        .collect()
}

/// Additions and multiplications of one launch of a call with one text, those of its products and
/// scores: what else a kernel computes is little beside them.
fn operations(launch: &Launch) -> u64 {
    let [m, columns] = launch
        .shapes
        .last()
        .map_or([0; 2], |shape| shape.map(|n| n as u64));
    let number = |wanted: &str| {
        let found = launch.numbers.iter().find(|(name, _)| name.is(wanted));
        found.map_or(0, |(_, value)| u64::from(*value))
    };
    match launch.kernel {
        // A gate and its up are as many columns again; a low-rank update is a product of its own.
        "linear" => {
            let columns = columns + number("second_offset");
            // Slices of K lie one after the other, and each is a part of the product.
            let m = number("m");
            8 * m * (number("k4") * columns + number("rank4") * number("low_rank_columns"))
        }
        // Causal: scores of half of all pairs, and as much again for the sums of values.
        "attention" => 2 * m * (m + 1) * columns,
        _ => 0,
    }
}

/// Equal launches together, in the order in which they first come up.
fn rows(launches: &[(Launch, Duration)], roofline: &Roofline) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    for (launch, took) in launches {
        let ms = took.as_secs_f64() * 1e3;
        let operations = operations(launch);
        let found = rows.iter_mut().find(|row| {
            (row.kernel, &row.shapes, row.operations, row.bytes)
                == (launch.kernel, &launch.shapes, operations, launch.bytes)
        });
        match found {
            Some(row) => {
                row.dispatches += 1;
                row.ms = row.ms.min(ms);
            }
            None => rows.push(Row {
                kernel: launch.kernel,
                shapes: launch.shapes.clone(),
                dispatches: 1,
                operations,
                bytes: launch.bytes,
                ms,
                share_of_f32: 0.0,
                share_of_f16: None,
                share_of_bandwidth: 0.0,
            }),
        }
    }
    for row in &mut rows {
        let seconds = row.ms / 1e3;
        let share = |amount: u64, per_second: f64| amount as f64 / per_second / seconds;
        row.share_of_f32 = share(row.operations, roofline.f32_flops_per_second);
        row.share_of_f16 = roofline
            .f16_flops_per_second
            .map(|per_second| share(row.operations, per_second));
        row.share_of_bandwidth = share(row.bytes, roofline.bytes_per_second);
    }
    rows
}

/// The profile for people.
pub fn table(profile: &Profile) -> String {
    let Roofline {
        f32_flops_per_second,
        f16_flops_per_second,
        bytes_per_second,
        empty_dispatch_seconds,
        round_trip_seconds,
    } = profile.roofline;
    let f16 = f16_flops_per_second.map_or("no shader-f16".to_owned(), |rate| {
        format!("{:.1} GFLOP/s in f16", rate / 1e9)
    });
    let mut text = format!(
        "device    {} ({}), {} layers\npeak      {:.1} GFLOP/s in f32, {f16}, {:.1} GB/s\ndispatch  {:.1} us when empty, {:.1} us alone and waited for\n",
        profile.device.name,
        profile.device.backend,
        profile.layers,
        f32_flops_per_second / 1e9,
        bytes_per_second / 1e9,
        empty_dispatch_seconds * 1e6,
        round_trip_seconds * 1e6,
    );
    for call in &profile.calls {
        text += &format!(
            "\n{} tokens: {:.2} ms; kernels {:.2} ms, at best {:.2} ms; {} dispatches, {:.1} per layer, {:.3} ms when empty\n",
            call.measurement.tokens,
            call.measurement.min_ms,
            call.kernels_ms,
            call.bound_ms,
            call.dispatches,
            call.dispatches_per_layer,
            call.dispatches as f64 * empty_dispatch_seconds * 1e3,
        );
        text += &format!(
            "{:12} {:>16} {:>4} {:>10} {:>9} {:>10} {:>6} {:>6} {:>6}\n",
            "kernel", "output", "n", "MFLOP", "MB", "ms each", "% f32", "% f16", "% GB/s"
        );
        for row in &call.rows {
            let shapes: Vec<String> = row
                .shapes
                .iter()
                .map(|[rows, columns]| format!("{rows}x{columns}"))
                .collect();
            let percent = |share: f64| format!("{:.1}", share * 100.0);
            text += &format!(
                "{:12} {:>16} {:>4} {:>10.1} {:>9.2} {:>10.3} {:>6} {:>6} {:>6}\n",
                row.kernel,
                shapes.join(" "),
                row.dispatches,
                row.operations as f64 / 1e6,
                row.bytes as f64 / 1e6,
                row.ms,
                percent(row.share_of_f32),
                row.share_of_f16.map_or("-".to_owned(), percent),
                percent(row.share_of_bandwidth),
            );
        }
    }
    text.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_launches_are_one_row_with_the_shortest_time_and_its_share_of_the_peaks() {
        let roofline = Roofline {
            f32_flops_per_second: 1e9,
            f16_flops_per_second: None,
            bytes_per_second: 1e9,
            empty_dispatch_seconds: 0.0,
            round_trip_seconds: 0.0,
        };
        let launch = |kernel, rows, k4: u32| Launch {
            kernel,
            shapes: vec![[rows, 3]],
            bytes: 1_000_000,
            numbers: vec![
                ("m".into(), 2),
                ("k4".into(), k4),
                ("second_offset".into(), 3),
            ],
        };
        let ms = Duration::from_millis;
        let launches = [
            (launch("linear", 2, 50_000), ms(9)),
            (launch("add_norm", 2, 5), ms(1)),
            (launch("linear", 2, 50_000), ms(8)),
            // Two slices of its inputs.
            (launch("linear", 4, 1), ms(1)),
            (launch("attention", 2, 0), ms(1)),
        ];
        let rows = rows(&launches, &roofline);
        let found: Vec<_> = rows
            .iter()
            .map(|row| (row.kernel, row.dispatches, row.operations))
            .collect();
        let needed = [
            // Two rows, six columns of gate and up, 200,000 inputs, two operations.
            ("linear", 2, 4_800_000),
            ("add_norm", 1, 0),
            ("linear", 1, 96),
            // Three pairs of two tokens, three columns, two operations, scores and sums.
            ("attention", 1, 36),
        ];
        assert_eq!(found, needed);
        assert_eq!(rows[0].ms, 8.0);
        assert!((rows[0].share_of_f32 - 0.6).abs() < 1e-12);
        assert!((rows[0].share_of_bandwidth - 0.125).abs() < 1e-12);
        assert_eq!(rows[0].share_of_f16, None);
        let at_best = roofline.bound_seconds(4_000_000, 1_000_000);
        assert!((at_best - 0.004).abs() < 1e-12);
    }
}
