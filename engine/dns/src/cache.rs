//! Answers of upstreams for as long as they may be remembered.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use crate::query::Key;
use crate::response::Response;
use crate::{MAX_CACHED, MAX_CACHED_BYTES, MAX_UDP};

struct Entry {
    response: Arc<Response>,
    since: Instant,
    /// Which place in `by_age` is this entry's.
    number: u64,
}

/// Bounded by count and bytes; the oldest gives way.
#[derive(Default)]
pub(crate) struct Cache {
    entries: HashMap<Key, Entry>,
    by_age: VecDeque<(u64, Key)>,
    bytes: usize,
    next: u64,
}

impl Cache {
    /// The answer as of now.
    pub(crate) fn get(&self, key: &Key, now: Instant) -> Option<Vec<u8>> {
        let entry = self.entries.get(key)?;
        let age = now.saturating_duration_since(entry.since);
        (age < entry.response.lasts?).then(|| entry.response.aged(age))
    }

    pub(crate) fn put(&mut self, key: Key, response: Arc<Response>, now: Instant) {
        let size = response.bytes.len();
        if response.lasts.is_none() || size > MAX_UDP {
            return;
        }
        self.bytes += size;
        let entry = Entry {
            response,
            since: now,
            number: self.next,
        };
        self.by_age.push_back((self.next, key.clone()));
        self.next += 1;
        if let Some(former) = self.entries.insert(key, entry) {
            self.bytes -= former.response.bytes.len();
        }
        while self.by_age.len() > MAX_CACHED || self.bytes > MAX_CACHED_BYTES {
            self.drop_oldest();
        }
    }

    /// What was learned from servers that are no longer asked must not be told on.
    pub(crate) fn clear(&mut self) {
        *self = Self {
            next: self.next,
            ..Self::default()
        };
    }

    fn drop_oldest(&mut self) {
        let Some((number, key)) = self.by_age.pop_front() else {
            return;
        };
        if self.entries.get(&key).is_some_and(|entry| entry.number == number)
            && let Some(entry) = self.entries.remove(&key)
        {
            self.bytes -= entry.response.bytes.len();
        }
    }

    #[cfg(test)]
    pub(crate) fn size(&self) -> (usize, usize, usize) {
        (self.entries.len(), self.by_age.len(), self.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::{Query, Transport};
    use std::time::Duration;

    fn key(number: u32) -> Key {
        let name = format!("{number}.example");
        let mut message = vec![0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        message.extend_from_slice(crate::Name::from_text(&name).unwrap().as_bytes());
        message.extend([0, 1, 0, 1]);
        Query::read(&message, Transport::Udp).unwrap().key()
    }

    fn response(size: usize) -> Arc<Response> {
        Arc::new(Response {
            bytes: vec![0; size],
            truncated: false,
            unhelpful: false,
            lasts: Some(Duration::from_secs(9)),
            ttls: Vec::new(),
        })
    }

    #[test]
    fn count_and_bytes_stay_bounded_whatever_is_put_in() {
        let now = Instant::now();
        let mut cache = Cache::default();
        for round in 0..3 {
            for number in 0..2000 {
                cache.put(key(number), response(12 + round * 2000), now);
                let (entries, places, bytes) = cache.size();
                assert!(entries <= places && places <= MAX_CACHED && bytes <= MAX_CACHED_BYTES);
            }
        }
        assert!(cache.get(&key(1999), now).is_some());
        assert!(cache.get(&key(0), now).is_none());
        for _ in 0..3 * MAX_CACHED {
            cache.put(key(1), response(100), now);
        }
        assert_eq!(cache.size(), (1, MAX_CACHED, 100));
        cache.put(key(2), response(MAX_UDP + 1), now);
        assert!(cache.get(&key(2), now).is_none());
        cache.clear();
        assert_eq!(cache.size(), (0, 0, 0));
    }
}
