//! Writes the committed corpus of the fuzz target `offload` anew: `cargo run -p cvlan-offload --example corpus`. Needed only after the form
//! of its input changed; files that a fuzzer found stay.
#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a tool that ends at the first error"
)]

#[path = "../tests/common/mod.rs"]
mod common;

use cvlan_offload::Vnet;
use std::fs;
use std::path::PathBuf;

fn main() {
    let corpus = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../fuzz/offload/corpus");
    fs::create_dir_all(&corpus).unwrap();
    for (name, v6, tcp) in [
        ("tcp4", false, true),
        ("tcp6", true, true),
        ("udp4", false, false),
        ("udp6", true, false),
    ] {
        for (variant, options, length, segment, flags) in [
            ("even", 0, 400, 100, common::ACK),
            ("odd", 12, 433, 101, common::ACK | common::PSH),
            ("cwr", 40, 300, 299, common::ACK | common::CWR | common::FIN),
            ("one", 12, 50, 100, common::ACK),
            ("tiny", 4, 130, 1, common::ACK),
            ("syn", 8, 200, 100, 0x02),
        ] {
            let flow = common::Flow {
                v6,
                tcp,
                class: 2,
                ttl: 64,
                dont_fragment: true,
                identification: 0xfffe,
                sequence: 0xffff_ff00,
                acknowledged: 9,
                flags,
                window: 100,
                options: vec![1; options],
            };
            let payload: Vec<u8> = (0..length).map(|n: u32| n as u8).collect();
            let bytes = [&flow.vnet(segment).to_bytes()[..], &flow.unsummed(&payload)].concat();
            fs::write(corpus.join(format!("{name}-{variant}")), bytes).unwrap();
            let unsummed = Vnet {
                gso: cvlan_offload::Gso::None,
                segment: 0,
                ..flow.vnet(1)
            };
            if variant == "odd" {
                let bytes = [&unsummed.to_bytes()[..], &flow.unsummed(&payload)].concat();
                fs::write(corpus.join(format!("{name}-unsummed")), bytes).unwrap();
            }
        }
    }
}
