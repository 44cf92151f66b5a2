use super::*;
use crate::files;
use crate::names::{PeerCertificate, PeerIdentity};
use provado_model::id::{AgentId, CallerId};
use provado_model::random::{OsEntropy, SeededEntropy};
use provado_model::time::ManualClock;
use rcgen::{CertificateParams, ExtendedKeyUsagePurpose};
use std::collections::HashSet;
use std::os::unix::fs::PermissionsExt;
use x509_parser::prelude::GeneralName;

const NOW: i64 = 1_800_000_000;
const DAY: SignedDuration = SignedDuration::from_hours(24);

fn domain() -> TrustDomain {
    "test.example".parse().unwrap()
}

fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::at_second(NOW))
}

fn authority(kind: AuthorityKind, clock: &Arc<ManualClock>) -> Authority {
    let clock = Arc::<ManualClock>::clone(clock);
    Authority::create(kind, &domain(), clock, Arc::new(OsEntropy)).unwrap()
}

fn agent() -> AgentId {
    AgentId::new(clock().as_ref(), &SeededEntropy::new(5))
}

fn operator() -> CallerId {
    CallerId::new(clock().as_ref(), &SeededEntropy::new(6))
}

#[test]
fn an_agents_certificate_says_who_it_is_and_nothing_else() {
    let agents = authority(AuthorityKind::Agents, &clock());
    let key = TlsKey::generate().unwrap();
    let issued = agents
        .issue_agent(&key.request().unwrap(), agent(), DAY)
        .unwrap();
    let parsed = names::parse(&issued.der).unwrap();
    assert_eq!(parsed.subject().iter().count(), 0);
    let names = parsed.subject_alternative_name().unwrap().unwrap();
    let uri = PeerIdentity::Agent(agent()).uri(&domain());
    assert_eq!(names.value.general_names, [GeneralName::URI(&uri)]);
    let usage = parsed.extended_key_usage().unwrap().unwrap().value;
    assert!(usage.client_auth && !usage.server_auth && !usage.any && usage.other.is_empty());
    assert!(!parsed.is_ca());
    assert_eq!(
        parsed.public_key().raw,
        key.pair().subject_public_key_info()
    );
    let root = names::parse(agents.certificate()).unwrap();
    assert!(parsed.verify_signature(Some(root.public_key())).is_ok());
    assert_eq!(issued.not_before.as_second(), NOW - 300);
    assert_eq!(issued.not_after.as_second(), NOW + 24 * 60 * 60);
    let peer = PeerCertificate::read(&issued.der, &domain()).unwrap();
    assert_eq!(peer.identity, PeerIdentity::Agent(agent()));
    assert_eq!(peer.serial_hex, issued.serial_hex);
    assert_eq!(peer.sha256, issued.sha256);
    assert_eq!(peer.not_after, issued.not_after);
    assert_eq!(pem::certificates(&issued.pem).unwrap(), [issued.der]);
}

#[test]
fn whatever_a_request_asks_for_is_ignored() {
    let agents = authority(AuthorityKind::Agents, &clock());
    let key = TlsKey::generate().unwrap();
    let evil = PeerIdentity::Operator(operator()).uri(&domain());
    let mut params = CertificateParams::new(vec!["controller.example".into()]).unwrap();
    params
        .subject_alt_names
        .push(SanType::URI(evil.as_str().try_into().unwrap()));
    params
        .distinguished_name
        .push(DnType::CommonName, "controller.example");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params.extended_key_usages = vec![
        ExtendedKeyUsagePurpose::ServerAuth,
        ExtendedKeyUsagePurpose::Any,
    ];
    let request = params.serialize_request(key.pair()).unwrap();
    let issued = agents.issue_agent(request.der(), agent(), DAY).unwrap();
    let peer = PeerCertificate::read(&issued.der, &domain()).unwrap();
    assert_eq!(peer.identity, PeerIdentity::Agent(agent()));
    let parsed = names::parse(&issued.der).unwrap();
    assert!(!parsed.is_ca());
    assert!(!parsed.extended_key_usage().unwrap().unwrap().value.any);
    let text = String::from_utf8_lossy(&issued.der);
    assert!(!text.contains("controller.example") && !text.contains("operator"));
}

