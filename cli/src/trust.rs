//! Why a TLS connection did not come about, in words: whose certificate was refused by whom. It
//! judges no certificate itself.

use rustls::{AlertDescription, CertificateError, Error as TlsError};
use std::error::Error;

/// How an alert of the other side reads once a layer in between has kept only its text.
const ALERT: &str = "received fatal alert: ";

/// What to tell an operator, if a certificate is what stands in the way.
pub(crate) fn refusal(error: &(dyn Error + 'static)) -> Option<String> {
    match tls_error(error) {
        Some(TlsError::InvalidCertificate(problem)) => Some(theirs(problem)),
        Some(TlsError::AlertReceived(alert)) if is_about_us(*alert) => {
            Some(ours(&format!("{alert:?}")))
        }
        Some(_) => None,
        None => {
            let text = innermost(error);
            let (_, alert) = text.split_once(ALERT)?;
            let words = ["Certificate", "UnknownCA", "AccessDenied"];
            words
                .iter()
                .any(|word| alert.contains(word))
                .then(|| ours(alert))
        }
    }
}

fn ours(alert: &str) -> String {
    format!(
        "the controller refuses the certificate of this profile ({alert}): it has ended, was \
         revoked, or is from another controller. Look which profile is used (--profile, \
         PROVADO_PROFILE), then ask another operator for a new one: `provado caller create`"
    )
}

fn theirs(problem: &CertificateError) -> String {
    match problem {
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "the controller's certificate is for another name than the one dialled; write a name \
             that it has as `server_name` into the profile"
                .to_owned()
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "the controller's certificate has ended, or the clock of this host is wrong; compare \
             `date` on both hosts"
                .to_owned()
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "the controller's certificate is not valid yet, so one of the clocks is wrong; compare \
             `date` on both hosts"
                .to_owned()
        }
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            "what answers there is not the controller of this profile: its certificate comes from \
             another authority. Look which profile is used (--profile, PROVADO_PROFILE) and at its \
             `endpoint`; if the controller was made anew, it has written a new profile"
                .to_owned()
        }
        other => format!(
            "the certificate of what answers there is refused: {other}. Look which profile is used \
             (--profile, PROVADO_PROFILE) and at its `endpoint`"
        ),
    }
}

/// Alerts by which the other side says that it does not take our certificate.
fn is_about_us(alert: AlertDescription) -> bool {
    matches!(
        alert,
        AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnknownCA
            | AlertDescription::AccessDenied
            | AlertDescription::CertificateRequired
    )
}

fn tls_error<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a TlsError> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        next = below(error);
    }
    None
}

/// What the chain of causes ends with.
pub(crate) fn innermost(error: &(dyn Error + 'static)) -> String {
    let mut last = error;
    while let Some(source) = below(last) {
        last = source;
    }
    last.to_string()
}

/// The cause; an I/O error that wraps another one hides it from `source`.
fn below<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    match error.downcast_ref::<std::io::Error>() {
        Some(wrapper) => wrapper.get_ref().map(|inner| inner as _),
        None => error.source(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;

    fn wrapped(error: TlsError) -> io::Error {
        io::Error::new(io::ErrorKind::InvalidData, error)
    }

    #[test]
    fn whose_certificate_is_refused_is_told_apart() {
        let check = |error: &(dyn Error + 'static), expected: Option<&str>| {
            let said = refusal(error);
            match (&said, expected) {
                (None, None) => {}
                (Some(said), Some(expected)) if said.contains(expected) => {}
                _ => panic!("{error}: {said:?}"),
            }
        };
        let alert = |alert| wrapped(TlsError::AlertReceived(alert));
        let theirs = |problem| wrapped(TlsError::InvalidCertificate(problem));
        check(
            &alert(AlertDescription::CertificateExpired),
            Some("refuses the certificate of this profile (CertificateExpired)"),
        );
        check(&alert(AlertDescription::HandshakeFailure), None);
        check(
            &theirs(CertificateError::UnknownIssuer),
            Some("not the controller of this profile"),
        );
        check(
            &theirs(CertificateError::NotValidForName),
            Some("server_name"),
        );
        check(
            &theirs(CertificateError::Expired),
            Some("compare `date` on both hosts"),
        );
        check(
            &theirs(CertificateError::Revoked),
            Some("what answers there is refused"),
        );
        // HTTP/2 keeps the text of an error, not the error.
        check(
            &io::Error::other("received fatal alert: UnknownCA"),
            Some("(UnknownCA)"),
        );
        check(
            &io::Error::other("received fatal alert: HandshakeFailure"),
            None,
        );
        check(&io::Error::other("connection reset by peer"), None);
        assert_eq!(
            innermost(&wrapped(TlsError::HandshakeNotComplete)),
            "handshake not complete"
        );
    }
}
