//! What a refused call says.

use provado_model::Reason;
use tonic::Status;
use tonic_types::StatusExt;

/// The machine-readable reason of a refused call.
pub(crate) fn reason(status: &Status) -> String {
    let details = status.get_error_details();
    details.error_info().unwrap().reason.clone()
}

/// The fields that a refused call names.
pub(crate) fn fields(status: &Status) -> Vec<String> {
    let details = status.get_error_details();
    let Some(bad) = details.bad_request() else {
        return Vec::new();
    };
    bad.field_violations
        .iter()
        .map(|violation| violation.field.clone())
        .collect()
}

pub(crate) fn assert_reason<T: std::fmt::Debug>(got: Result<T, Status>, expected: Reason) {
    let status = got.unwrap_err();
    assert_eq!(reason(&status), expected.as_str(), "{}", status.message());
}
