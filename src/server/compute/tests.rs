use super::*;
use std::sync::{Arc, Mutex};

type Answer = oneshot::Receiver<Result<Vec<Output>, ApiError>>;

/// Answers each text with its length, and notes who shared a turn.
#[derive(Default)]
struct Lengths {
    turns: Arc<Mutex<Vec<Vec<String>>>>,
    fails_after: Option<usize>,
}

impl Engine for Lengths {
    fn encode(
        &mut self,
        inputs: Vec<Input>,
        _: Options,
        _: &dyn Fn() -> bool,
    ) -> crate::Result<Vec<crate::Result<Output>>> {
        let name = |input: &Input| match input {
            Input::Text(text) => text.chars().take(2).collect(),
            Input::Image(_) => "picture".to_owned(),
        };
        let names: Vec<String> = inputs.iter().map(name).collect();
        self.turns.lock().unwrap().push(names);
        let one = |input: Input| match input {
            Input::Text(text) if text.is_empty() => {
                Err(crate::text::Error::MaxLength { found: 0 }.into())
            }
            Input::Text(text) => Ok(Output {
                values: vec![text.len() as f32; 4],
                dimensions: 4,
                ..Output::default()
            }),
            Input::Image(_) => Ok(Output::default()),
        };
        Ok(inputs.into_iter().map(one).collect())
    }

    fn check(&self) -> crate::Result<()> {
        match self.fails_after {
            Some(n) if self.turns.lock().unwrap().len() >= n => Err(Error::Device {
                code: Code::DeviceLost,
                message: "gone".into(),
            }),
            _ => Ok(()),
        }
    }
}

fn options(task: &str) -> Options {
    Options {
        task: task.parse().unwrap(),
        multivector: false,
        late_chunking: false,
        truncate: false,
        tokens: false,
    }
}

fn job(texts: &[&str], options: Options) -> (Job, Answer) {
    let (reply, answer) = oneshot::channel();
    let inputs = texts.iter().map(|text| match *text {
        "picture" => Input::Image(vec![0]),
        text => Input::Text(text.into()),
    });
    let job = Job {
        inputs: inputs.collect(),
        options,
        max_values: 100,
        reply,
    };
    (job, answer)
}

/// Computes jobs that all wait already; returns the turns and what `run` said.
fn compute(engine: Lengths, jobs: Vec<Job>) -> (Vec<Vec<String>>, Result<(), Error>) {
    let mut engine = engine;
    let load = Load::default();
    let (sender, inbox) = mpsc::unbounded_channel();
    for job in jobs {
        load.add(job.inputs.len());
        assert!(sender.send(job).is_ok());
    }
    drop(sender);
    let result = run(&mut engine, inbox, &load);
    if result.is_ok() {
        assert_eq!(load.n_inputs.load(Ordering::Relaxed), 0, "the count leaks");
    }
    let turns = std::mem::take(&mut *engine.turns.lock().unwrap());
    (turns, result)
}

fn lengths(mut answer: Answer) -> Vec<f32> {
    let outputs = answer.try_recv().expect("an answer").expect("vectors");
    outputs.iter().map(|output| output.values[0]).collect()
}

#[test]
fn short_texts_of_waiting_requests_share_a_turn_and_are_told_apart_again() {
    let task = options("retrieval.query");
    let many = ["a1", "a2", "a3", "a4", "a5", "a6", "a7+"];
    let (a, answer_a) = job(&many, task);
    let (b, answer_b) = job(&["b1---", "b2"], task);
    let (turns, _) = compute(Lengths::default(), vec![a, b]);
    // Grouped by request inside a turn.
    assert_eq!(
        turns,
        [
            vec!["a1", "a2", "a3", "a4", "a5", "a6", "b1", "b2"],
            vec!["a7"]
        ]
    );
    assert_eq!(lengths(answer_a), [2.0, 2.0, 2.0, 2.0, 2.0, 2.0, 3.0]);
    assert_eq!(lengths(answer_b), [5.0, 2.0]);
}

