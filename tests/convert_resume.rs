//! A conversion that is stopped, killed or disturbed: what it leaves, and what the next run makes of
//! it.
#![cfg(feature = "cli")]

mod tiny;

use std::collections::BTreeMap;
use std::fs;
use std::ops::ControlFlow;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use jina_embeddings_web::Code;
use jina_embeddings_web::convert::{Dtype, Manifest, Options, Progress, convert};
use tiny::{assert_says, copy, edit_base, fixtures, options};

/// Every file of a directory.
fn contents(directory: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap());
    entries
        .map(|entry| {
            let name = entry.file_name().into_string().unwrap();
            (name, fs::read(entry.path()).unwrap())
        })
        .collect()
}

/// The tiny model in several parts.
fn in_parts(from: &Path, room: &Path) -> Options {
    let mut options = options(from, &room.join("model"), Dtype::Q8_0, Dtype::Q8_0);
    options.split_bytes = 200_000;
    options
}

fn to_the_end(options: &Options) -> Manifest {
    convert(options, &mut |_| ControlFlow::Continue(())).unwrap()
}

/// Stops when so many pieces have been written; how many bytes were complete before.
fn stopped_after(options: &Options, n_calls: usize) -> Option<u64> {
    let (mut left, mut resumed) = (n_calls, 0);
    let result = convert(options, &mut |progress: Progress| {
        resumed = progress.resumed_bytes;
        left = left.saturating_sub(1);
        if left == 0 {
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    });
    match result {
        Ok(_) => None,
        Err(error) => {
            assert_eq!(error.code(), Code::Aborted, "{error}");
            Some(resumed)
        }
    }
}

#[test]
fn a_run_that_is_stopped_again_and_again_ends_in_the_same_directory() {
    let reference = tempfile::tempdir().unwrap();
    let whole = in_parts(&fixtures().join("tiny"), reference.path());
    to_the_end(&whole);
    let room = tempfile::tempdir().unwrap();
    let options = in_parts(&fixtures().join("tiny"), room.path());
    let mut most_resumed = 0;
    let mut n_runs = 0;
    // Each run comes a little further than the one before, in files too long for the first.
    while let Some(resumed) = stopped_after(&options, 40 + 5 * n_runs) {
        assert!(!options.to.exists());
        assert!(!room.path().join("model.partial/model.json").exists());
        assert!(resumed >= most_resumed, "a complete file was written twice");
        most_resumed = resumed;
        n_runs += 1;
        assert!(n_runs < 1000);
    }
    assert!(n_runs > 5 && most_resumed > 0);
    assert_eq!(contents(&options.to), contents(&whole.to));
    assert!(!room.path().join("model.partial").exists());
}

/// Stops after the third part and returns the directory that was left.
fn left_after_three_parts(options: &Options) -> std::path::PathBuf {
    let result = convert(
        options,
        &mut |progress: Progress| match progress.file.contains("00004") {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        },
    );
    assert_eq!(result.unwrap_err().code(), Code::Aborted);
    options.to.with_file_name("model.partial")
}

#[test]
fn a_complete_file_that_was_damaged_since_is_written_again() {
    let room = tempfile::tempdir().unwrap();
    let options = in_parts(&fixtures().join("tiny"), room.path());
    let partial = left_after_three_parts(&options);
    let name = fs::read_dir(&partial)
        .unwrap()
        .map(|entry| entry.unwrap().file_name());
    let second = name.map(|name| name.into_string().unwrap());
    let second = second
        .into_iter()
        .find(|name| name.contains("00002"))
        .unwrap();
    let mut bytes = fs::read(partial.join(&second)).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(partial.join(&second), bytes).unwrap();
    let resumed = to_the_end(&options);
    let other = tempfile::tempdir().unwrap();
    assert_eq!(
        resumed,
        to_the_end(&in_parts(&fixtures().join("tiny"), other.path()))
    );
    for file in &resumed.files {
        let n_bytes = fs::metadata(options.to.join(&file.path)).unwrap().len();
        assert_eq!(n_bytes, file.n_bytes);
    }
    let reference = contents(&other.path().join("model"));
    assert_eq!(contents(&options.to), reference);
}

#[test]
fn what_was_begun_with_other_options_or_other_weights_is_not_gone_on_with() {
    let room = tempfile::tempdir().unwrap();
    let hf = copy(room.path());
    let options = in_parts(&hf, room.path());
    left_after_three_parts(&options);
    let mut finer = options.clone();
    finer.dtype = Dtype::F16;
    let mut resumed = 1;
    let stop = convert(&finer, &mut |progress: Progress| {
        resumed = progress.resumed_bytes;
        match progress.done_bytes {
            0 => ControlFlow::Continue(()),
            _ => ControlFlow::Break(()),
        }
    });
    assert_eq!((stop.unwrap_err().code(), resumed), (Code::Aborted, 0));

    left_after_three_parts(&options);
    edit_base(&hf, |tensors| {
        let name = "model.layers.0.mlp.up_proj.weight";
        let edited = tensors[name].with_value(0, 0.75);
        tensors.insert(name.to_owned(), edited);
    });
    let manifest = to_the_end(&options);
    let other = tempfile::tempdir().unwrap();
    let fresh = to_the_end(&in_parts(&hf, other.path()));
    assert_eq!(manifest, fresh);
}

#[test]
fn two_runs_do_not_write_the_same_directory() {
    let room = tempfile::tempdir().unwrap();
    let options = in_parts(&fixtures().join("tiny"), room.path());
    let mut second = None;
    let first = convert(&options, &mut |_| {
        let other = || convert(&options, &mut |_| ControlFlow::Continue(()));
        second.get_or_insert_with(other);
        ControlFlow::Continue(())
    });
    let error = second.unwrap().unwrap_err();
    assert_says(
        &error,
        Code::InputInvalid,
        &["being written by another run"],
    );
    assert_eq!(first.unwrap().files.len(), contents(&options.to).len() - 1);
}

#[test]
fn any_number_of_threads_writes_the_same_bytes() {
    let room = tempfile::tempdir().unwrap();
    let mut digests = Vec::new();
    for threads in [1, 2, 5] {
        let to = room.path().join(threads.to_string());
        let mut options = options(&fixtures().join("tiny"), &to, Dtype::Q4_0, Dtype::Q8_0);
        options.threads = Some(threads);
        digests.push(to_the_end(&options));
    }
    assert!(digests.windows(2).all(|pair| pair[0] == pair[1]));
}

fn command(to: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_jina-embed"));
    let from = fixtures().join("tiny");
    command
        .args([
            "convert",
            "--dtype",
            "q4_k_m",
            "--split-size",
            "100K",
            "--threads",
            "2",
        ])
        .args([
            "--from".as_ref(),
            from.as_os_str(),
            "--to".as_ref(),
            to.as_os_str(),
        ])
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}

/// The points are drawn from the length of a whole run, so that most fall within it; that none of
/// them leaves harm does not depend on where they fall.
#[test]
fn a_process_killed_at_any_point_leaves_nothing_that_looks_finished() {
    let room = tempfile::tempdir().unwrap();
    let reference = room.path().join("reference");
    let began = Instant::now();
    assert!(command(&reference).status().unwrap().success());
    let whole = began.elapsed();
    let reference = contents(&reference);
    let to = room.path().join("model");
    let mut point = 1_u32;
    for n_killed in 0..40 {
        point = point.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let share = f64::from(point >> 8) / f64::from(1_u32 << 24);
        let mut run = command(&to).spawn().unwrap();
        std::thread::sleep(Duration::from_secs_f64(whole.as_secs_f64() * share));
        run.kill().unwrap();
        run.wait().unwrap();
        if to.exists() {
            // Then it had come to its end.
            assert_eq!(contents(&to), reference, "after {n_killed} kills");
            fs::remove_dir_all(&to).unwrap();
        }
    }
    assert!(command(&to).status().unwrap().success());
    assert_eq!(contents(&to), reference);
    assert!(!room.path().join("model.partial").exists());
}

#[cfg(unix)]
#[test]
fn an_interrupted_process_says_so_and_the_next_one_goes_on() {
    let room = tempfile::tempdir().unwrap();
    let to = room.path().join("model");
    let mut run = command(&to);
    let mut run = run.stderr(Stdio::piped()).spawn().unwrap();
    // The first line of progress is written after the signals are listened for.
    let mut line = String::new();
    let mut lines = std::io::BufReader::new(run.stderr.take().unwrap());
    std::io::BufRead::read_line(&mut lines, &mut line).unwrap();
    let interrupted = Command::new("kill")
        .args(["-INT", &run.id().to_string()])
        .status();
    assert!(interrupted.unwrap().success());
    let mut rest = String::new();
    std::io::Read::read_to_string(&mut lines, &mut rest).unwrap();
    let status = run.wait().unwrap();
    match status.success() {
        // The signal came after the last piece.
        true => assert!(to.join("model.json").is_file()),
        false => {
            assert!(rest.contains("error[ABORTED]"), "{rest}");
            assert!(!to.exists() && room.path().join("model.partial").is_dir());
            assert!(command(&to).status().unwrap().success());
            assert!(to.join("model.json").is_file());
        }
    }
}
