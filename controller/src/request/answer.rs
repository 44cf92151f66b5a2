//! Answers that were given, by the request id of their request: the same request gets the same
//! answer, and has its effect once.

use super::caller::Caller;
use super::violations::Violations;
use crate::db::{Database, Tx, statements, values};
use crate::events::{Bus, Context};
use data_encoding::HEXLOWER;
use jiff::{SignedDuration, Timestamp};
use prost::Message;
use provado_model::id::RequestId;
use provado_model::{Error, Reason, limits};
use sha2::{Digest, Sha256};

statements! {
    ANSWER_GET = both(
        "SELECT method, digest, response FROM request_answer \
         WHERE caller_id = $1 AND request_id = $2",
    );
    ANSWER_INSERT = both(
        "INSERT INTO request_answer (caller_id, request_id, method, digest, response, \
         answer_time) VALUES ($1, $2, $3, $4, $5, $6)",
    );
    ANSWER_EXPIRE = both("DELETE FROM request_answer WHERE answer_time < $1");
}

/// The request id of a mutating request. Errors: `INVALID_ARGUMENT` when it is not a UUID.
pub fn request_id_of(text: &str) -> Result<RequestId, Error> {
    text.parse().map_err(|_| {
        Violations::of(
            "request_id",
            "must be a UUID that the client made for this request",
        )
    })
}

/// What makes two requests with the same id the same request.
pub fn request_digest(request: &impl Message) -> String {
    HEXLOWER.encode(&Sha256::digest(request.encode_to_vec()))
}

/// The context of a change that a caller asks for.
pub fn context_of(
    caller: &Caller,
    request_id: Option<RequestId>,
    now: Timestamp,
    epoch: u64,
    bus: &Bus,
) -> Context {
    Context {
        actor: caller.actor(),
        request_id,
        now,
        epoch,
        bus: bus.clone(),
    }
}

/// The answer that was given to this caller's request, if there was one. Errors:
/// `REQUEST_ID_REUSED` when the id came with another request.
pub async fn answer_get<R: Message + Default>(
    tx: &mut Tx,
    ctx: &Context,
    method: &str,
    digest: &str,
) -> Result<Option<R>, Error> {
    let Some(request_id) = ctx.request_id else {
        return Ok(None);
    };
    let Some(row) = tx
        .fetch_optional(ANSWER_GET, &values![ctx.actor.id, request_id])
        .await?
    else {
        return Ok(None);
    };
    if row.text("method")? != method || row.text("digest")? != digest {
        return Err(Error::new(
            Reason::RequestIdReused,
            format!("request id {request_id} was used for another request; make a new one"),
        )
        .with("request_id", request_id));
    }
    let bytes = row.bytes("response")?;
    R::decode(bytes.as_slice())
        .map(Some)
        .map_err(|source| row.bad("response", source))
}

/// Keeps the answer, in the transaction of what the request did. Of two requests with the same id
/// that come at the same time, one fails with `VERSION_STALE` and finds the answer when it retries.
pub async fn answer_put<R: Message>(
    tx: &mut Tx,
    ctx: &Context,
    method: &str,
    digest: &str,
    response: &R,
) -> Result<(), Error> {
    let Some(request_id) = ctx.request_id else {
        return Ok(());
    };
    tx.execute_one(
        ANSWER_INSERT,
        &values![
            ctx.actor.id,
            request_id,
            method,
            digest,
            response.encode_to_vec(),
            ctx.now,
        ],
    )
    .await
    .map_err(|error| match error.reason {
        Reason::NameTaken => Error::new(
            Reason::VersionStale,
            "the same request is being served at the same time; send it again",
        )
        .caused_by(error),
        _ => error,
    })
}

/// What to answer to a request that failed. The same request may have been served at the same time:
/// then it is what spent the token or took the name, and its answer is the answer. Else the error.
pub async fn answer_or<R: Message + Default>(
    db: &Database,
    ctx: &Context,
    method: &str,
    digest: &str,
    error: Error,
) -> Result<R, Error> {
    match error.reason {
        Reason::NameTaken | Reason::JoinTokenInvalid | Reason::VersionStale => {
            let mut tx = db.read().await?;
            answer_get(&mut tx, ctx, method, digest).await?.ok_or(error)
        }
        _ => Err(error),
    }
}

/// Drops answers older than [`limits::REQUEST_ID_HOURS`]; how many.
pub async fn answer_expire(tx: &mut Tx, now: Timestamp) -> Result<u64, Error> {
    let before = now
        .saturating_sub(SignedDuration::from_hours(limits::REQUEST_ID_HOURS))
        .unwrap_or(Timestamp::MIN);
    tx.execute(ANSWER_EXPIRE, &values![before]).await
}
