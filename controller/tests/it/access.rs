//! AccessService: callers, join tokens, and who is asking.

use crate::world::{Operator, World, create_caller, is_cut_off, reason, request_id, request_pem};
use jiff::SignedDuration;
use provado_identity::{Authorities, TlsKey, pem};
use provado_model::random::OsEntropy;
use provado_proto::operator::v1 as operator;
use provado_proto::operator::v1::CallerRole;

#[tokio::test]
async fn the_first_caller_is_made_once_and_its_profile_follows_the_address() {
    let world = World::start().await;
    let profile = |world: &World| {
        let path = world.running.profile().unwrap().to_owned();
        std::fs::read_to_string(path).unwrap()
    };
    let text = profile(&world);
    let table: toml::Table = text.parse().unwrap();
    let address = world.running.operator_address().to_string();
    assert_eq!(table["endpoint"].as_str().unwrap(), address);
    assert_eq!(table["server_name"].as_str().unwrap(), "localhost");
    for file in ["authority_file", "certificate_file", "key_file"] {
        let path = table[file].as_str().unwrap();
        let mode = std::fs::metadata(path).unwrap().permissions();
        let mode = std::os::unix::fs::PermissionsExt::mode(&mode) & 0o777;
        assert_eq!(mode, 0o600, "{path}");
    }
    let mut admin = world.admin().await;
    let it = admin
        .access
        .get_self(operator::GetSelfRequest {})
        .await
        .unwrap()
        .into_inner();
    let caller = it.caller.unwrap();
    assert_eq!(
        (caller.name.as_str(), caller.role()),
        ("callers/admin", CallerRole::Dba)
    );
    assert_eq!(it.controller_public_key.len(), 32);
    assert_eq!(it.controller_id, world.running.core().id().to_string());

    let key = std::fs::read(world.directory.path().join("data/operator/admin.key")).unwrap();
    let world = world.restart().await;
    let same = std::fs::read(world.directory.path().join("data/operator/admin.key")).unwrap();
    assert_eq!(key, same);
    assert!(profile(&world).contains(&world.running.operator_address().to_string()));
    let mut admin = world.admin().await;
    let again = admin
        .access
        .get_self(operator::GetSelfRequest {})
        .await
        .unwrap()
        .into_inner();
    assert_eq!(again.caller.unwrap().uid, caller.uid);
    assert!(again.epoch > it.epoch);
}

#[tokio::test]
async fn a_certificate_that_ends_soon_is_replaced_at_the_start() {
    let world = World::start().await;
    let key = std::fs::read(world.directory.path().join("data/operator/admin.key")).unwrap();
    world.advance(SignedDuration::from_hours(24 * 70));
    let world = world.restart().await;
    let next = std::fs::read(world.directory.path().join("data/operator/admin.key")).unwrap();
    assert_ne!(key, next);
    let mut admin = world.admin().await;
    admin
        .access
        .get_self(operator::GetSelfRequest {})
        .await
        .unwrap();
    assert_eq!(world.audit("caller.create").await.len(), 1);
}

