//! Prints how fast this processor multiplies, by type of matrix, instruction set and rows.
//!
//!     products [--threads N] [--type NAME] [--levels]
//!     products [--threads N] --attention [--levels]

use std::{num::NonZeroUsize, time::Instant};

use jina_embeddings_web::{
    cpu::{Level, Threads},
    gguf::TensorType,
};
use products::{Case, Heads, K, N};

const ROWS: [usize; 3] = [16, 128, 512];
const TOKENS: [usize; 5] = [512, 1024, 2048, 4096, 8192];
/// Each case is repeated for about as long.
const SECONDS: f64 = 0.4;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let value = |name: &str| {
        let at = arguments.iter().position(|argument| argument == name)?;
        arguments.get(at + 1)
    };
    let n_threads: usize =
        value("--threads").map_or(1, |n| n.parse().expect("a number of threads"));
    let threads = Threads::at_most(NonZeroUsize::new(n_threads).expect("a thread"));
    let levels = match arguments.iter().any(|argument| argument == "--levels") {
        true => Level::available(),
        false => vec![Level::best()],
    };
    if arguments.iter().any(|argument| argument == "--attention") {
        println!("attention, {n_threads} threads: GFLOP/s for {TOKENS:?} tokens");
        for level in levels {
            let speeds = TOKENS.map(|m| {
                let mut heads = Heads::new(m);
                let speed = fastest(Heads::operations(m), || heads.run(level, threads));
                format!(" {speed:8.1}")
            });
            println!("{:12} {}", level.name(), speeds.concat());
        }
        return;
    }
    println!(
        "[M, {K}] x [{N}, {K}], {n_threads} threads: GFLOP/s for M = {ROWS:?}, error at the last"
    );
    for tensor_type in TensorType::ALL {
        if value("--type").is_some_and(|name| name != tensor_type.name()) {
            continue;
        }
        for level in &levels {
            let mut line = format!("{:8} {:12}", tensor_type.name(), level.name());
            let mut error = 0.0;
            for m in ROWS {
                let mut case = Case::new(*tensor_type, m).expect("memory for a case");
                let speed = fastest(operations(m), || case.run(*level, threads));
                line += &format!(" {speed:8.1}");
                error = case.error();
            }
            println!("{line}   {error:.1e}");
        }
    }
    let mut line = format!("{:8} {:12}", "F32", "gemm 0.19");
    for m in ROWS {
        let Case { w, x, mut y, .. } = Case::new(TensorType::F32, m).expect("memory for a case");
        let parallelism = match n_threads {
            1 => gemm::Parallelism::None,
            n => gemm::Parallelism::Rayon(n),
        };
        let speed = fastest(operations(m), || {
            let (x, w, y) = (x.as_ptr(), w.as_ptr(), y.as_mut_ptr());
            let (k, n) = (K as isize, N as isize);
            // SAFETY: `[M, K]`, `[N, K]` and `[M, N]`, row-major.
            unsafe {
                gemm::gemm(
                    m,
                    N,
                    K,
                    y,
                    1,
                    n,
                    false,
                    x,
                    1,
                    k,
                    w,
                    k,
                    1,
                    0.0,
                    1.0,
                    false,
                    false,
                    false,
                    parallelism,
                );
            }
        });
        line += &format!(" {speed:8.1}");
    }
    println!("{line}");
}

fn operations(m: usize) -> f64 {
    2.0 * (m * N * K) as f64
}

/// GFLOP/s of the shortest of many runs.
fn fastest(operations: f64, mut run: impl FnMut()) -> f64 {
    run();
    let (began, mut least) = (Instant::now(), f64::MAX);
    while began.elapsed().as_secs_f64() < SECONDS {
        let start = Instant::now();
        run();
        least = least.min(start.elapsed().as_secs_f64());
    }
    1e-9 * operations / least
}
