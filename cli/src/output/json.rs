//! Messages as canonical proto3 JSON, with 64-bit integers as numbers, as scripts want them.

use super::line;
use crate::error::{CliError, Result};
use prost::{Message, Name};
use prost_reflect::{DescriptorPool, DynamicMessage, SerializeOptions};
use provado_model::Reason;

/// Prints one message as one pretty JSON document.
pub(crate) fn print_json<M: Message + Name>(message: &M) -> Result<()> {
    line(&to_json(message)?);
    Ok(())
}

/// One message as one pretty JSON document.
pub(crate) fn to_json<M: Message + Name>(message: &M) -> Result<String> {
    let trouble = |what: String| {
        CliError::new(
            Reason::Internal,
            format!("cannot print JSON: {what}; without `-o json` the same is told in words"),
        )
    };
    let pool = DescriptorPool::decode(provado_proto::FILE_DESCRIPTOR_SET)
        .map_err(|error| trouble(error.to_string()))?;
    let name = M::full_name();
    let descriptor = pool
        .get_message_by_name(&name)
        .ok_or_else(|| trouble(format!("`{name}` is not described")))?;
    let dynamic = DynamicMessage::decode(descriptor, message.encode_to_vec().as_slice())
        .map_err(|error| trouble(error.to_string()))?;
    let options = SerializeOptions::new()
        .stringify_64_bit_integers(false)
        .skip_default_fields(false);
    let mut out = Vec::new();
    let mut serializer = serde_json::Serializer::pretty(&mut out);
    dynamic
        .serialize_with_options(&mut serializer, &options)
        .map_err(|error| trouble(error.to_string()))?;
    String::from_utf8(out).map_err(|error| trouble(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use provado_proto::operator::v1::{Run, RunState};

    #[test]
    fn fields_have_their_json_names_and_numbers_are_numbers() {
        let run = Run {
            name: "runs/1".into(),
            state: RunState::Running.into(),
            attempt_count: 2,
            ..Run::default()
        };
        let value: serde_json::Value = serde_json::from_str(&to_json(&run).unwrap()).unwrap();
        assert_eq!(value["state"], "RUN_STATE_RUNNING");
        assert_eq!(value["attemptCount"], 2);
        assert_eq!(value["databaseName"], "");
    }
}