#[test]
fn a_small_request_does_not_wait_for_the_end_of_a_large_one() {
    let task = options("retrieval.query");
    let many = vec!["a-"; 30];
    let (large, _a) = job(&many, task);
    let (other, _b) = job(&["b-"], options("code.query"));
    let (turns, _) = compute(Lengths::default(), vec![large, other]);
    assert_eq!(turns[1], ["b-"], "{turns:?}");
    assert_eq!(turns.len(), 1 + 1 + 3);
}

#[test]
fn pictures_and_long_texts_have_turns_of_their_own() {
    let task = options("retrieval.query");
    let long = format!("l-{}", "x".repeat(3000));
    let (a, _a) = job(&["picture", "a1", "a2"], task);
    let (b, _b) = job(&[&long, "b1"], task);
    let (c, _c) = job(&["picture"], task);
    let (turns, _) = compute(Lengths::default(), vec![a, b, c]);
    assert_eq!(
        turns,
        [
            vec!["picture"],
            vec!["l-"],
            vec!["picture"],
            vec!["a1", "a2", "b1"]
        ]
    );
}

#[test]
fn the_chunks_of_a_document_are_one_turn_however_many() {
    let task = Options {
        late_chunking: true,
        ..options("retrieval.passage")
    };
    let chunks = vec!["c-"; 20];
    let (a, answer) = job(&chunks, task);
    let (b, _b) = job(&["d-"], task);
    let (turns, _) = compute(Lengths::default(), vec![a, b]);
    assert_eq!(turns, [vec!["c-"; 20], vec!["d-"]]);
    assert_eq!(lengths(answer).len(), 20);
}

#[test]
fn a_bad_input_ends_its_request_and_harms_no_other() {
    let task = options("retrieval.query");
    let (a, mut answer_a) = job(&["a1", "", "a3"], task);
    let (b, answer_b) = job(&["b1"], task);
    compute(Lengths::default(), vec![a, b]).1.unwrap();
    let error = answer_a.try_recv().unwrap().unwrap_err();
    assert_eq!((error.status, &*error.errors[0].field), (422, "input.1"));
    assert_eq!(lengths(answer_b), [2.0]);
}

#[test]
fn a_request_of_nothing_has_an_answer_of_nothing_and_no_turn() {
    let (empty, answer) = job(&[], options("code.query"));
    let (turns, _) = compute(Lengths::default(), vec![empty]);
    assert_eq!(lengths(answer), [0.0; 0]);
    assert_eq!(turns.len(), 0);
}

#[test]
fn a_request_that_nobody_waits_for_is_not_computed() {
    let task = options("retrieval.query");
    let (a, answer) = job(&["a1"], task);
    drop(answer);
    let (b, _b) = job(&["b1"], task);
    assert_eq!(compute(Lengths::default(), vec![a, b]).0, [["b1"]]);
}

#[test]
fn an_answer_that_would_be_too_large_is_refused() {
    let (job, mut answer) = job(&["a1"; 26], options("code.query"));
    compute(Lengths::default(), vec![job]).1.unwrap();
    let error = answer.try_recv().unwrap().unwrap_err();
    assert_eq!(error.status, 422);
    assert!(
        error.detail.contains("more than 100 numbers"),
        "{}",
        error.detail
    );
}

#[test]
fn after_a_failure_of_the_device_every_waiting_request_is_told() {
    let engine = Lengths {
        fails_after: Some(1),
        ..Lengths::default()
    };
    let (a, _a) = job(&["picture"], options("code.query"));
    let (b, mut answer_b) = job(&["b1"], options("retrieval.query"));
    let (turns, result) = compute(engine, vec![a, b]);
    assert_eq!(turns.len(), 1);
    assert_eq!(result.unwrap_err().code(), Code::DeviceLost);
    assert_eq!(answer_b.try_recv().unwrap().unwrap_err().status, 503);
}

#[test]
fn the_wait_that_is_told_grows_with_what_waits_and_stays_within_a_minute() {
    let load = Load::default();
    assert_eq!(load.wait_s(), 1);
    load.took(2, 3_000_000);
    load.add(4);
    assert_eq!(load.wait_s(), 6);
    load.add(1_000_000);
    assert_eq!(load.wait_s(), 60);
}
