//! A sick host or a mount that goes away is an error of the check, never damage of a backup.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod common;

use async_trait::async_trait;
use common::{Place, backup_ref, content, spool};
use provado_model::Reason;
use provado_repository::backend::{
    Backend, BackendError, BackendErrorKind, BackendResult, Body, DeleteOutcome, Nature,
    ObjectInfo, Page, Space, Upload,
};
use provado_repository::check::{CheckOptions, CheckReport, DamageKind, Level};
use provado_repository::key::Prefix;
use provado_repository::signature::Trust;
use provado_repository::{Cancel, Error, Key};
use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What is wrong with the host.
#[derive(Debug, Clone, Copy)]
enum Sickness {
    /// Packs cannot be read, with this error of Linux.
    Packs(i32),
    /// From this operation on nothing is there.
    GoneFrom(u64),
    /// From the first operation to the second nothing is there.
    Gone(u64, u64),
}

/// A backend on a sick host.
#[derive(Debug)]
struct Sick {
    inner: Arc<dyn Backend>,
    sickness: Sickness,
    count: AtomicU64,
}

impl Sick {
    fn look(&self, key: &Key) -> BackendResult<()> {
        let number = self.count.fetch_add(1, Ordering::SeqCst);
        let is_gone = match self.sickness {
            Sickness::Packs(errno) if key.as_str().contains("/packs/") => {
                let error = io::Error::from_raw_os_error(errno);
                return Err(BackendError::io(format!("{key} cannot be read"), error));
            }
            Sickness::Packs(_) => false,
            Sickness::GoneFrom(from) => number >= from,
            Sickness::Gone(from, to) => (from..to).contains(&number),
        };
        if is_gone {
            let what = format!("{key} is not there");
            return Err(BackendError::new(BackendErrorKind::NotFound, what));
        }
        Ok(())
    }
}

#[async_trait]
impl Backend for Sick {
    fn nature(&self) -> Nature {
        self.inner.nature()
    }

    fn place(&self) -> String {
        self.inner.place()
    }

    async fn begin_put(&self, key: &Key) -> BackendResult<Box<dyn Upload>> {
        self.inner.begin_put(key).await
    }

    async fn get(&self, key: &Key, range: Option<Range<u64>>) -> BackendResult<Box<dyn Body>> {
        self.look(key)?;
        self.inner.get(key, range).await
    }

    async fn head(&self, key: &Key) -> BackendResult<Option<ObjectInfo>> {
        match self.look(key) {
            Ok(()) => self.inner.head(key).await,
            Err(error) if error.kind == BackendErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn list(&self, prefix: Prefix, after: Option<&Key>) -> BackendResult<Page> {
        self.inner.list(prefix, after).await
    }

    async fn delete(&self, key: &Key) -> BackendResult<DeleteOutcome> {
        self.inner.delete(key).await
    }

    async fn space(&self) -> BackendResult<Option<Space>> {
        self.inner.space().await
    }

    async fn sweep_uploads(&self) -> BackendResult<u64> {
        self.inner.sweep_uploads().await
    }
}

fn check(place: &Place, sickness: Sickness, level: Level) -> Result<(CheckReport, u64), Error> {
    let sick = Arc::new(Sick {
        inner: Arc::new(place.memory.clone()),
        sickness,
        count: AtomicU64::new(0),
    });
    let repository = place.open_over(sick.clone())?;
    let options = CheckOptions {
        level,
        identity: None,
        trust: Trust::AnyKey,
        threads: 1,
        spool: spool(),
        cancel: Cancel::new(),
        progress: &|_| {},
    };
    let report = repository.check(backup_ref(1), &options)?;
    Ok((report, sick.count.load(Ordering::SeqCst)))
}

fn with_backup() -> Place {
    let place = Place::new();
    place.write(1, None, &content(&[("a", 3_000, 1), ("b", 2_000, 2)]));
    place
}

#[test]
fn only_errors_of_the_object_itself_are_damage() {
    let place = with_backup();
    // EMFILE, ENOMEM, ESTALE, ENOTCONN, EHOSTDOWN.
    for errno in [24, 12, 116, 107, 112] {
        for level in [Level::Present, Level::Intact] {
            let error = check(&place, Sickness::Packs(errno), level).unwrap_err();
            assert_eq!(error.reason(), Reason::RepositoryIo, "{errno}: {error}");
        }
    }
    // EIO, ELOOP, EUCLEAN, EBADMSG.
    for errno in [5, 40, 117, 74] {
        let (report, _) = check(&place, Sickness::Packs(errno), Level::Intact).unwrap();
        assert_eq!(report.damage[0].kind, DamageKind::Unreadable, "{errno}");
    }
}

#[test]
fn a_mount_that_goes_away_is_an_error_whenever_it_goes_and_whether_or_not_it_comes_back() {
    let place = with_backup();
    let (good, count) = check(&place, Sickness::GoneFrom(u64::MAX), Level::Intact).unwrap();
    assert!(good.is_good());
    for from in 0..count {
        let outcome = check(&place, Sickness::GoneFrom(from), Level::Intact);
        // A countersignature may be missing, so that the check may end good without it.
        assert!(
            outcome
                .as_ref()
                .map_or(true, |(report, _)| report.is_good()),
            "{from}: {outcome:?}"
        );
        for to in from + 1..count {
            let outcome = check(&place, Sickness::Gone(from, to), Level::Intact);
            assert!(
                outcome
                    .as_ref()
                    .map_or(true, |(report, _)| report.is_good()),
                "{from} to {to}: {outcome:?}"
            );
        }
    }
    let key = Key::descriptor();
    place.memory.tamper(&key, None);
    let error = check(&place, Sickness::GoneFrom(u64::MAX), Level::Present).unwrap_err();
    assert!(matches!(error, Error::NoRepository { .. }), "{error}");
}
