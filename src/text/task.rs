//! The tasks that a caller names, and what each means to the model: an adapter and a prefix.

use std::fmt;
use std::str::FromStr;

use super::Error;

/// A task the model has an adapter for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Task {
    /// Queries and the passages or pictures that answer them.
    Retrieval,
    /// Texts that mean the same.
    TextMatching,
    /// Questions and the code that answers them.
    Code,
}

impl Task {
    /// All tasks, in the order in which the model's files list them.
    pub const ALL: [Task; 3] = [Task::Retrieval, Task::TextMatching, Task::Code];

    /// The name of the adapter in the model's files.
    pub const fn as_str(self) -> &'static str {
        match self {
            Task::Retrieval => "retrieval",
            Task::TextMatching => "text-matching",
            Task::Code => "code",
        }
    }

    /// The task that is merged into a model of this name, which only a word of it tells: Jina's are
    /// called `jina-embeddings-v4-text-{retrieval,code,matching}`.
    pub fn named_in(name: &str) -> Option<Task> {
        let name = name.to_lowercase();
        let mut words = name.split(|letter: char| !letter.is_alphanumeric());
        words.find_map(|word| {
            Task::ALL
                .into_iter()
                .find(|task| task.as_str().rsplit('-').next() == Some(word))
        })
    }
}

impl fmt::Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Task {
    type Err = Error;

    fn from_str(name: &str) -> Result<Task, Error> {
        Task::ALL
            .into_iter()
            .find(|task| task.as_str() == name)
            .ok_or_else(|| unknown(name, Task::ALL.map(Task::as_str).into_iter()))
    }
}

/// Which side of a comparison a text is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Prompt {
    /// What is searched for.
    Query,
    /// What is found.
    Passage,
}

impl Prompt {
    /// The word in front of the text.
    pub const fn as_str(self) -> &'static str {
        match self {
            Prompt::Query => "Query",
            Prompt::Passage => "Passage",
        }
    }
}

/// A task together with the side that a text is on, as one name says both: `"retrieval.passage"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TaskPrompt {
    task: Task,
    prompt: Prompt,
}

impl TaskPrompt {
    /// All task prompts.
    pub const ALL: [TaskPrompt; 5] = [
        TaskPrompt::new(Task::Retrieval, Prompt::Query),
        TaskPrompt::new(Task::Retrieval, Prompt::Passage),
        TaskPrompt::new(Task::TextMatching, Prompt::Query),
        TaskPrompt::new(Task::Code, Prompt::Query),
        TaskPrompt::new(Task::Code, Prompt::Passage),
    ];

    /// Joins a task and a side. Both sides of text-matching are queries: that is the documented
    /// rule (the reference's code breaks it in one combination of arguments).
    pub const fn new(task: Task, prompt: Prompt) -> TaskPrompt {
        match task {
            Task::TextMatching => TaskPrompt {
                task,
                prompt: Prompt::Query,
            },
            Task::Retrieval | Task::Code => TaskPrompt { task, prompt },
        }
    }

    /// The adapter to run.
    pub const fn task(self) -> Task {
        self.task
    }

    /// The prefix to put in front.
    pub const fn prompt(self) -> Prompt {
        self.prompt
    }

    /// The name, as the hosted API spells it.
    pub const fn as_str(self) -> &'static str {
        match (self.task, self.prompt) {
            (Task::Retrieval, Prompt::Query) => "retrieval.query",
            (Task::Retrieval, Prompt::Passage) => "retrieval.passage",
            (Task::TextMatching, _) => "text-matching",
            (Task::Code, Prompt::Query) => "code.query",
            (Task::Code, Prompt::Passage) => "code.passage",
        }
    }
}

impl fmt::Display for TaskPrompt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for TaskPrompt {
    type Err = Error;

    /// Reads a name; `"retrieval"` and `"code"` alone mean the query side.
    fn from_str(name: &str) -> Result<TaskPrompt, Error> {
        let by_full_name = TaskPrompt::ALL
            .into_iter()
            .find(|candidate| candidate.as_str() == name);
        let by_task = || {
            name.parse()
                .ok()
                .map(|task| TaskPrompt::new(task, Prompt::Query))
        };
        by_full_name
            .or_else(by_task)
            .ok_or_else(|| unknown(name, TaskPrompt::ALL.map(TaskPrompt::as_str).into_iter()))
    }
}

fn unknown(found: &str, allowed: impl Iterator<Item = &'static str>) -> Error {
    let allowed: Vec<&str> = allowed.collect();
    // A name is a word; a whole document in its place should not fill the message.
    let found = found.chars().take(64).collect();
    Error::UnknownTask {
        found,
        allowed: allowed.join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_merged_task_is_a_word_of_the_name_and_not_a_part_of_one() {
        let name = "jina-embeddings-v4-text-matching";
        assert_eq!(Task::named_in(name), Some(Task::TextMatching));
        assert_eq!(Task::named_in("Jina v4 code Q4_K_M.gguf"), Some(Task::Code));
        assert_eq!(Task::named_in("my-text-encoder"), None);
    }
}
