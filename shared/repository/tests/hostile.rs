//! What is read from a repository without a key, of any bytes: refused or understood, never a
//! panic, and never understood in two ways.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use proptest::collection::vec;
use proptest::prelude::*;
use provado_repository::descriptor::Descriptor;
use provado_repository::{Identity, Key, Recipient};
use std::path::Path;

fn golden() -> Vec<u8> {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/repository");
    std::fs::read(tests.join("provado-repository.json")).unwrap()
}

/// JSON as a hostile host could put it there: shallow, with the descriptor's own field names.
fn json() -> impl Strategy<Value = String> {
    let field = prop_oneof![
        Just("format"),
        Just("format_version"),
        Just("repository_id"),
        Just("recipients"),
        Just("capabilities"),
        Just("sha256"),
    ];
    let value = prop_oneof![
        Just("null".to_owned()),
        Just("\"provado-repository\"".to_owned()),
        Just("[[[[{}]]]]".to_owned()),
        any::<u64>().prop_map(|number| number.to_string()),
        any::<f64>().prop_map(|number| format!("{number:e}")),
        "\"[a-z0-9-]{0,40}\"",
    ];
    vec((field, value), 0..8).prop_map(|fields| {
        let fields = fields
            .iter()
            .map(|(name, value)| format!("\"{name}\":{value}"));
        format!("{{{}}}\n", fields.collect::<Vec<_>>().join(","))
    })
}

proptest! {
    #[test]
    fn no_descriptor_but_a_whole_one_is_taken(
        bytes in vec(any::<u8>(), 0..600),
        text in json(),
        at in any::<prop::sample::Index>(),
        part in vec(any::<u8>(), 0..8),
        cut in 0..8_usize,
    ) {
        prop_assert!(Descriptor::from_bytes(&bytes, "it").is_err());
        prop_assert!(Descriptor::from_bytes(text.as_bytes(), "it").is_err());
        let golden = golden();
        let mut changed = golden.clone();
        let from = at.index(changed.len());
        let to = (from + cut).min(changed.len());
        drop(changed.splice(from..to, part));
        let parsed = Descriptor::from_bytes(&changed, "it");
        prop_assert_eq!(parsed.is_ok(), changed == golden, "{:?}", parsed);
    }

    #[test]
    fn a_key_has_one_form_and_leads_nowhere_else(
        text in "[a-z0-9./~\\\\-]{0,120}",
        any in any::<String>(),
    ) {
        for text in [text, any] {
            if let Ok(key) = text.parse::<Key>() {
                prop_assert_eq!(key.as_str(), text.as_str());
                let parts = text.split('/');
                let is_plain = |part: &str| !part.is_empty() && part != "." && part != "..";
                prop_assert!(parts.clone().all(is_plain), "{}", text);
            }
        }
    }

    #[test]
    fn identities_and_recipients_of_any_text_never_panic(
        text in any::<String>(),
        tail in "[A-Z0-9]{0,80}",
    ) {
        prop_assert!(Identity::from_file_text(&text).is_err());
        let shaped = format!("AGE-SECRET-KEY-1{tail}\n");
        prop_assert!(Identity::from_file_text(&shaped).is_err());
        let lower = tail.to_ascii_lowercase();
        for text in [text, format!("age1{lower}")] {
            prop_assert!(text.parse::<Recipient>().is_err());
        }
    }
}

#[test]
fn the_golden_descriptor_is_a_whole_one() {
    let descriptor = Descriptor::from_bytes(&golden(), "it").unwrap();
    assert_eq!(descriptor.to_bytes().unwrap(), golden());
}
