//! What of the index its file does not hold yet, and how the file grows.
//!
//! A change is made in memory at once and noted here. [`Index::commit`] makes the bytes that bring
//! the file up to date; whoever owns the medium writes them and says whether they arrived. Until it
//! does, changes go on being noted for the commit after.

use std::collections::BTreeSet;
use std::ops::Range;

use super::Error;
use super::file::{self, CommitHeader, Contents, FileHeader};
use super::index::Index;

/// About how many bytes of rows a commit of a compacted file holds.
const COMPACTION_BYTES: usize = 4 << 20;

/// How far a file has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Written {
    /// Compactions before this file.
    pub generation: u64,
    /// Bytes up to the end of the last commit; 0 where there is no file.
    pub n_bytes: u64,
    /// Number of the last commit.
    pub sequence: u64,
    /// Checksum that the next commit names.
    pub chain: u64,
    /// Rows of the index that were looked at; live ones among them are in the file.
    pub rows: u32,
    /// Names of fields in the file.
    pub names: usize,
}

#[derive(Debug, Default)]
pub struct Journal {
    written: Written,
    /// Ids of rows that are in the file, or will be once what is under way arrives.
    removed: Vec<Box<str>>,
    /// Rows that are there too, whose fields changed.
    updated: BTreeSet<u32>,
    under_way: Option<UnderWay>,
}

#[derive(Debug)]
struct UnderWay {
    after: Written,
    /// What `removed` and `updated` held before.
    removed: Vec<Box<str>>,
    updated: BTreeSet<u32>,
    /// Of a compaction: the rows of each commit, last first.
    compaction: Option<Vec<Range<u32>>>,
}

/// Bytes for the end of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Append {
    /// Where they go; whatever the file holds from there on is not part of it.
    pub offset: u64,
    /// What to write.
    pub bytes: Vec<u8>,
}

impl Journal {
    /// A journal that goes on where a file ends.
    pub fn resume(written: Written) -> Journal {
        Journal {
            written,
            ..Journal::default()
        }
    }

    /// Notes that a row died.
    pub fn removed(&mut self, row: u32, id: &str) {
        if row < self.known_rows() {
            self.removed.push(id.into());
            self.updated.remove(&row);
        }
    }

    /// Notes that the fields of a row changed.
    pub fn updated(&mut self, row: u32) {
        if row < self.known_rows() {
            self.updated.insert(row);
        }
    }

    /// Follows rows to new places.
    pub fn renumber(&mut self, new_row: impl Fn(u32) -> u32) {
        self.written.rows = new_row(self.written.rows);
        self.updated = self.updated.iter().map(|row| new_row(*row)).collect();
    }

    fn known_rows(&self) -> u32 {
        self.under_way
            .as_ref()
            .map_or(self.written.rows, |under_way| under_way.after.rows)
    }

    fn begin(&mut self, after: Written, compaction: Option<Vec<Range<u32>>>) {
        self.under_way = Some(UnderWay {
            after,
            removed: std::mem::take(&mut self.removed),
            updated: std::mem::take(&mut self.updated),
            compaction,
        });
    }

    /// Goes back to what was noted before.
    fn take_back(&mut self, mut under_way: UnderWay) {
        under_way.removed.append(&mut self.removed);
        under_way.updated.append(&mut self.updated);
        (self.removed, self.updated) = (under_way.removed, under_way.updated);
    }

    /// Fails where something is under way.
    fn check_idle(&self, call: &'static str) -> Result<(), Error> {
        let state = match &self.under_way {
            None => return Ok(()),
            Some(UnderWay {
                compaction: None, ..
            }) => "a commit waits to be confirmed or abandoned",
            Some(_) => "a compaction is under way",
        };
        Err(Error::Order { call, state })
    }

    fn commit_under_way(&mut self, call: &'static str) -> Result<UnderWay, Error> {
        match self.under_way.take() {
            Some(under_way) if under_way.compaction.is_none() => Ok(under_way),
            other => {
                let state = if other.is_some() {
                    "a compaction is under way"
                } else {
                    "there is no commit"
                };
                self.under_way = other;
                Err(Error::Order { call, state })
            }
        }
    }
}

impl Index {
    /// What brings the file up to date; `None` where it is. Then [`Index::confirm`] or
    /// [`Index::abandon`] says what became of it.
    ///
    /// A file that is cut anywhere in these bytes still opens, in the state before them.
    ///
    /// Fails while another commit or a compaction is under way.
    pub fn commit(&mut self) -> Result<Option<Append>, Error> {
        self.journal.check_idle("commit")?;
        let mut after = self.journal.written;
        let mut bytes = Vec::new();
        let is_new = after.n_bytes == 0;
        if is_new {
            self.begin_file(&mut after, 0, &mut bytes);
        }
        if self.n_pending() > 0 {
            let rows = after.rows..self.ids.len() as u32;
            let (removed, updated) = (&self.journal.removed, &self.journal.updated);
            self.append_commit(&mut after, rows, removed, updated, &mut bytes);
        }
        after.rows = self.ids.len() as u32;
        if bytes.is_empty() {
            return Ok(None);
        }
        let offset = self.journal.written.n_bytes;
        self.journal.begin(after, None);
        Ok(Some(Append { offset, bytes }))
    }

