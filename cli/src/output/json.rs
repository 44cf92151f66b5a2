//! Messages as canonical proto3 JSON, with 64-bit integers as numbers, as scripts want them.

use super::line;
use crate::error::{CliError, Result};
use prost::{Message, Name};
use prost_reflect::{DescriptorPool, DynamicMessage, SerializeOptions};
use provado_model::Reason;
use serde_json::Value;

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
    let value = dynamic
        .serialize_with_options(serde_json::value::Serializer, &options)
        .map_err(|error| trouble(error.to_string()))?;
    serde_json::to_string_pretty(&sorted(value)).map_err(|error| trouble(error.to_string()))
}

/// The same with the keys of every object in order: maps have none of their own, and what is
/// printed twice must not differ.
fn sorted(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut pairs: Vec<(String, Value)> = map.into_iter().collect();
            pairs.sort_by(|(a, _), (b, _)| a.cmp(b));
            let pairs = pairs.into_iter().map(|(key, value)| (key, sorted(value)));
            Value::Object(pairs.collect())
        }
        Value::Array(values) => Value::Array(values.into_iter().map(sorted).collect()),
        other => other,
    }
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
        let value: Value = serde_json::from_str(&to_json(&run).unwrap()).unwrap();
        assert_eq!(value["state"], "RUN_STATE_RUNNING");
        assert_eq!(value["attemptCount"], 2);
        assert_eq!(value["databaseName"], "");
    }

    #[test]
    fn maps_are_printed_in_order() {
        let letters = || ('a'..='z').map(|letter| (letter.to_string(), String::new()));
        let run = Run {
            labels: letters().collect(),
            ..Run::default()
        };
        let text = to_json(&run).unwrap();
        let keys: Vec<_> = letters()
            .map(|(key, _)| text.find(&format!("\"{key}\"")))
            .collect();
        assert!(keys.is_sorted() && keys[0].is_some(), "{text}");
    }
}
