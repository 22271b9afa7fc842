//! Whatever comes from hosts and upstreams: no panic, at most one answer, and none to an answer.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod common;

use common::*;
use cvlan_dns::{Client, Output};
use proptest::prelude::*;
use std::fs;
use std::path::Path;
use std::time::Instant;

fn corpus() -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus");
    let mut found: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            let text = fs::read_to_string(&path).unwrap();
            let digits: Vec<_> = text.lines().filter(|line| !line.starts_with('#')).collect();
            let digits = digits.concat().replace(' ', "");
            let bytes = (0..digits.len())
                .step_by(2)
                .map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap())
                .collect();
            (path.file_stem().unwrap().to_str().unwrap().to_owned(), bytes)
        })
        .collect();
    found.sort();
    found
}

/// What a host's message leads to: the rcode of the answer, or None for silence; a question to an upstream is 99.
fn outcome(message: &[u8]) -> Option<u16> {
    let (mut resolver, _) = resolver(&[], &[server("192.0.2.1:53")]);
    let mut outputs = Vec::new();
    resolver.query(Instant::now(), client(), message, &mut outputs);
    assert!(outputs.len() <= 1);
    match outputs.first()? {
        Output::Answer { bytes, .. } => Some(read(bytes).rcode),
        Output::Ask { .. } => Some(99),
        Output::Forget(_) => panic!("nothing was asked before"),
    }
}

#[test]
fn the_corpus_is_answered_as_its_names_say() {
    let corpus = corpus();
    assert!(corpus.len() >= 12);
    for (name, bytes) in corpus {
        let expected = match name.split_once('-').unwrap().0 {
            "silent" => None,
            "good" => Some(0),
            "formerr" => Some(1),
            "notimp" => Some(4),
            "refused" => Some(5),
            // Its higher bits stand in the OPT record.
            "badvers" => Some(0),
            other => panic!("{other} says nothing of what is expected"),
        };
        assert_eq!(outcome(&bytes), expected, "{name}");
    }
}

fn mangled() -> impl Strategy<Value = Vec<u8>> {
    let seeds: Vec<Vec<u8>> = corpus().into_iter().map(|(_, bytes)| bytes).collect();
    let changes = proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6);
    (prop::sample::select(seeds), changes, any::<prop::sample::Index>()).prop_map(|(mut bytes, changes, cut)| {
        for (at, value) in changes {
            if !bytes.is_empty() {
                let at = at.index(bytes.len());
                bytes[at] = value;
            }
        }
        if cut.index(3) == 0 {
            bytes.truncate(cut.index(bytes.len() + 1));
        }
        bytes
    })
}

proptest! {
    #[test]
    fn any_bytes_lead_to_at_most_one_output(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        outcome(&bytes);
    }

    #[test]
    fn nearly_good_queries_lead_to_at_most_one_output(bytes in mangled()) {
        let silent = bytes.len() < 12 || bytes[2] & 0x80 != 0;
        prop_assert_eq!(outcome(&bytes).is_none(), silent);
    }

    #[test]
    fn no_answer_of_an_upstream_breaks_anything(
        tail in proptest::collection::vec(any::<u8>(), 0..200),
        counts in any::<[u16; 3]>(),
        flags in any::<u16>(),
    ) {
        let (mut resolver, _) = resolver(&[], &[server("192.0.2.1:53")]);
        let now = Instant::now();
        let mut outputs = Vec::new();
        resolver.query(now, Client::Tcp(1), &query(3, "a.example", A), &mut outputs);
        let Some(Output::Ask { ask, bytes, .. }) = outputs.pop() else { panic!("nobody is asked") };
        let id = u16::from_be_bytes([bytes[0], bytes[1]]);
        let head = header(id, flags | 0x8000, [1, counts[0] & 3, counts[1] & 3, counts[2] & 3]);
        let message = [head, question("a.example", A), tail].concat();
        resolver.answer(now, ask, &message, &mut outputs);
        // And what may have been remembered is told.
        resolver.query(now, client(), &query(4, "a.example", A), &mut outputs);
        for output in outputs {
            if let Output::Answer { bytes, .. } = output {
                prop_assert!(bytes.len() >= 12 && bytes[2] & 0x80 != 0);
            }
        }
    }
}
