//! Tells every caller what stands: while the controller has amnesia, each answer says so in a
//! header, so that whoever asks for anything is told. Decides nothing, and refuses nobody.

use http::{HeaderName, HeaderValue, Response};
use provado_model::Reason;
use provado_model::error::WARNING_HEADER;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tonic::body::Body;
use tower::util::MapResponseLayer;

/// Adds the header to answers while `amnesia` is set.
pub(super) fn warn_layer(
    amnesia: Arc<AtomicBool>,
) -> MapResponseLayer<impl Fn(Response<Body>) -> Response<Body> + Clone> {
    MapResponseLayer::new(move |response| warned(response, amnesia.load(Ordering::Acquire)))
}

fn warned<B>(mut response: Response<B>, amnesia: bool) -> Response<B> {
    if amnesia {
        let name = HeaderName::from_static(WARNING_HEADER);
        let value = HeaderValue::from_static(Reason::ControllerAmnesia.as_str());
        response.headers_mut().insert(name, value);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_warn_while_there_is_something_to_warn_of() {
        let headers = |amnesia| warned(Response::new(()), amnesia).headers().clone();
        assert!(headers(false).is_empty());
        assert_eq!(headers(true)[WARNING_HEADER], "CONTROLLER_AMNESIA");
    }
}
