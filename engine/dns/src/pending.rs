//! Questions that wait for an upstream.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::SocketAddr;

use crate::query::{Key, Query, Transport};
use crate::resolver::{AskId, Client};
use crate::{MAX_PENDING, MAX_WAITERS};

/// One question, and everybody who asked it.
pub(crate) struct Pending {
    pub key: Key,
    /// The first to ask, and others.
    pub waiters: Vec<(Client, Query)>,
    /// Who is asked now.
    pub upstream: SocketAddr,
    pub transport: Transport,
    /// Of the message to the upstream.
    pub id: u16,
    /// Who is asked next.
    pub others: VecDeque<SocketAddr>,
    /// Counts the messages to upstreams; answers to former ones come too late.
    pub attempt: u32,
}

/// Bounded; the oldest question gives way.
#[derive(Default)]
pub(crate) struct PendingQuestions {
    by_number: BTreeMap<u64, Pending>,
    numbers: HashMap<Key, u64>,
    next: u64,
}

/// What became of an asker who joined a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Joined {
    /// Nobody asked it before.
    New,
    /// It is waited for already.
    Waits,
    /// Too many wait for it.
    Full,
}

impl PendingQuestions {
    /// Lets an asker wait with those who asked the same: a question is asked once however often it comes, also when it comes
    /// back to us by way of an upstream.
    pub(crate) fn join(&mut self, client: Client, query: &Query) -> Joined {
        let pending = self
            .numbers
            .get(&query.key())
            .and_then(|number| self.by_number.get_mut(number));
        let Some(pending) = pending else { return Joined::New };
        let repeated = |(other, asked): &(Client, Query)| *other == client && asked.id == query.id;
        if pending.waiters.iter().any(repeated) {
            return Joined::Waits;
        }
        if pending.waiters.len() >= MAX_WAITERS {
            return Joined::Full;
        }
        pending.waiters.push((client, query.clone()));
        Joined::Waits
    }

    /// Adds a question; what had to give way is returned with its name.
    pub(crate) fn insert(&mut self, pending: Pending) -> (AskId, Option<(AskId, Pending)>) {
        let number = self.next;
        self.next += 1;
        let evicted = if self.by_number.len() >= MAX_PENDING {
            self.by_number.pop_first()
        } else {
            None
        };
        let evicted = evicted.map(|(number, pending)| {
            self.numbers.remove(&pending.key);
            (ask_id(number, &pending), pending)
        });
        let ask = ask_id(number, &pending);
        self.numbers.insert(pending.key.clone(), number);
        self.by_number.insert(number, pending);
        (ask, evicted)
    }

    /// The question of a message to an upstream, unless it is over or another upstream is asked by now.
    pub(crate) fn get_mut(&mut self, ask: AskId) -> Option<&mut Pending> {
        let pending = self.by_number.get_mut(&ask.question)?;
        (pending.attempt == ask.attempt).then_some(pending)
    }

    pub(crate) fn remove(&mut self, ask: AskId) -> Option<Pending> {
        self.get_mut(ask)?;
        let pending = self.by_number.remove(&ask.question)?;
        self.numbers.remove(&pending.key);
        Some(pending)
    }

    /// Ends all of them.
    pub(crate) fn drain(&mut self) -> Vec<(AskId, Pending)> {
        self.numbers.clear();
        let all = std::mem::take(&mut self.by_number);
        all.into_iter()
            .map(|(number, pending)| (ask_id(number, &pending), pending))
            .collect()
    }
}

fn ask_id(question: u64, pending: &Pending) -> AskId {
    AskId {
        question,
        attempt: pending.attempt,
    }
}
