//! From a query to an answer, by the map, from memory, or by an upstream.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use crate::MAX_RATE;
use crate::cache::Cache;
use crate::counters::{Counters, count};
use crate::limit::Limit;
use crate::message::{Rcode, kind};
use crate::pending::{Joined, Pending, PendingQuestions};
use crate::query::{Query, Refused, Transport};
use crate::response::{NoAnswer, Response};
use crate::upstreams::{Avoided, Target};
use crate::zone::Zone;

/// Who asked, as the sockets know them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Client {
    /// By a datagram from there.
    Udp(SocketAddr),
    /// By the connection of this number.
    Tcp(u64),
}

/// One message to one upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AskId {
    pub(crate) question: u64,
    pub(crate) attempt: u32,
}

/// What the sockets are to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Send this to who asked.
    Answer {
        /// Who asked.
        to: Client,
        /// The message.
        bytes: Vec<u8>,
    },
    /// Send this from a fresh port of the system's choice, and give back what comes from there: [`Resolver::answer`] until it
    /// says true, or [`Resolver::failed`] when nothing came in time.
    Ask {
        /// Names it in what is given back.
        ask: AskId,
        /// Whom.
        upstream: SocketAddr,
        /// How.
        transport: Transport,
        /// The message.
        bytes: Vec<u8>,
    },
    /// Nobody waits for this any more.
    Forget(AskId),
}

/// Gives the ids of messages to upstreams, which nobody must be able to guess (RFC 5452, section 9.2).
pub type Random = Box<dyn FnMut() -> u16 + Send>;

/// The state machine.
pub struct Resolver {
    /// Where we answer: never asked.
    own: SocketAddr,
    /// Resolvers of the host, for what the map does not speak of.
    fallback: Vec<SocketAddr>,
    zone: Option<Arc<Zone>>,
    cache: Cache,
    pending: PendingQuestions,
    avoided: Avoided,
    limit: Limit,
    counters: Arc<Counters>,
    random: Random,
}

impl Resolver {
    /// Answers at `own`, which is never asked itself; refuses everything until a zone or resolvers are installed.
    #[must_use]
    pub fn new(own: SocketAddr, counters: Arc<Counters>, random: Random) -> Self {
        Self {
            own,
            fallback: Vec::new(),
            zone: None,
            cache: Cache::default(),
            pending: PendingQuestions::default(),
            avoided: Avoided::default(),
            limit: Limit::new(MAX_RATE),
            counters,
            random,
        }
    }

    /// Answers by another map from here on, and asks `fallback`, the resolvers of the host, for what the map does not speak
    /// of. Forgets what upstreams said: others may be asked now.
    pub fn install(&mut self, zone: Option<Arc<Zone>>, fallback: Vec<SocketAddr>) {
        self.cache.clear();
        self.zone = zone;
        self.fallback = fallback;
    }

    /// A message came from this host.
    pub fn query(&mut self, now: Instant, from: Client, bytes: &[u8], outputs: &mut Vec<Output>) {
        count(&self.counters.queries);
        if !self.limit.admit(now) {
            return count(&self.counters.dropped_rate);
        }
        let transport = match from {
            Client::Udp(_) => Transport::Udp,
            Client::Tcp(_) => Transport::Tcp,
        };
        match Query::read(bytes, transport) {
            Ok(query) => self.resolve(now, from, query, outputs),
            Err(Refused::Silent) => count(&self.counters.malformed),
            Err(Refused::Malformed(bytes)) => {
                count(&self.counters.malformed);
                outputs.push(Output::Answer { to: from, bytes });
            }
            Err(Refused::Unknown(bytes)) => {
                count(&self.counters.refused);
                outputs.push(Output::Answer { to: from, bytes });
            }
        }
    }

    fn resolve(&mut self, now: Instant, from: Client, query: Query, outputs: &mut Vec<Output>) {
        if query.class != kind::IN || kind::TRANSFERS.contains(&query.kind) {
            return self.refuse(from, &query, outputs);
        }
        if let Some(zone) = &self.zone
            && let Some(lookup) = zone.lookup(&query)
        {
            count(&self.counters.answered_zone);
            let bytes = zone.answer(&query, &lookup);
            return self.reply(from, &query, bytes, outputs);
        }
        if let Some(mut bytes) = self.cache.get(&query.key(), now) {
            count(&self.counters.answered_cache);
            query.adopt(&mut bytes);
            return self.reply(from, &query, bytes, outputs);
        }
        match self.pending.join(from, &query) {
            Joined::Waits => {}
            Joined::Full => count(&self.counters.dropped_queue),
            Joined::New => self.ask(now, from, query, outputs),
        }
    }

    fn ask(&mut self, now: Instant, from: Client, query: Query, outputs: &mut Vec<Output>) {
        let mut servers = self.servers(&query, now);
        let Some(upstream) = servers.pop_front() else {
            return self.refuse(from, &query, outputs);
        };
        let id = (self.random)();
        let bytes = query.for_upstream(id);
        let (ask, evicted) = self.pending.insert(Pending {
            key: query.key(),
            waiters: vec![(from, query)],
            upstream,
            transport: Transport::Udp,
            id,
            others: servers,
            attempt: 0,
        });
        if let Some((ask, pending)) = evicted {
            count(&self.counters.dropped_queue);
            outputs.push(Output::Forget(ask));
            self.give_up(pending, outputs);
        }
        self.send(ask, upstream, Transport::Udp, bytes, outputs);
    }

