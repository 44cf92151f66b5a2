//! Certificates that the right authority's key signed and that are wrong all the same: what a
//! chain alone would let in.
use crate::support::{World, handshake};
use provado_identity::{Authority, PeerIdentity, Pin, TlsKey};
use provado_model::id::AgentId;
use provado_model::random::OsEntropy;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    SanType,
};
use rustls_pki_types::CertificateDer;

const ID: &str = "01890a5d-ac96-774b-bcce-b302099a8057";

/// Signs whatever it is asked to with the real key of an authority.
fn forge(
    authority: &Authority,
    key: &KeyPair,
    usage: ExtendedKeyUsagePurpose,
    names: &[SanType],
) -> CertificateDer<'static> {
    let own = KeyPair::from_pem(&authority.to_pem()).unwrap();
    let issuer = Issuer::from_ca_cert_der(authority.certificate(), own).unwrap();
    let mut params = params_now();
    params.subject_alt_names = names.to_vec();
    params.extended_key_usages = vec![usage];
    params.signed_by(key, &issuer).unwrap().into()
}

fn params_now() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.not_before = rcgen::date_time_ymd(2020, 1, 1);
    params.not_after = rcgen::date_time_ymd(2030, 1, 1);
    params
}

fn uri(text: &str) -> SanType {
    SanType::URI(text.try_into().unwrap())
}

fn dns(text: &str) -> SanType {
    SanType::DnsName(text.try_into().unwrap())
}

#[tokio::test]
async fn a_client_with_wrong_names_is_refused() {
    let world = World::new();
    let server = world.agent_server();
    let agent = format!("spiffe://test.example/agent/{ID}");
    let identity = PeerIdentity::Agent(ID.parse().unwrap());
    let cases: Vec<(Vec<SanType>, &str)> = vec![
        (vec![], "UriCount"),
        (vec![dns("localhost")], "UriCount"),
        (vec![uri(&agent), uri(&agent)], "UriCount"),
        (vec![uri(&agent), dns("localhost")], "OtherNames"),
        (vec![uri("spiffe://test.example/controller")], "WrongPeer"),
        (
            vec![uri(&format!("spiffe://test.example/operator/{ID}"))],
            "WrongPeer",
        ),
        (
            vec![uri(&format!("spiffe://other.example/agent/{ID}"))],
            "Foreign",
        ),
        (vec![uri("spiffe://test.example/agent/1")], "Foreign"),
        (vec![uri("spiffe://test.example")], "Foreign"),
    ];
    let attempt = async |names: &[SanType], usage| {
        let key = TlsKey::generate().unwrap();
        let pair = KeyPair::from_pem(&key.to_pem()).unwrap();
        let der = forge(&world.authorities.agents, &pair, usage, names);
        world.allow.add(identity, provado_identity::sha256(&der));
        let client = world.agent_client(world.client_live(vec![der], &key));
        handshake(&server, &client, "localhost").await
    };
    for (names, refusal) in cases {
        attempt(&names, ExtendedKeyUsagePurpose::ClientAuth)
            .await
            .expect_refused_by_server(refusal);
    }
    let right = [uri(&agent)];
    attempt(&right, ExtendedKeyUsagePurpose::ServerAuth)
        .await
        .expect_refused_by_server("InvalidPurpose");
    attempt(&right, ExtendedKeyUsagePurpose::ClientAuth)
        .await
        .expect_open();
}

#[tokio::test]
async fn a_server_that_is_no_controller_is_refused() {
    let world = World::new();
    let agents = &world.authorities.agents;
    let (_, live) = world.agent();
    let clients = [
        world.agent_client(live),
        world.pinned_client(agents.pin().unwrap()),
    ];
    let agent = AgentId::new(world.server_clock.as_ref(), &OsEntropy);
    let agent = PeerIdentity::Agent(agent).uri(&world.trust_domain);
    let cases = [
        (vec![dns("localhost")], "UriCount"),
        (vec![dns("localhost"), uri(&agent)], "OtherNames"),
        (
            vec![dns("localhost"), uri("spiffe://other.example/controller")],
            "Foreign",
        ),
    ];
    for (names, refusal) in cases {
        let key = TlsKey::generate().unwrap();
        let pair = KeyPair::from_pem(&key.to_pem()).unwrap();
        let der = forge(agents, &pair, ExtendedKeyUsagePurpose::ServerAuth, &names);
        let chain = vec![der, agents.certificate().clone()];
        let live = world.client_live(chain, &key);
        let server = provado_identity::tls::agent_listener(&world.listener(live)).unwrap();
        for client in &clients {
            handshake(&server, client, "localhost")
                .await
                .expect_refused_by_client(refusal);
        }
    }
}

#[tokio::test]
async fn an_authority_with_the_pinned_key_must_have_signed_itself_and_be_valid() {
    let world = World::new();
    let agents = &world.authorities.agents;
    let pin = agents.pin().unwrap();
    let real = KeyPair::from_pem(&agents.to_pem()).unwrap();
    let stranger = KeyPair::generate().unwrap();
    let mut params = params_now();
    params.distinguished_name.push(DnType::CommonName, "forged");
    params.subject_alt_names = vec![uri("spiffe://test.example")];
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    let foreign = Issuer::from_params(&params, stranger);
    let not_self_signed = params.signed_by(&real, &foreign).unwrap();
    let mut ended = params.clone();
    ended.not_after = rcgen::date_time_ymd(2021, 1, 1);
    let ended = ended.self_signed(&real).unwrap();
    let mut leaf = params.clone();
    leaf.is_ca = IsCa::ExplicitNoCa;
    let no_authority = leaf.self_signed(&real).unwrap();
    for forged in [not_self_signed, ended, no_authority] {
        assert!(pin.matches(forged.der()));
        let mut made = world.server_credential();
        made.chain.truncate(1);
        made.chain.push(forged.der().clone());
        let live = world.live(&made);
        let server = provado_identity::tls::agent_listener(&world.listener(live)).unwrap();
        handshake(&server, &world.pinned_client(pin), "localhost")
            .await
            .expect_refused_by_client("BadAuthority");
    }
}

#[tokio::test]
async fn a_renewed_authority_with_the_same_key_is_still_the_pinned_one() {
    let world = World::new();
    let key = KeyPair::generate().unwrap();
    let mut params = params_now();
    params.subject_alt_names = vec![uri("spiffe://test.example")];
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    let old = params.self_signed(&key).unwrap();
    params.not_after = rcgen::date_time_ymd(2040, 1, 1);
    let renewed = params.self_signed(&key).unwrap();
    let leaf_key = TlsKey::generate().unwrap();
    let pair = KeyPair::from_pem(&leaf_key.to_pem()).unwrap();
    let mut leaf = params_now();
    leaf.subject_alt_names = vec![dns("localhost"), uri("spiffe://test.example/controller")];
    leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let leaf = leaf.signed_by(&pair, &Issuer::new(params, key)).unwrap();
    let pin = Pin::of(old.der()).unwrap();
    assert_ne!(old.der(), renewed.der());
    let chain = vec![leaf.into(), renewed.into()];
    let live = world.client_live(chain, &leaf_key);
    let server = provado_identity::tls::agent_listener(&world.listener(live)).unwrap();
    handshake(&server, &world.pinned_client(pin), "localhost")
        .await
        .expect_open();
    let other = world.authorities.operators.certificate();
    assert!(!pin.matches(other));
}