#[tokio::test]
async fn a_caller_is_made_calls_and_is_cut_off_when_revoked() {
    let world = World::start().await;
    let mut devops = world.operator("ana", CallerRole::Devops).await;
    let it = devops
        .access
        .get_self(operator::GetSelfRequest {})
        .await
        .unwrap()
        .into_inner();
    let it = it.caller.unwrap();
    assert_eq!(
        (it.name.as_str(), it.role()),
        ("callers/ana", CallerRole::Devops)
    );
    devops
        .fleet
        .list_agents(operator::ListAgentsRequest::default())
        .await
        .unwrap();

    let mut admin = world.admin().await;
    let request = operator::RevokeCallerRequest {
        request_id: request_id(),
        name: "callers/ana".to_owned(),
        message: "left".to_owned(),
        validate_only: false,
    };
    let revoked = admin
        .access
        .revoke_caller(request)
        .await
        .unwrap()
        .into_inner();
    assert!(revoked.caller.unwrap().revoked);
    // On the connection that is open, and on a new one.
    let error = devops
        .access
        .get_self(operator::GetSelfRequest {})
        .await
        .unwrap_err();
    assert!(is_cut_off(&error) || reason(&error) == "CERTIFICATE_REVOKED");
    let same_name = create_caller("ana", CallerRole::Devops, &TlsKey::generate().unwrap());
    let error = admin.access.create_caller(same_name).await.unwrap_err();
    assert_eq!(reason(&error), "NAME_TAKEN");
    assert_eq!(world.audit("caller.revoke").await.len(), 1);

    let unknown = operator::RevokeCallerRequest {
        request_id: request_id(),
        name: "callers/nobody".to_owned(),
        ..Default::default()
    };
    let error = admin.access.revoke_caller(unknown).await.unwrap_err();
    assert_eq!(reason(&error), "CALLER_NOT_FOUND");
    let oneself = operator::RevokeCallerRequest {
        request_id: request_id(),
        name: "callers/admin".to_owned(),
        ..Default::default()
    };
    let error = admin.access.revoke_caller(oneself).await.unwrap_err();
    assert_eq!(reason(&error), "INVALID_ARGUMENT");
}

#[tokio::test]
async fn a_revoked_caller_does_not_get_past_the_handshake() {
    let world = World::start().await;
    let key = TlsKey::generate().unwrap();
    let mut admin = world.admin().await;
    let made = admin
        .access
        .create_caller(create_caller("bo", CallerRole::Lead, &key))
        .await;
    let made = made.unwrap().into_inner();
    let chain = pem::certificates(&made.certificate_pem).unwrap();
    let roots = pem::certificates(&made.authority_pem).unwrap();
    let request = operator::RevokeCallerRequest {
        request_id: request_id(),
        name: "bo".to_owned(),
        ..Default::default()
    };
    admin.access.revoke_caller(request).await.unwrap();
    let world = world.restart().await;
    let mut revoked = Operator::dial(&world, key, chain, roots).await;
    let error = revoked
        .access
        .get_self(operator::GetSelfRequest {})
        .await
        .unwrap_err();
    assert!(is_cut_off(&error), "{error:?}");
}

#[tokio::test]
async fn a_certificate_of_another_authority_opens_nothing() {
    let world = World::start().await;
    let entropy = OsEntropy::shared();
    let domain = "provado.local".parse().unwrap();
    let foreign = Authorities::create(&domain, &world.clock(), &entropy).unwrap();
    let key = TlsKey::generate().unwrap();
    let mut admin = world.admin().await;
    let it = admin
        .access
        .get_self(operator::GetSelfRequest {})
        .await
        .unwrap()
        .into_inner();
    let id = it.caller.unwrap().uid.parse().unwrap();
    let lifetime = SignedDuration::from_hours(1);
    let forged = foreign
        .operators
        .issue_operator(&key.request().unwrap(), id, lifetime)
        .unwrap();
    let path = world.directory.path().join("data/operator/operator-ca.crt");
    let roots = pem::certificates(&std::fs::read_to_string(path).unwrap()).unwrap();
    let mut liar = Operator::dial(&world, key, vec![forged.der], roots).await;
    let error = liar
        .access
        .get_self(operator::GetSelfRequest {})
        .await
        .unwrap_err();
    assert!(is_cut_off(&error), "{error:?}");
}

