//! What the authorities issue, and the few fields that a certificate of ours has.
//!
//! Every certificate carries its identity as the one URI name, a random serial number, one
//! extended key usage, and no subject: nothing in it can be mistaken for a role.

use super::{Authority, AuthorityKind, CaError, build, uri_name};
use crate::csr::{TlsKey, verified_public_key};
use crate::digest::sha256;
use crate::names::{PeerIdentity, serial_hex};
use crate::pem;
use jiff::{SignedDuration, Timestamp};
use provado_model::id::{AgentId, CallerId};
use provado_model::random::{self, Entropy};
use rcgen::{
    CertificateParams, DistinguishedName, ExtendedKeyUsagePurpose, IsCa, KeyUsagePurpose,
    PublicKeyData, SanType, SerialNumber, date_time_ymd,
};
use rustls_pki_types::{CertificateDer, ServerName};
use std::net::IpAddr;
use std::time::Duration;

/// How far back a certificate's validity begins, for hosts whose clocks are slow.
const BACKDATE: SignedDuration = SignedDuration::from_mins(5);

/// A certificate and what the controller records about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuedCertificate {
    /// The certificate.
    pub der: CertificateDer<'static>,
    /// The certificate alone, as PEM.
    pub pem: String,
    /// Its serial number, 32 lower-case hex digits.
    pub serial_hex: String,
    /// From when it is valid: five minutes before it was made, to the second.
    pub not_before: Timestamp,
    /// Until when it is valid; never beyond the authority's own end.
    pub not_after: Timestamp,
    /// SHA-256 of the DER: what the allow-list is keyed by.
    pub sha256: [u8; 32],
}

/// The names under which a listener is dialed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ServerNames {
    /// DNS names.
    pub dns: Vec<String>,
    /// IP addresses.
    pub ip: Vec<IpAddr>,
}

impl ServerNames {
    /// Sorts host names and addresses as a configuration lists them, into one of each kind.
    pub fn from_hosts<'a>(hosts: impl IntoIterator<Item = &'a str>) -> Self {
        let mut names = Self::default();
        for host in hosts {
            match host.parse() {
                Ok(ip) => names.ip.push(ip),
                Err(_) => names.dns.push(host.to_owned()),
            }
        }
        names
    }
}

/// A listener's certificate, its key, and the chain to present.
#[derive(Debug)]
pub struct ServerCredential {
    /// The certificate.
    pub certificate: IssuedCertificate,
    /// Its key.
    pub key: TlsKey,
    /// The certificate and the authority's, in the order of a handshake. The authority's comes
    /// along so that an agent that knows only the pin can see it.
    pub chain: Vec<CertificateDer<'static>>,
}

impl ServerCredential {
    /// The chain as PEM.
    pub fn chain_pem(&self) -> String {
        pem::encode_certificates(&self.chain)
    }
}

impl Authority {
    /// A certificate for an agent over the key of its request (PKCS#10 in DER). The names in the
    /// request are ignored; the identity is `agent`. Only the authority of agents issues it.
    pub fn issue_agent(
        &self,
        request: &[u8],
        agent: AgentId,
        lifetime: SignedDuration,
    ) -> Result<IssuedCertificate, CaError> {
        self.expect_kind(AuthorityKind::Agents, "agents")?;
        self.issue_client(request, PeerIdentity::Agent(agent), lifetime)
    }

    /// A certificate for an operator over the key of their request. It says who they are, not
    /// what they may do. Only the authority of operators issues it.
    pub fn issue_operator(
        &self,
        request: &[u8],
        caller: CallerId,
        lifetime: SignedDuration,
    ) -> Result<IssuedCertificate, CaError> {
        self.expect_kind(AuthorityKind::Operators, "operators")?;
        self.issue_client(request, PeerIdentity::Operator(caller), lifetime)
    }

    /// A new key and certificate for the listener that this authority's peers dial.
    pub fn issue_server(
        &self,
        names: &ServerNames,
        lifetime: SignedDuration,
    ) -> Result<ServerCredential, CaError> {
        let identity = PeerIdentity::Controller.uri(&self.trust_domain);
        let mut alternatives = vec![uri_name(&identity)?];
        for name in &names.dns {
            let bad = || CaError::BadServerName { name: name.clone() };
            // The check that clients make: a name they cannot dial is a mistake in a file.
            if !matches!(
                ServerName::try_from(name.as_str()),
                Ok(ServerName::DnsName(_))
            ) {
                return Err(bad());
            }
            let text = name.as_str().try_into().map_err(|_| bad())?;
            alternatives.push(SanType::DnsName(text));
        }
        alternatives.extend(names.ip.iter().copied().map(SanType::IpAddress));
        if alternatives.len() == 1 {
            return Err(CaError::NoServerName);
        }
        let key = TlsKey::generate()?;
        let usage = ExtendedKeyUsagePurpose::ServerAuth;
        let certificate = self.issue(key.pair(), alternatives, usage, lifetime)?;
        let chain = vec![certificate.der.clone(), self.certificate.clone()];
        Ok(ServerCredential {
            certificate,
            key,
            chain,
        })
    }

