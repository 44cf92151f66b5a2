//! What operators and clients write, of any text: understood in one way or refused, never a panic.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use proptest::collection::vec;
use proptest::prelude::*;
use provado_controller::request::{PageTokens, Reference, collection_id, name_of, reference};
use provado_model::Reason;
use provado_model::id::RunId;
use uuid::Uuid;

proptest! {
    #[test]
    fn a_page_token_is_one_that_was_made_or_none(
        text in any::<String>(),
        shaped in "[A-Za-z0-9_-]{0,80}",
        method in "[A-Za-z]{1,12}",
        filter in vec(any::<u8>(), 0..20),
        last_key in any::<String>(),
        at in any::<prop::sample::Index>(),
        other in "[A-Za-z0-9_-]",
    ) {
        let tokens = PageTokens::new(&[7; 32]);
        for text in [text, shaped] {
            match tokens.read(&method, &filter, &text) {
                Ok(key) => prop_assert_eq!((key, text.as_str()), (None, "")),
                Err(error) => prop_assert_eq!(error.reason, Reason::PageTokenInvalid),
            }
        }
        let made = tokens.make(&method, &filter, &last_key);
        prop_assert_eq!(tokens.read(&method, &filter, &made).unwrap(), Some(last_key));
        let at = at.index(made.len());
        let changed = format!("{}{other}{}", &made[..at], &made[at + 1..]);
        let read = tokens.read(&method, &filter, &changed);
        prop_assert_eq!(read.is_ok(), changed == made);
        let cut = tokens.read(&method, &filter, &made[..at]);
        prop_assert!(at == 0 || cut.is_err());
    }

    #[test]
    fn a_name_means_one_thing_or_nothing(
        any_text in any::<String>(),
        shaped in "(runs/)?[0-9a-fA-F-]{0,40}",
        id in any::<u128>(),
    ) {
        for text in [any_text, shaped] {
            if let Ok(id) = collection_id("name", "runs", &text) {
                prop_assert!(!id.is_empty() && id.len() <= 255);
                prop_assert!(!id.contains('/') && !id.chars().any(char::is_control));
                // With its collection before it, it means the same.
                let whole = name_of("runs", id);
                prop_assert_eq!(collection_id("name", "runs", &whole).unwrap(), id);
            }
            match reference::<RunId>("name", "runs", &text) {
                Ok(Reference::Id(id)) => {
                    prop_assert!(text.to_lowercase().contains(&id.to_string()));
                }
                Ok(Reference::Part(part)) => {
                    let is_digit = |c: char| c == '-' || c.is_ascii_hexdigit();
                    prop_assert!((4..36).contains(&part.len()) && part.chars().all(is_digit));
                    prop_assert_eq!(part.to_ascii_lowercase(), part);
                }
                Ok(Reference::Name(name)) => prop_assert!(text.ends_with(&name)),
                Err(error) => prop_assert_eq!(error.reason, Reason::InvalidArgument),
            }
        }
        let id = RunId::from_uuid(Uuid::from_u128(id));
        let name = name_of("runs", id);
        prop_assert_eq!(reference::<RunId>("name", "runs", &name).unwrap(), Reference::Id(id));
    }
}
