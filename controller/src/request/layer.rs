//! The tower layer that authorises every call once, before existence and validation, and tells of
//! those that were to change something and did not.

use super::access::{authorise, is_change};
use super::caller::Caller;
use super::status::to_status;
use futures_util::future::BoxFuture;
use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};
use tonic::{Code, Status};
use tonic_types::StatusExt;
use tower::{Layer, Service};

/// Why a call had no effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The reason, as the caller was told it.
    pub reason: String,
    /// The message, as the caller was told it.
    pub message: String,
    /// Whether it failed here rather than being refused.
    pub failed: bool,
}

impl Refused {
    fn of(status: &Status) -> Self {
        let details = status.get_error_details();
        let reason = details.error_info().map(|info| info.reason.clone());
        Self {
            reason: reason.unwrap_or_else(|| format!("{:?}", status.code())),
            message: status.message().to_owned(),
            failed: matches!(
                status.code(),
                Code::Internal | Code::Unknown | Code::DataLoss | Code::DeadlineExceeded
            ),
        }
    }
}

/// Where refused and failed calls of known callers are written down.
#[async_trait::async_trait]
pub trait RefusalLog: Send + Sync {
    /// Writes an audit event; what goes wrong is logged, since the call has no effect anyway.
    async fn refused(&self, caller: &Caller, method: &str, refused: &Refused);
}

/// Refuses what [`authorise`] refuses, and tells of that and of calls that were to change something
/// and had no effect. It stands inside the layer that puts the [`Caller`] into
/// the request's extensions, and outside everything that looks at the request itself.
#[derive(Clone)]
pub struct AuthoriseLayer {
    log: Arc<dyn RefusalLog>,
}

impl fmt::Debug for AuthoriseLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AuthoriseLayer")
    }
}

impl AuthoriseLayer {
    /// A layer that writes refusals down.
    pub fn new(log: Arc<dyn RefusalLog>) -> Self {
        Self { log }
    }
}

impl<S> Layer<S> for AuthoriseLayer {
    type Service = AuthoriseService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        AuthoriseService {
            inner,
            log: Arc::clone(&self.log),
        }
    }
}

/// The service of [`AuthoriseLayer`].
#[derive(Clone)]
pub struct AuthoriseService<S> {
    inner: S,
    log: Arc<dyn RefusalLog>,
}

impl<S> fmt::Debug for AuthoriseService<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AuthoriseService")
    }
}

impl<S, B, R> Service<http::Request<B>> for AuthoriseService<S>
where
    S: Service<http::Request<B>, Response = http::Response<R>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
    B: Send + 'static,
    R: Default + Send + 'static,
{
    type Response = http::Response<R>;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        let method = request.uri().path().to_owned();
        let (caller, refused) = match Caller::of(request.extensions()) {
            Ok(caller) => (Some(caller.clone()), authorise(caller, &method).err()),
            Err(error) => (None, Some(error)),
        };
        let log = Arc::clone(&self.log);
        if let Some(error) = refused {
            return Box::pin(async move {
                let status = to_status(&error);
                if let Some(caller) = caller {
                    log.refused(&caller, &method, &Refused::of(&status)).await;
                }
                Ok(status.into_http())
            });
        }
        // The clone is not ready; the one that is takes the call.
        let fresh = self.inner.clone();
        let mut ready = std::mem::replace(&mut self.inner, fresh);
        Box::pin(async move {
            let response = ready.call(request).await?;
            if let Some(caller) = caller
                && is_change(&method)
                && let Some(status) = refusal_in(&response)
            {
                log.refused(&caller, &method, &Refused::of(&status)).await;
            }
            Ok(response)
        })
    }
}

/// The error that a call was answered with. A database that is away is left out: there would be no
/// place to write to.
fn refusal_in<R>(response: &http::Response<R>) -> Option<Status> {
    let status = Status::from_header_map(response.headers())?;
    let tells = !matches!(
        status.code(),
        Code::Ok | Code::Unavailable | Code::Cancelled
    );
    tells.then_some(status)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::Identity;
    use provado_model::id::CallerId;
    use provado_model::state::Role;
    use provado_model::{Error, Reason};
    use std::sync::Mutex;
    use tower::ServiceExt;

    #[derive(Default)]
    struct Seen(Mutex<Vec<String>>);

    #[async_trait::async_trait]
    impl RefusalLog for Seen {
        async fn refused(&self, caller: &Caller, method: &str, refused: &Refused) {
            let line = format!("{} {method} {}", caller.actor().name, refused.reason);
            self.0.lock().unwrap().push(line);
        }
    }

    async fn call(caller: Option<Caller>, path: &str) -> (Option<Code>, Vec<String>) {
        call_with(caller, path, None).await
    }

    async fn call_with(
        caller: Option<Caller>,
        path: &str,
        answer: Option<Reason>,
    ) -> (Option<Code>, Vec<String>) {
        let seen = Arc::new(Seen::default());
        let inner = tower::service_fn(move |_request: http::Request<()>| async move {
            Ok::<_, std::convert::Infallible>(match answer {
                None => http::Response::new(String::from("served")),
                Some(reason) => to_status(&Error::new(reason, "no")).into_http(),
            })
        });
        let log: Arc<dyn RefusalLog> = Arc::<Seen>::clone(&seen);
        let service = AuthoriseLayer::new(log).layer(inner);
        let mut request = http::Request::builder().uri(path).body(()).unwrap();
        if let Some(caller) = caller {
            request.extensions_mut().insert(caller);
        }
        let response = service.oneshot(request).await.unwrap();
        let code = Status::from_header_map(response.headers()).map(|status| status.code());
        assert_eq!(code.is_none(), response.body() == "served");
        let lines = seen.0.lock().unwrap().clone();
        (code, lines)
    }

    fn operator(role: Role) -> Caller {
        Caller {
            identity: Identity::Operator {
                id: CallerId::from_uuid(uuid::Uuid::nil()),
                name: "ana".into(),
                role,
            },
            peer: None,
        }
    }

    #[tokio::test]
    async fn calls_are_served_or_refused_and_refusals_written_down() {
        let run = "/provado.operator.v1.RunService/RunBackup";
        assert_eq!(call(Some(operator(Role::Dba)), run).await, (None, vec![]));
        assert_eq!(
            call(Some(operator(Role::Devops)), run).await,
            (
                Some(Code::PermissionDenied),
                vec![format!("ana {run} ROLE_FORBIDS")]
            )
        );
        assert_eq!(
            call(Some(operator(Role::Dba)), "/unknown").await.0,
            Some(Code::PermissionDenied)
        );
        assert_eq!(call(None, run).await, (Some(Code::Unauthenticated), vec![]));
    }

    #[tokio::test]
    async fn a_change_that_had_no_effect_is_written_down_and_a_look_is_not() {
        let dba = || Some(operator(Role::Dba));
        let restore = "/provado.operator.v1.RunService/RunRestore";
        let (code, lines) = call_with(dba(), restore, Some(Reason::TargetExists)).await;
        assert_eq!(code, Some(Code::AlreadyExists));
        assert_eq!(lines, [format!("ana {restore} TARGET_EXISTS")]);
        let away = call_with(dba(), restore, Some(Reason::ServiceUnavailable)).await;
        assert_eq!(away.1, Vec::<String>::new());
        let look = "/provado.operator.v1.RunService/GetRun";
        let looked = call_with(dba(), look, Some(Reason::RunNotFound)).await;
        assert_eq!(looked.1, Vec::<String>::new());
    }
}