    fn expect_kind(&self, wanted: AuthorityKind, subject: &'static str) -> Result<(), CaError> {
        if self.kind == wanted {
            return Ok(());
        }
        Err(CaError::WrongAuthority {
            kind: self.kind,
            subject,
        })
    }

    fn issue_client(
        &self,
        request: &[u8],
        identity: PeerIdentity,
        lifetime: SignedDuration,
    ) -> Result<IssuedCertificate, CaError> {
        let key = verified_public_key(request)?;
        let names = vec![uri_name(&identity.uri(&self.trust_domain))?];
        self.issue(&key, names, ExtendedKeyUsagePurpose::ClientAuth, lifetime)
    }

    fn issue(
        &self,
        key: &impl PublicKeyData,
        names: Vec<SanType>,
        usage: ExtendedKeyUsagePurpose,
        lifetime: SignedDuration,
    ) -> Result<IssuedCertificate, CaError> {
        let now = self.clock.now();
        if now >= self.not_after {
            return Err(CaError::Expired {
                kind: self.kind,
                not_after: self.not_after,
            });
        }
        // A leaf that outlived its root would be refused by peers without a word about why.
        let lifetime = lifetime.min(self.not_after.duration_since(now));
        let mut params = params(now, lifetime, self.entropy.as_ref())?;
        params.subject_alt_names = names;
        params.extended_key_usages = vec![usage];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.is_ca = IsCa::ExplicitNoCa;
        let serial = params
            .serial_number
            .as_ref()
            .map_or_else(Vec::new, SerialNumber::to_bytes);
        let certificate = params
            .signed_by(key, &self.issuer)
            .map_err(build("sign the certificate"))?;
        Ok(IssuedCertificate {
            pem: pem::encode_certificates([certificate.der()]),
            serial_hex: serial_hex(&serial),
            not_before: to_timestamp(params.not_before.unix_timestamp()),
            not_after: to_timestamp(params.not_after.unix_timestamp()),
            sha256: sha256(certificate.der()),
            der: certificate.into(),
        })
    }
}

/// Validity and serial number; everything else is the caller's to set.
pub(super) fn params(
    now: Timestamp,
    lifetime: SignedDuration,
    entropy: &dyn Entropy,
) -> Result<CertificateParams, CaError> {
    let refuse = || CaError::Lifetime {
        seconds: lifetime.as_secs(),
    };
    if lifetime < SignedDuration::from_secs(1) {
        return Err(refuse());
    }
    let begin = now.saturating_sub(BACKDATE).map_err(|_| refuse())?;
    let end = now.checked_add(lifetime).map_err(|_| refuse())?;
    // RFC 5280 can write years up to 9999, and one before 1970 is a clock that never ran.
    let seconds = |time: Timestamp| u64::try_from(time.as_second()).map_err(|_| refuse());
    let epoch = date_time_ymd(1970, 1, 1);
    let at = |second: u64| epoch.checked_add_seconds(second).ok_or_else(refuse);
    let mut params = CertificateParams::default();
    params.not_before = at(seconds(begin.max(Timestamp::UNIX_EPOCH))?)?;
    params.not_after = at(seconds(end)?)?;
    params.serial_number = Some(serial(entropy));
    params.distinguished_name = DistinguishedName::new();
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

/// 126 random bits in 16 bytes: positive, and without a leading zero, so that the bytes and their
/// hex form are the same in the certificate and in the controller's records.
fn serial(entropy: &dyn Entropy) -> SerialNumber {
    let mut bytes: [u8; 16] = random::bytes(entropy);
    bytes[0] = (bytes[0] & 0x3f) | 0x40;
    SerialNumber::from_slice(&bytes)
}

fn to_timestamp(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap_or(Timestamp::MAX)
}

/// The certificate library's time type is not ours to name; this adds seconds to it, checked.
trait AddSeconds: Sized {
    fn checked_add_seconds(self, seconds: u64) -> Option<Self>;
}

impl<T> AddSeconds for T
where
    T: std::ops::Add<Duration, Output = T>,
{
    fn checked_add_seconds(self, seconds: u64) -> Option<Self> {
        // 9999-12-31T23:59:59Z; beyond it the addition would overflow.
        const LAST_SECOND: u64 = 253_402_300_799;
        (seconds <= LAST_SECOND).then(|| self + Duration::from_secs(seconds))
    }
}
