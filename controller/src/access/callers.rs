//! Making and ending callers; the certificate of each is signed here and its key never seen.

use super::Access;
use super::model::{AllowedCaller, Caller, CallerCertificate, CallerState};
use super::store;
use crate::db::Tx;
use crate::events::{AuditEntry, Context, audit_append};
use crate::request::not_found;
use data_encoding::HEXLOWER;
use jiff::SignedDuration;
use provado_identity::IssuedCertificate;
use provado_identity::ca::CaError;
use provado_model::id::CallerId;
use provado_model::state::Role;
use provado_model::{Error, Reason};
use std::sync::Arc;

/// How long an operator's certificate lives when nobody says otherwise.
pub(super) const CERTIFICATE_LIFETIME_DEFAULT: SignedDuration = SignedDuration::from_hours(30 * 24);
/// How long one may live at most.
pub(super) const CERTIFICATE_LIFETIME_MAX: SignedDuration = SignedDuration::from_hours(90 * 24);

/// Whom to make.
#[derive(Debug)]
pub(super) struct NewCaller<'a> {
    /// The name.
    pub(super) name: &'a str,
    /// What it may do.
    pub(super) role: Role,
    /// The certificate request, DER.
    pub(super) certificate_request: &'a [u8],
    /// How long the certificate lives.
    pub(super) lifetime: SignedDuration,
    /// Who asks for it; nobody for the first one.
    pub(super) creator: Option<CallerId>,
}

/// The lifetime of an operator's certificate. Errors: `INVALID_ARGUMENT`.
pub(super) fn certificate_lifetime(asked: Option<SignedDuration>) -> Result<SignedDuration, Error> {
    let lifetime = asked.unwrap_or(CERTIFICATE_LIFETIME_DEFAULT);
    if lifetime < SignedDuration::from_mins(1) || lifetime > CERTIFICATE_LIFETIME_MAX {
        return Err(Error::new(
            Reason::InvalidArgument,
            "a caller's certificate lives between 1 minute and 90 days",
        )
        .with("ttl", "must be from 1 minute to 90 days"));
    }
    Ok(lifetime)
}

impl Access {
    /// Makes a caller and signs its certificate. Errors: `NAME_TAKEN`, `INVALID_ARGUMENT` for a
    /// request that cannot be signed.
    pub(super) async fn caller_make(
        &self,
        tx: &mut Tx,
        ctx: &Context,
        new: &NewCaller<'_>,
    ) -> Result<(Caller, IssuedCertificate), Error> {
        let id = CallerId::new(self.core.clock.as_ref(), self.core.entropy.as_ref());
        store::caller_insert(tx, id, new.name, new.role, ctx.now, new.creator).await?;
        let caller = Caller {
            id,
            name: new.name.to_owned(),
            role: new.role,
            state: CallerState::Active,
            version: 1,
            create_time: ctx.now,
            revoke_time: None,
            certificate_expire_time: None,
        };
        let entry = AuditEntry::done("caller.create", "caller", id)
            .with("name", new.name)
            .with("role", new.role.as_str());
        audit_append(tx, ctx, entry).await?;
        self.certificate_issue(tx, ctx, &caller, new.certificate_request, new.lifetime)
            .await
    }

    /// Signs a further certificate for a caller.
    pub(super) async fn certificate_issue(
        &self,
        tx: &mut Tx,
        ctx: &Context,
        caller: &Caller,
        request: &[u8],
        lifetime: SignedDuration,
    ) -> Result<(Caller, IssuedCertificate), Error> {
        let issued = self
            .authorities
            .operators
            .issue_operator(request, caller.id, lifetime)
            .map_err(issue_error)?;
        let certificate = CallerCertificate {
            sha256: HEXLOWER.encode(&issued.sha256),
            caller: caller.id,
            not_before: issued.not_before,
            not_after: issued.not_after,
        };
        store::certificate_insert(tx, &certificate).await?;
        let entry = AuditEntry::done("caller.issue-certificate", "caller", caller.id)
            .with("name", caller.name.as_str())
            .with("certificate_sha256", certificate.sha256)
            .with("expire_time", issued.not_after.to_string());
        audit_append(tx, ctx, entry).await?;
        let allow = Arc::clone(&self.allow);
        let allowed = AllowedCaller {
            id: caller.id,
            name: caller.name.clone(),
            role: caller.role,
            not_after: issued.not_after,
        };
        let sha256 = issued.sha256;
        tx.on_commit(move || allow.insert(sha256, allowed));
        let mut caller = caller.clone();
        caller.certificate_expire_time = Some(issued.not_after);
        Ok((caller, issued))
    }

    /// Ends a caller's access for good. Said twice, it changes nothing.
    ///
    /// Errors: `CALLER_NOT_FOUND`, and `INVALID_ARGUMENT` for a caller that would revoke itself:
    /// the last one could not be undone by anyone.
    pub(super) async fn caller_revoke(
        &self,
        tx: &mut Tx,
        ctx: &Context,
        name: &str,
        message: &str,
    ) -> Result<Caller, Error> {
        let caller = store::caller_by_name(tx, name).await?;
        let caller = caller.ok_or_else(|| not_found(Reason::CallerNotFound, "caller", name))?;
        if caller.state == CallerState::Revoked {
            return Ok(caller);
        }
        if ctx.actor.id == caller.id.to_string() {
            return Err(Error::new(
                Reason::InvalidArgument,
                "a caller cannot revoke itself; let another one do it",
            )
            .with("name", "must be another caller"));
        }
        store::caller_revoke(tx, &caller, ctx.now).await?;
        let message: String = message.chars().take(500).collect();
        let entry = AuditEntry::done("caller.revoke", "caller", caller.id)
            .with("name", caller.name.as_str())
            .with("message", message);
        audit_append(tx, ctx, entry).await?;
        let (allow, id) = (Arc::clone(&self.allow), caller.id);
        tx.on_commit(move || allow.remove(id));
        let now = store::caller_by_id(tx, caller.id).await?;
        Ok(now.unwrap_or(caller))
    }
}

/// Why a certificate was not signed, for the one who asked.
fn issue_error(error: CaError) -> Error {
    match error {
        CaError::Request(request) => Error::new(Reason::InvalidArgument, request.to_string())
            .with("certificate_request_pem", request.to_string())
            .caused_by(request),
        other => Error::internal("a certificate could not be signed").caused_by(other),
    }
}