    /// The bytes of the last commit are where they belong, and will stay.
    ///
    /// Fails where there is none.
    pub fn confirm(&mut self) -> Result<(), Error> {
        self.journal.written = self.journal.commit_under_way("confirm")?.after;
        Ok(())
    }

    /// The bytes of the last commit could not be written. Nothing is lost: its changes are part of
    /// the next one.
    ///
    /// Fails where there is none.
    pub fn abandon(&mut self) -> Result<(), Error> {
        let under_way = self.journal.commit_under_way("abandon")?;
        self.journal.take_back(under_way);
        Ok(())
    }

    /// Begins a new file that holds only what lives: for compaction, or for an export. Returns about
    /// how many bytes it will have.
    ///
    /// Items may be added, removed and searched meanwhile; such changes are for the commit after.
    ///
    /// Fails while a commit or another compaction is under way.
    pub fn begin_compaction(&mut self) -> Result<u64, Error> {
        self.journal.check_idle("begin_compaction")?;
        let n_rows = self.ids.len() as u32;
        let (mut ranges, mut total) = (Vec::new(), 0);
        let (mut first, mut n_bytes) = (0, 0);
        for row in 0..n_rows {
            if self.is_alive[row as usize] {
                n_bytes += file::row_bytes(self, row);
            }
            if n_bytes >= COMPACTION_BYTES || (row + 1 == n_rows && n_bytes > 0) {
                ranges.push(first..row + 1);
                total += n_bytes as u64;
                (first, n_bytes) = (row + 1, 0);
            }
        }
        ranges.reverse();
        let after = Written {
            generation: self.journal.written.generation + 1,
            rows: n_rows,
            ..Written::default()
        };
        self.journal.begin(after, Some(ranges));
        Ok(total)
    }

    /// The next bytes of the new file; `None` after the last.
    ///
    /// Fails where no compaction is under way.
    pub fn compaction_chunk(&mut self) -> Result<Option<Vec<u8>>, Error> {
        let none = Error::Order {
            call: "compaction_chunk",
            state: "no compaction is under way",
        };
        let Some(UnderWay {
            after,
            compaction: Some(ranges),
            ..
        }) = &mut self.journal.under_way
        else {
            return Err(none);
        };
        let mut after = *after;
        let mut bytes = Vec::new();
        let n_commits = ranges.len() as u64;
        let range = ranges.pop();
        if after.n_bytes == 0 {
            self.begin_file(&mut after, n_commits, &mut bytes);
        }
        if let Some(range) = range {
            self.append_commit(&mut after, range, &[], &BTreeSet::new(), &mut bytes);
        }
        if let Some(under_way) = &mut self.journal.under_way {
            under_way.after = after;
        }
        Ok((!bytes.is_empty()).then_some(bytes))
    }

    /// Ends a compaction. With `keep` the new file is the index's from now on, and dead rows leave
    /// memory; without, it was an export, or could not be written.
    ///
    /// Fails where none is under way, and when a file is to be kept of which bytes are still to come.
    pub fn finish_compaction(&mut self, keep: bool) -> Result<(), Error> {
        let call = "finish_compaction";
        let state = match &self.journal.under_way {
            Some(UnderWay {
                compaction: Some(ranges),
                after,
                ..
            }) if !keep || (ranges.is_empty() && after.n_bytes > 0) => None,
            Some(UnderWay {
                compaction: Some(_),
                ..
            }) => Some("chunks are still to come"),
            _ => Some("no compaction is under way"),
        };
        if let Some(state) = state {
            return Err(Error::Order { call, state });
        }
        let Some(under_way) = self.journal.under_way.take() else {
            return Ok(());
        };
        if keep {
            self.journal.written = under_way.after;
            self.drop_dead_rows();
        } else {
            self.journal.take_back(under_way);
        }
        Ok(())
    }

    /// How far the file has come.
    pub fn written(&self) -> Written {
        self.journal.written
    }

    /// Number of changes that are in no commit.
    pub fn n_pending(&self) -> usize {
        let first = self.journal.known_rows() as usize;
        let added = self.is_alive[first..]
            .iter()
            .filter(|is_alive| **is_alive)
            .count();
        added + self.journal.removed.len() + self.journal.updated.len()
    }

    fn begin_file(&self, after: &mut Written, snapshot_commits: u64, bytes: &mut Vec<u8>) {
        let header = FileHeader {
            generation: after.generation,
            snapshot_commits,
            schema: self.schema.clone(),
        };
        after.chain = header.write(bytes);
        after.n_bytes = bytes.len() as u64;
    }

    fn append_commit(
        &self,
        after: &mut Written,
        rows: Range<u32>,
        removed: &[Box<str>],
        updated: &BTreeSet<u32>,
        bytes: &mut Vec<u8>,
    ) {
        let rows: Vec<u32> = rows.filter(|row| self.is_alive[*row as usize]).collect();
        let updated: Vec<u32> = self.live_rows(updated).collect();
        let names = self.names.since(after.names);
        let contents = Contents {
            names,
            removed,
            rows: &rows,
            updated: &updated,
        };
        let before = bytes.len();
        after.sequence += 1;
        let header = CommitHeader {
            sequence: after.sequence,
            previous: after.chain,
            ..contents.header()
        };
        after.chain = contents.write(self, header, bytes);
        after.n_bytes += (bytes.len() - before) as u64;
        after.names = self.names.len();
    }
}