#[tokio::test]
async fn the_same_request_makes_one_caller() {
    let world = World::start().await;
    let mut admin = world.admin().await;
    let request = create_caller("ana", CallerRole::Lead, &TlsKey::generate().unwrap());
    let mut dry = request.clone();
    dry.request_id = request_id();
    dry.validate_only = true;
    let shown = admin.access.create_caller(dry).await.unwrap().into_inner();
    assert!(shown.certificate_pem.is_empty());
    let first = admin
        .access
        .create_caller(request.clone())
        .await
        .unwrap()
        .into_inner();
    let again = admin
        .access
        .create_caller(request.clone())
        .await
        .unwrap()
        .into_inner();
    assert_eq!(first, again);
    let mut reused = request;
    reused.caller_id = "bo".to_owned();
    let error = admin.access.create_caller(reused).await.unwrap_err();
    assert_eq!(reason(&error), "REQUEST_ID_REUSED");
    let mut names = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = operator::ListCallersRequest {
            page_size: 1,
            page_token,
        };
        let page = admin
            .access
            .list_callers(request)
            .await
            .unwrap()
            .into_inner();
        names.extend(page.callers.into_iter().map(|caller| caller.name));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!(names, ["callers/admin", "callers/ana"]);
}

#[tokio::test]
async fn wrong_fields_are_told_together() {
    let world = World::start().await;
    let mut admin = world.admin().await;
    let request = operator::CreateCallerRequest {
        request_id: request_id(),
        caller_id: "Ana!".to_owned(),
        certificate_request_pem: "x".to_owned(),
        ttl: Some(prost_types::Duration {
            seconds: 91 * 24 * 3_600,
            nanos: 0,
        }),
        ..Default::default()
    };
    let error = admin.access.create_caller(request).await.unwrap_err();
    for field in ["caller_id", "role", "certificate_request_pem", "ttl"] {
        assert!(
            error.message().contains(field),
            "{field}: {}",
            error.message()
        );
    }
    let request = operator::CreateCallerRequest {
        request_id: "not a uuid".to_owned(),
        caller_id: "ana".to_owned(),
        role: CallerRole::Lead.into(),
        certificate_request_pem: request_pem(&TlsKey::generate().unwrap()),
        ..Default::default()
    };
    let error = admin.access.create_caller(request).await.unwrap_err();
    assert_eq!(reason(&error), "INVALID_ARGUMENT");
}

#[tokio::test]
async fn a_tokens_secret_is_told_once_and_stored_nowhere() {
    let world = World::start().await;
    let mut admin = world.admin().await;
    let request = operator::CreateJoinTokenRequest {
        request_id: request_id(),
        agent_name: "db1".to_owned(),
        ..Default::default()
    };
    let made = admin
        .access
        .create_join_token(request.clone())
        .await
        .unwrap()
        .into_inner();
    let token: provado_identity::JoinToken = made.join_string.parse().unwrap();
    assert_eq!(token.address.port(), world.running.agent_address().port());
    let again = admin
        .access
        .create_join_token(request)
        .await
        .unwrap()
        .into_inner();
    assert_eq!(again.join_token, made.join_token);
    assert!(again.join_string.is_empty());
    let list = admin
        .access
        .list_join_tokens(operator::ListJoinTokensRequest::default())
        .await;
    assert_eq!(
        list.unwrap().into_inner().join_tokens,
        [made.join_token.unwrap()]
    );

    for ttl in [0, 24 * 3_600 + 1] {
        let request = operator::CreateJoinTokenRequest {
            request_id: request_id(),
            ttl: Some(prost_types::Duration {
                seconds: ttl,
                nanos: 0,
            }),
            ..Default::default()
        };
        let error = admin.access.create_join_token(request).await.unwrap_err();
        assert_eq!(reason(&error), "INVALID_ARGUMENT", "{ttl}");
    }

    let data = world.directory.path().join("data");
    let secret = token.secret().to_vec();
    let hex = data_encoding::HEXLOWER.encode(&secret);
    let base64 = data_encoding::BASE64URL_NOPAD.encode(&secret);
    world.running.shutdown().await;
    for name in ["controller.db", "controller.db-wal"] {
        let Ok(bytes) = std::fs::read(data.join(name)) else {
            continue;
        };
        for form in [secret.as_slice(), hex.as_bytes(), base64.as_bytes()] {
            let found = bytes.windows(form.len()).any(|window| window == form);
            assert!(!found, "{name}");
        }
    }
}