    /// Whom to ask in turn, ourselves never.
    fn servers(&self, query: &Query, now: Instant) -> VecDeque<SocketAddr> {
        let routed = self.zone.as_ref().and_then(|zone| zone.upstreams.target(&query.name));
        let servers = match routed {
            Some(Target::Servers(servers)) => servers,
            _ => self.fallback.as_slice(),
        };
        let others = servers.iter().filter(|server| **server != self.own);
        self.avoided.order(others.copied(), now)
    }

    /// A message came to the port of a question. False: it is not the answer, which may come yet.
    pub fn answer(&mut self, now: Instant, ask: AskId, bytes: &[u8], outputs: &mut Vec<Output>) -> bool {
        let Some(pending) = self.pending.get_mut(ask) else {
            return true;
        };
        let key = &pending.key;
        let response = match Response::read(bytes, pending.id, &key.name, key.kind, key.class) {
            Ok(response) => response,
            Err(NoAnswer::Mismatch) => {
                count(&self.counters.upstream_mismatched);
                return false;
            }
            Err(NoAnswer::Garbled) => {
                self.failed(now, ask, outputs);
                return true;
            }
        };
        let upstream = pending.upstream;
        if response.truncated && pending.transport == Transport::Udp {
            self.retry(ask, upstream, Transport::Tcp, outputs);
        } else if response.truncated || (response.unhelpful && !pending.others.is_empty()) {
            self.failed(now, ask, outputs);
        } else if let Some(pending) = self.pending.remove(ask) {
            self.avoided.remove(upstream);
            self.deliver(now, pending, response, outputs);
        }
        true
    }

    fn deliver(&mut self, now: Instant, pending: Pending, response: Response, outputs: &mut Vec<Output>) {
        let response = Arc::new(response);
        for (to, query) in &pending.waiters {
            count(&self.counters.answered_upstream);
            let mut bytes = response.bytes.clone();
            query.adopt(&mut bytes);
            self.reply(*to, query, bytes, outputs);
        }
        self.cache.put(pending.key, response, now);
    }

    /// An upstream did not answer in time, or cannot be reached: the next one is asked.
    pub fn failed(&mut self, now: Instant, ask: AskId, outputs: &mut Vec<Output>) {
        let Some(pending) = self.pending.get_mut(ask) else {
            return;
        };
        count(&self.counters.upstream_failures);
        self.avoided.add(pending.upstream, now);
        if let Some(next) = pending.others.pop_front() {
            self.retry(ask, next, Transport::Udp, outputs);
        } else if let Some(pending) = self.pending.remove(ask) {
            self.give_up(pending, outputs);
        }
    }

    fn retry(&mut self, ask: AskId, upstream: SocketAddr, transport: Transport, outputs: &mut Vec<Output>) {
        let id = (self.random)();
        let Some(pending) = self.pending.get_mut(ask) else {
            return;
        };
        pending.upstream = upstream;
        pending.transport = transport;
        pending.id = id;
        pending.attempt += 1;
        let ask = AskId {
            attempt: pending.attempt,
            ..ask
        };
        let Some((_, query)) = pending.waiters.first() else {
            return;
        };
        let bytes = query.for_upstream(id);
        self.send(ask, upstream, transport, bytes, outputs);
    }

    fn send(&self, ask: AskId, upstream: SocketAddr, transport: Transport, bytes: Vec<u8>, outputs: &mut Vec<Output>) {
        count(&self.counters.upstream_queries);
        outputs.push(Output::Ask {
            ask,
            upstream,
            transport,
            bytes,
        });
    }

    fn give_up(&self, pending: Pending, outputs: &mut Vec<Output>) {
        for (to, query) in &pending.waiters {
            count(&self.counters.failed);
            let bytes = query.answer(Rcode::ServFail, false, &[], &[]);
            outputs.push(Output::Answer { to: *to, bytes });
        }
    }

    fn refuse(&self, to: Client, query: &Query, outputs: &mut Vec<Output>) {
        count(&self.counters.refused);
        let bytes = query.answer(Rcode::Refused, false, &[], &[]);
        outputs.push(Output::Answer { to, bytes });
    }

    fn reply(&self, to: Client, query: &Query, bytes: Vec<u8>, outputs: &mut Vec<Output>) {
        let bytes = if bytes.len() <= query.room() {
            bytes
        } else {
            query.truncated()
        };
        if bytes.get(2).is_some_and(|flags| flags & 2 != 0) {
            count(&self.counters.truncated);
        }
        outputs.push(Output::Answer { to, bytes });
    }

    /// Ends everything that waits, with SERVFAIL.
    pub fn close(&mut self, outputs: &mut Vec<Output>) {
        for (ask, pending) in self.pending.drain() {
            outputs.push(Output::Forget(ask));
            self.give_up(pending, outputs);
        }
    }
}
