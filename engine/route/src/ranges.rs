//! Nested blocks flattened into disjoint ranges.

/// A map from numbers to values, made of blocks that nest or are disjoint; the smallest block wins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ranges<V> {
    /// Where each range starts, ascending; it reaches to the next start.
    starts: Vec<u128>,
    values: Vec<Option<V>>,
}

impl<V> Default for Ranges<V> {
    fn default() -> Self {
        Self {
            starts: Vec::new(),
            values: Vec::new(),
        }
    }
}

impl<V: Copy + PartialEq> Ranges<V> {
    /// `blocks` are (first, last) with what they lead to; of two equal blocks the first counts.
    pub(crate) fn new(blocks: impl Iterator<Item = ((u128, u128), V)>) -> Self {
        let mut blocks: Vec<_> = blocks.collect();
        // Outer blocks before inner ones; the stable sort keeps equal ones in their order.
        blocks.sort_by_key(|((first, last), _)| (*first, std::cmp::Reverse(*last)));
        blocks.dedup_by_key(|(bounds, _)| *bounds);

        let mut ranges = Self::default();
        let mut open: Vec<(u128, V)> = Vec::new();
        for ((first, last), value) in blocks {
            ranges.close(&mut open, Some(first));
            open.push((last, value));
            ranges.start(first, Some(value));
        }
        ranges.close(&mut open, None);
        ranges
    }

    /// The value of the smallest block that holds `number`.
    pub(crate) fn lookup(&self, number: u128) -> Option<V> {
        let after = self.starts.partition_point(|start| *start <= number);
        *self.values.get(after.checked_sub(1)?)?
    }

    /// Ends the open blocks that do not reach `next`; what encloses them goes on behind each.
    fn close(&mut self, open: &mut Vec<(u128, V)>, next: Option<u128>) {
        while let Some((last, _)) = open.last().copied()
            && next.is_none_or(|next| last < next)
        {
            open.pop();
            if let Some(behind) = last.checked_add(1) {
                self.start(behind, open.last().map(|(_, value)| *value));
            }
        }
    }

    fn start(&mut self, at: u128, value: Option<V>) {
        if self.starts.last() == Some(&at) {
            self.starts.pop();
            self.values.pop();
        }
        if self.values.last().copied().flatten() != value {
            self.starts.push(at);
            self.values.push(value);
        }
    }
}
