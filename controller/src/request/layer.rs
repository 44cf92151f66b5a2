//! The tower layer that authorises every call once, before existence and validation.

use super::access::authorise;
use super::caller::Caller;
use super::status::to_status;
use futures_util::future::BoxFuture;
use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};
use tower::{Layer, Service};

/// Where refused calls of known callers are written down.
#[async_trait::async_trait]
pub trait RefusalLog: Send + Sync {
    /// Writes an audit event; what goes wrong is logged, since the call is refused anyway.
    async fn refused(&self, caller: &Caller, method: &str);
}

/// Refuses what [`authorise`] refuses. It stands inside the layer that puts the [`Caller`] into
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
        if let Some(error) = refused {
            let log = Arc::clone(&self.log);
            return Box::pin(async move {
                if let Some(caller) = caller {
                    log.refused(&caller, &method).await;
                }
                Ok(to_status(&error).into_http())
            });
        }
        // The clone is not ready; the one that is takes the call.
        let fresh = self.inner.clone();
        let mut ready = std::mem::replace(&mut self.inner, fresh);
        Box::pin(async move { ready.call(request).await })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::Identity;
    use provado_model::id::CallerId;
    use provado_model::state::Role;
    use std::sync::Mutex;
    use tonic::Code;
    use tower::ServiceExt;

    #[derive(Default)]
    struct Seen(Mutex<Vec<String>>);

    #[async_trait::async_trait]
    impl RefusalLog for Seen {
        async fn refused(&self, caller: &Caller, method: &str) {
            let line = format!("{} {method}", caller.actor().name);
            self.0.lock().unwrap().push(line);
        }
    }

    async fn call(caller: Option<Caller>, path: &str) -> (Option<Code>, Vec<String>) {
        let seen = Arc::new(Seen::default());
        let inner = tower::service_fn(|_request: http::Request<()>| async {
            Ok::<_, std::convert::Infallible>(http::Response::new(String::from("served")))
        });
        let log: Arc<dyn RefusalLog> = Arc::<Seen>::clone(&seen);
        let service = AuthoriseLayer::new(log).layer(inner);
        let mut request = http::Request::builder().uri(path).body(()).unwrap();
        if let Some(caller) = caller {
            request.extensions_mut().insert(caller);
        }
        let response = service.oneshot(request).await.unwrap();
        let code = tonic::Status::from_header_map(response.headers()).map(|status| status.code());
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
            (Some(Code::PermissionDenied), vec![format!("ana {run}")])
        );
        assert_eq!(
            call(Some(operator(Role::Dba)), "/unknown").await.0,
            Some(Code::PermissionDenied)
        );
        assert_eq!(call(None, run).await, (Some(Code::Unauthenticated), vec![]));
    }
}
