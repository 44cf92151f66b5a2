//! The certificate in use, by a listener or a client, replaced without a restart.
//!
//! Running connections keep what they began with; the next handshake takes the new one. A
//! replacement that cannot be used leaves the old one in place and says why.

use super::{TlsError, failed, provider};
use crate::csr::TlsKey;
use crate::digest::sha256;
use crate::{files, names, pem};
use jiff::Timestamp;
use provado_model::time::Clock;
use rustls::SignatureScheme;
use rustls::client::ResolvesClientCert;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use std::fmt;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};

/// A certificate chain and its key, shared by all configurations that present it.
pub struct LiveCertificate {
    current: RwLock<Current>,
    clock: Arc<dyn Clock>,
}

#[derive(Clone)]
struct Current {
    key: Arc<CertifiedKey>,
    sha256: [u8; 32],
    not_after: Timestamp,
}

impl LiveCertificate {
    /// Takes a chain (own certificate first) and its key into use. Refused: a key that is not the
    /// certificate's, and a certificate that is not valid now.
    pub fn new(
        chain: Vec<CertificateDer<'static>>,
        key: &TlsKey,
        clock: Arc<dyn Clock>,
    ) -> Result<Arc<Self>, TlsError> {
        let current = load(chain, key.to_der(), clock.as_ref())?;
        Ok(Arc::new(Self {
            current: RwLock::new(current),
            clock,
        }))
    }

    /// The same from PEM files, for a certificate that is made elsewhere. The key's file must be
    /// private.
    pub fn from_files(
        chain: &Path,
        key: &Path,
        clock: Arc<dyn Clock>,
    ) -> Result<Arc<Self>, TlsError> {
        let (chain, key) = read_files(chain, key)?;
        let current = load(chain, key, clock.as_ref())?;
        Ok(Arc::new(Self {
            current: RwLock::new(current),
            clock,
        }))
    }

    /// Replaces it, with the checks of [`Self::new`]; after an error the old one is still in use.
    pub fn replace(
        &self,
        chain: Vec<CertificateDer<'static>>,
        key: &TlsKey,
    ) -> Result<(), TlsError> {
        self.install(load(chain, key.to_der(), self.clock.as_ref())?);
        Ok(())
    }

    /// Replaces it by what the files hold now; after an error the old one is still in use.
    pub fn replace_from_files(&self, chain: &Path, key: &Path) -> Result<(), TlsError> {
        let (chain, key) = read_files(chain, key)?;
        self.install(load(chain, key, self.clock.as_ref())?);
        Ok(())
    }

    /// SHA-256 of the certificate now in use.
    pub fn sha256(&self) -> [u8; 32] {
        self.snapshot().sha256
    }

    /// When the certificate now in use ends.
    pub fn not_after(&self) -> Timestamp {
        self.snapshot().not_after
    }

    fn install(&self, next: Current) {
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        *current = next;
    }

    fn snapshot(&self) -> Current {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        current.clone()
    }
}

impl ResolvesServerCert for LiveCertificate {
    fn resolve(&self, _client_hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.snapshot().key)
    }
}

impl ResolvesClientCert for LiveCertificate {
    fn resolve(
        &self,
        _root_hint_subjects: &[&[u8]],
        schemes: &[SignatureScheme],
    ) -> Option<Arc<CertifiedKey>> {
        let key = self.snapshot().key;
        key.key.choose_scheme(schemes).is_some().then_some(key)
    }

    fn has_certs(&self) -> bool {
        true
    }
}

impl fmt::Debug for LiveCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let current = self.snapshot();
        f.debug_struct("LiveCertificate")
            .field("sha256", &data_encoding::HEXLOWER.encode(&current.sha256))
            .field("not_after", &current.not_after)
            .field("key", &"redacted")
            .finish_non_exhaustive()
    }
}

fn read_files(
    chain: &Path,
    key: &Path,
) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), TlsError> {
    let text = std::fs::read_to_string(chain).map_err(|source| files::FileError::Io {
        action: "read",
        path: chain.into(),
        source,
    })?;
    let chain = pem::certificates(&text)?;
    let bytes = files::read_private(key)?;
    let text = std::str::from_utf8(&bytes).map_err(|_| pem::PemError::Missing {
        what: "private key",
    })?;
    Ok((chain, pem::private_key(text)?))
}

fn load(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    clock: &dyn Clock,
) -> Result<Current, TlsError> {
    let leaf = chain.first().ok_or(TlsError::Certificate)?;
    let parsed = names::parse(leaf).ok_or(TlsError::Certificate)?;
    let at = |second| Timestamp::from_second(second).map_err(|_| TlsError::Certificate);
    let not_before = at(parsed.validity().not_before.timestamp())?;
    let not_after = at(parsed.validity().not_after.timestamp())?;
    let now = clock.now();
    if now < not_before || now >= not_after {
        return Err(TlsError::NotValidNow {
            not_before,
            not_after,
            now,
        });
    }
    let sha256 = sha256(leaf);
    drop(parsed);
    let key = CertifiedKey::from_der(chain, key, &provider())
        .map_err(failed("use the certificate with its key"))?;
    Ok(Current {
        key: Arc::new(key),
        sha256,
        not_after,
    })
}