#[test]
fn each_authority_issues_only_for_its_own() {
    let clock = clock();
    let agents = authority(AuthorityKind::Agents, &clock);
    let operators = authority(AuthorityKind::Operators, &clock);
    let request = TlsKey::generate().unwrap().request().unwrap();
    let refused = [
        operators.issue_agent(&request, agent(), DAY),
        agents.issue_operator(&request, operator(), DAY),
    ];
    for result in refused {
        assert!(matches!(result, Err(CaError::WrongAuthority { .. })));
    }
    let issued = operators.issue_operator(&request, operator(), DAY).unwrap();
    let identity = PeerIdentity::from_certificate(&issued.der, &domain()).unwrap();
    assert_eq!(identity, PeerIdentity::Operator(operator()));
    assert_ne!(agents.pin().unwrap(), operators.pin().unwrap());
}

#[test]
fn no_certificate_outlives_its_authority() {
    let clock = clock();
    let agents = authority(AuthorityKind::Agents, &clock);
    let request = TlsKey::generate().unwrap().request().unwrap();
    let issue = || agents.issue_agent(&request, agent(), DAY);
    let rest = agents.not_after().duration_since(clock.now());
    clock.advance(rest - SignedDuration::from_hours(1));
    assert_eq!(issue().unwrap().not_after, agents.not_after());
    clock.advance(SignedDuration::from_hours(1));
    assert!(matches!(issue(), Err(CaError::Expired { .. })));
}

#[test]
fn a_lifetime_of_nothing_and_one_beyond_time_are_refused() {
    let clock = clock();
    let agents = authority(AuthorityKind::Agents, &clock);
    let request = TlsKey::generate().unwrap().request().unwrap();
    for bad in [
        SignedDuration::ZERO,
        SignedDuration::from_millis(999),
        SignedDuration::from_secs(-1),
        SignedDuration::MIN,
    ] {
        let result = agents.issue_agent(&request, agent(), bad);
        assert!(matches!(result, Err(CaError::Lifetime { .. })));
    }
    // Longer than the authority is cut to its end.
    let longest = agents.issue_agent(&request, agent(), SignedDuration::MAX);
    assert_eq!(longest.unwrap().not_after, agents.not_after());
    let far = params(253_402_207_000);
    assert!(matches!(far, Err(CaError::Lifetime { .. })));
    assert!(params(0).is_ok());
}

fn params(second: i64) -> Result<CertificateParams, CaError> {
    let now = Timestamp::from_second(second).unwrap();
    issue::params(now, SignedDuration::from_hours(24 * 365), &OsEntropy)
}

#[test]
fn serial_numbers_are_positive_and_never_repeat() {
    let mut seen = HashSet::new();
    for _ in 0..10_000 {
        let serial = params(NOW).unwrap().serial_number.unwrap().to_bytes();
        assert_eq!(serial.len(), 16);
        assert_eq!(serial[0] & 0xc0, 0x40);
        assert!(seen.insert(serial));
    }
}

#[test]
fn a_server_certificate_carries_the_names_that_are_dialed() {
    let agents = authority(AuthorityKind::Agents, &clock());
    let names = ServerNames::from_hosts(["db.example.org", "127.0.0.1", "::1"]);
    assert_eq!((names.dns.len(), names.ip.len()), (1, 2));
    let made = agents.issue_server(&names, DAY).unwrap();
    let peer = PeerCertificate::read(&made.certificate.der, &domain()).unwrap();
    assert_eq!(peer.identity, PeerIdentity::Controller);
    assert_eq!(made.chain.len(), 2);
    assert_eq!(&made.chain[1], agents.certificate());
    assert_eq!(pem::certificates(&made.chain_pem()).unwrap(), made.chain);
    let none = agents.issue_server(&ServerNames::default(), DAY);
    assert!(matches!(none, Err(CaError::NoServerName)));
    for bad in ["", "a b", "ä.example", "*", "a..b", "host:1"] {
        let names = ServerNames {
            dns: vec![bad.into()],
            ip: Vec::new(),
        };
        let result = agents.issue_server(&names, DAY);
        assert!(matches!(result, Err(CaError::BadServerName { .. })));
    }
}

