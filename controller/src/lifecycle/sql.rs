//! Small helpers for the stores of this module.

use provado_model::Error;

/// `,a,b,` for a LIKE against one of the words; empty for no restriction.
pub(super) fn among<'a>(words: impl Iterator<Item = &'a str>) -> String {
    words.fold(String::new(), |mut out, word| {
        if out.is_empty() {
            out.push(',');
        }
        out.push_str(word);
        out.push(',');
        out
    })
}

pub(super) fn text(value: Option<impl ToString>) -> String {
    value.map(|value| value.to_string()).unwrap_or_default()
}

pub(super) fn json<T: serde::Serialize>(value: &T) -> Result<String, Error> {
    serde_json::to_string(value)
        .map_err(|source| Error::internal("a value cannot be written as JSON").caused_by(source))
}
