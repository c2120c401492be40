//! The best few of many scores.

use std::cmp::Ordering;

/// A row and how well it matches.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scored {
    pub row: u32,
    pub score: f32,
}

impl Scored {
    /// Better ones first; of equal ones the earlier row.
    fn compare(&self, other: &Scored) -> Ordering {
        other
            .score
            .total_cmp(&self.score)
            .then(self.row.cmp(&other.row))
    }
}

/// Keeps the best `k` of what is offered: a heap with the worst of them on top.
#[derive(Debug)]
pub struct TopK {
    k: usize,
    heap: Vec<Scored>,
}

impl TopK {
    /// For the best `k >= 1`.
    pub fn new(k: usize) -> TopK {
        TopK {
            k,
            heap: Vec::with_capacity(k.min(1 << 16)),
        }
    }

    /// Whether a row of this score would be kept. Rows are offered in ascending order, so of equal
    /// scores the one that is there stays.
    pub fn wants(&self, score: f32) -> bool {
        self.heap.len() < self.k || score > self.heap[0].score
    }

    /// Takes a row that is wanted.
    pub fn push(&mut self, row: u32, score: f32) {
        let scored = Scored { row, score };
        if self.heap.len() < self.k {
            self.heap.push(scored);
            let mut at = self.heap.len() - 1;
            while at > 0 {
                let parent = (at - 1) / 2;
                if self.heap[at].compare(&self.heap[parent]) != Ordering::Greater {
                    break;
                }
                self.heap.swap(at, parent);
                at = parent;
            }
            return;
        }
        self.heap[0] = scored;
        let mut at = 0;
        loop {
            let (left, right) = (2 * at + 1, 2 * at + 2);
            let mut worst = at;
            for child in [left, right] {
                if child < self.heap.len()
                    && self.heap[child].compare(&self.heap[worst]) == Ordering::Greater
                {
                    worst = child;
                }
            }
            if worst == at {
                return;
            }
            self.heap.swap(at, worst);
            at = worst;
        }
    }

    /// The best, best first.
    pub fn into_best_first(mut self) -> Vec<Scored> {
        self.heap.sort_unstable_by(Scored::compare);
        self.heap
    }

    /// The rows of the best, in ascending order.
    pub fn into_rows(self) -> Vec<u32> {
        let mut rows: Vec<u32> = self.heap.iter().map(|scored| scored.row).collect();
        rows.sort_unstable();
        rows
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_best_are_those_of_a_full_sort(scores in prop::collection::vec(-3i8..3, 0..200), k in 1usize..50) {
            let mut top = TopK::new(k);
            for (row, score) in (0..).zip(&scores) {
                let score = f32::from(*score);
                if top.wants(score) {
                    top.push(row, score);
                }
            }
            let mut sorted: Vec<(u32, i8)> = (0..).zip(scores).collect();
            sorted.sort_by_key(|(row, score)| (-score, *row));
            let best: Vec<_> = top.into_best_first().iter().map(|s| (s.row, s.score as i8)).collect();
            prop_assert_eq!(&best, &sorted[..sorted.len().min(k)]);
        }
    }
}