struct Disk {
    home: tempfile::TempDir,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
}

impl Disk {
    fn new() -> Self {
        Self {
            home: tempfile::tempdir().unwrap(),
            clock: clock(),
            entropy: OsEntropy::shared(),
        }
    }

    fn directory(&self) -> std::path::PathBuf {
        self.home.path().join("identity")
    }

    fn open(&self) -> Result<Authorities, CaError> {
        Authorities::load_or_create(&self.directory(), &domain(), &self.clock, &self.entropy)
    }
}

#[test]
fn authorities_are_made_once_and_read_back() {
    let disk = Disk::new();
    let first = disk.open().unwrap();
    let second = disk.open().unwrap();
    assert_eq!(first.agents.certificate(), second.agents.certificate());
    assert_eq!(
        first.operators.certificate(),
        second.operators.certificate()
    );
    assert_eq!(first.signing.public_key(), second.signing.public_key());
    let request = TlsKey::generate().unwrap().request().unwrap();
    let issued = second.agents.issue_agent(&request, agent(), DAY).unwrap();
    let leaf = names::parse(&issued.der).unwrap();
    let root = names::parse(first.agents.certificate()).unwrap();
    assert!(leaf.verify_signature(Some(root.public_key())).is_ok());
    assert!(first.save(&disk.directory()).is_err(), "never overwritten");
    let shown = format!("{first:?}");
    assert!(shown.contains("redacted") && !shown.contains("PRIVATE"));
    let other = "other.example".parse().unwrap();
    let result = Authorities::load(&disk.directory(), &other, &disk.clock, &disk.entropy);
    assert!(matches!(result, Err(CaError::OtherTrustDomain { .. })));
}

#[test]
fn a_missing_damaged_or_open_part_is_refused_and_never_made_anew() {
    let disk = Disk::new();
    disk.open().unwrap();
    for name in ["agents-ca.pem", "operators-ca.pem", "signing-key.pem"] {
        let path = disk.directory().join(name);
        let whole = files::read_private(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert!(disk.open().is_err(), "{name} missing");
        for cut in [0, whole.len() / 3, whole.len() / 2, whole.len() - 20] {
            files::write_private(&path, &whole[..cut]).unwrap();
            assert!(disk.open().is_err(), "{name} cut to {cut}");
        }
        files::write_private(&path, &whole).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o604)).unwrap();
        assert!(disk.open().is_err(), "{name} readable by others");
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
    }
    let directory = disk.directory();
    std::fs::set_permissions(&directory, PermissionsExt::from_mode(0o750)).unwrap();
    assert!(disk.open().is_err(), "directory open to the group");
    std::fs::set_permissions(&directory, PermissionsExt::from_mode(0o700)).unwrap();
    assert!(disk.open().is_ok());
}

#[test]
fn parts_that_do_not_belong_together_are_refused() {
    let clock = clock();
    let one = authority(AuthorityKind::Agents, &clock);
    let two = authority(AuthorityKind::Agents, &clock);
    let key = pem::encode("PRIVATE KEY", two.issuer.key().serialized_der());
    let mixed = format!("{}{}", *key, one.certificate_pem());
    let leaf = one
        .issue_server(&ServerNames::from_hosts(["localhost"]), DAY)
        .unwrap();
    let no_authority = format!("{}{}", *leaf.key.to_pem(), leaf.certificate.pem);
    for text in [mixed, no_authority] {
        let clock = Arc::<ManualClock>::clone(&clock);
        let result = Authority::from_pem(AuthorityKind::Agents, &text, clock, OsEntropy::shared());
        assert!(matches!(result, Err(CaError::Damaged { .. })));
    }
}
