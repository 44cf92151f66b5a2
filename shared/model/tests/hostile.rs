//! Texts that come from outside, of any content: understood in their one form, or refused.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use proptest::collection::vec;
use proptest::prelude::*;
use provado_model::audit_chain::{ChainHead, Checkpoint};
use provado_model::id::{AttemptId, RunId};
use uuid::Uuid;

proptest! {
    #[test]
    fn a_checkpoint_has_one_form(
        any_text in any::<String>(),
        lines in vec("[ -~]{0,70}", 0..7),
        controller in "[ -~]{0,40}",
        hash in "[ -~]{0,70}",
        sequence in any::<u64>(),
        epoch in any::<u64>(),
        accepted_epoch in any::<u64>(),
        time_micros in any::<i64>(),
    ) {
        for text in [any_text, format!("provado-audit/{}\n", lines.join("\n"))] {
            if let Ok(checkpoint) = text.parse::<Checkpoint>() {
                prop_assert_eq!(checkpoint.body(), text);
            }
        }
        let head = ChainHead { sequence, hash };
        let checkpoint = Checkpoint { controller, head, epoch, accepted_epoch, time_micros };
        let body = checkpoint.body();
        prop_assert_eq!(&body.parse::<Checkpoint>().unwrap(), &checkpoint);
        // Nothing may be added to it or left out of it.
        for other in [format!("{body}x\n"), format!("{body}\n"), body.trim_end().to_owned()] {
            prop_assert!(other.parse::<Checkpoint>().is_err());
        }
    }

    #[test]
    fn an_id_has_one_form(
        any_text in any::<String>(),
        shaped in "[0-9a-fA-F{}:urnid-]{0,45}",
        id in any::<u128>(),
    ) {
        for text in [any_text, shaped] {
            if let Ok(id) = text.parse::<RunId>() {
                prop_assert_eq!(id.to_string(), text.to_ascii_lowercase());
            }
        }
        let id = AttemptId::from_uuid(Uuid::from_u128(id));
        prop_assert_eq!(id.to_string().parse::<AttemptId>().unwrap(), id);
    }
}
