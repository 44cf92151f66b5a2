//! Every method of the operator API by every kind of caller: the table is obeyed on the wire.

use crate::world::{World, create_caller, is_cut_off, reason, request_id};
use provado_controller::request::{Access, METHODS};
use provado_identity::TlsKey;
use provado_model::state::Role;
use provado_proto::operator::v1::CallerRole;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};
use tonic_prost::ProstCodec;

/// Calls a method with an empty message; what came back, if it was refused.
async fn call(channel: &Channel, path: &'static str) -> Option<Status> {
    let mut client = tonic::client::Grpc::new(channel.clone());
    client.ready().await.unwrap();
    let codec = ProstCodec::<(), ()>::default();
    let path = http::uri::PathAndQuery::from_static(path);
    client.unary(Request::new(()), path, codec).await.err()
}

/// Whether the refusal, if any, came from the table.
fn is_forbidden(status: Option<&Status>) -> bool {
    status.is_some_and(|status| status.code() == Code::PermissionDenied)
}

fn operator_methods() -> impl Iterator<Item = (&'static str, &'static [Role])> {
    METHODS.iter().filter_map(|(path, access)| match access {
        Access::Roles(roles) => Some((*path, *roles)),
        Access::Agents | Access::Anyone => None,
    })
}

#[tokio::test]
async fn every_role_may_call_what_the_table_says_and_nothing_else() {
    let world = World::start().await;
    let callers = [
        (Role::Dba, CallerRole::Dba),
        (Role::Lead, CallerRole::Lead),
        (Role::Devops, CallerRole::Devops),
        (Role::Auditor, CallerRole::Auditor),
    ];
    let mut checked = 0;
    for (role, wire) in callers {
        let operator = world.operator(&format!("a-{role}"), wire).await;
        for (path, roles) in operator_methods() {
            let refused = call(&operator.channel, path).await;
            let forbidden = is_forbidden(refused.as_ref());
            assert_eq!(
                forbidden,
                !roles.contains(&role),
                "{role} {path}: {refused:?}"
            );
            if forbidden {
                assert_eq!(reason(&refused.unwrap()), "ROLE_FORBIDS");
            }
            checked += 1;
        }
        // What is for agents is for no operator.
        let path = "/provado.agent.v1.SessionService/SyncInventory";
        assert!(is_forbidden(call(&operator.channel, path).await.as_ref()));
        let path = "/provado.operator.v1.RunService/NoSuchMethod";
        assert!(is_forbidden(call(&operator.channel, path).await.as_ref()));
    }
    assert!(checked >= 100, "{checked}");
    // Each caller and method that was refused stands in the audit once.
    let refused = world.audit("call.refuse").await;
    assert!(refused.iter().all(|event| event.outcome == "refused"));
    assert!(refused.iter().any(|event| event.caller_name == "a-auditor"));
}

#[tokio::test]
async fn a_change_that_is_refused_is_written_down_with_its_reason() {
    let world = World::start().await;
    let mut admin = world.admin().await;
    let key = TlsKey::generate().unwrap();
    let mut request = create_caller("admin", CallerRole::Devops, &key);
    for _ in 0..3 {
        request.request_id = request_id();
        let refused = admin.access.create_caller(request.clone()).await;
        assert_eq!(reason(&refused.unwrap_err()), "NAME_TAKEN");
    }
    request.caller_id = "no name".to_owned();
    admin.access.create_caller(request).await.unwrap_err();
    let refused = world.audit("call.refuse").await;
    let reasons: Vec<_> = refused
        .iter()
        .map(|event| serde_json::from_str::<serde_json::Value>(&event.detail_json).unwrap())
        .map(|detail| detail["reason"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(reasons, ["NAME_TAKEN", "INVALID_ARGUMENT"]);
    let first = &refused[0];
    assert_eq!(first.outcome, "refused");
    assert_eq!(
        (first.caller_name.as_str(), first.resource_name.as_str()),
        ("admin", "/provado.operator.v1.AccessService/CreateCaller")
    );
}

#[tokio::test]
async fn an_agent_and_a_stranger_reach_nothing_of_the_operators() {
    let world = World::start().await;
    let agent = world.join("db1").await;
    let by_agent = agent.dial(&world).await.unwrap();
    let token = world.token().await;
    let stranger = world.stranger(&token).await;
    for (path, _) in operator_methods() {
        let refused = call(&by_agent, path).await.unwrap();
        assert_eq!(reason(&refused), "ROLE_FORBIDS", "{path}");
        let refused = call(&stranger, path).await.unwrap();
        assert_eq!(reason(&refused), "CERTIFICATE_INVALID", "{path}");
    }
    for path in [
        "/provado.agent.v1.SessionService/Session",
        "/provado.agent.v1.SessionService/SyncInventory",
        "/provado.agent.v1.SessionService/RenewCertificate",
        "/provado.agent.v1.ReportService/ReportAttempt",
    ] {
        let refused = call(&stranger, path).await.unwrap();
        assert_eq!(reason(&refused), "CERTIFICATE_INVALID", "{path}");
    }

    // On the operators' own listener neither gets past the handshake.
    let live =
        provado_identity::tls::LiveCertificate::new(agent.chain.clone(), &agent.key, world.clock())
            .unwrap();
    let path = world.directory.path().join("data/operator/operator-ca.crt");
    let roots = std::fs::read_to_string(path).unwrap();
    let roots = provado_identity::pem::certificates(&roots).unwrap();
    let tls = provado_identity::tls::authenticated_client(&roots, live, world.clock()).unwrap();
    let path = "/provado.operator.v1.AccessService/GetSelf";
    match crate::world::dial(world.running.operator_address(), tls).await {
        Ok(channel) => {
            let mut client = tonic::client::Grpc::new(channel);
            if client.ready().await.is_err() {
                return;
            }
            let codec = ProstCodec::<(), ()>::default();
            let path = http::uri::PathAndQuery::from_static(path);
            let refused = client
                .unary(Request::new(()), path, codec)
                .await
                .unwrap_err();
            assert!(is_cut_off(&refused), "{refused:?}");
        }
        Err(error) => assert!(is_cut_off(&error), "{error:?}"),
    }
}
