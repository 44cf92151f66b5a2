//! What the fleet decides, without a database: which certificate shows a clone, whose stream
//! stays, what an instance is called.

use super::model::{AgentCertificate, AgentState, Instance, InstanceState};
use provado_model::id::{AgentId, InstanceId};
use std::time::Duration;

/// What to do about a certificate where a stream is opened or a certificate renewed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Generation {
    /// No newer one has ever been used: it is the agent's.
    Current,
    /// A newer one has been used, or was issued from an older one in its place: two hold what only
    /// one should.
    Superseded,
    /// The agent says another generation than its certificate has.
    Mismatch,
    /// The agent came back with a join token since: an operator said that another holder is it.
    Replaced,
}

/// Judges the certificate in use and the generation that the agent says it has.
///
/// An answer to a renewal may be lost, so a certificate counts until a newer one was *used*; from
/// then on only a copy would still show it.
pub fn generation(certificate: &AgentCertificate, stated: u64) -> Generation {
    if certificate.is_replaced {
        Generation::Replaced
    } else if certificate.generation != stated {
        Generation::Mismatch
    } else if certificate.supersede_time.is_some() {
        Generation::Superseded
    } else {
        Generation::Current
    }
}

/// Whether a machine id tells of another host. A missing one tells nothing.
pub fn is_other_machine(known: Option<&str>, told: &str) -> bool {
    known.is_some_and(|known| !known.is_empty() && !told.is_empty() && known != told)
}

/// How a newer stream of the same agent stands against the older one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Contest {
    /// The newer one takes the place: the same process, or nobody is there any more.
    TakeOver,
    /// Wait so long for a sign of the older one, then judge again.
    Wait(Duration),
    /// Both are alive: two processes with one identity.
    Clone,
}

/// What is known of the older stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Older {
    /// Whether it comes from the same process as the newer one.
    pub same_process: bool,
    /// Whether it has ended by now.
    pub ended: bool,
    /// How long ago a message came over it since the newer one was there, if one did.
    pub spoke_ago: Option<Duration>,
    /// How long the newer one has waited.
    pub waited: Duration,
}

/// Judges an older stream against a newer one.
///
/// `silence` is how long a living agent may say nothing at most; `settle` how long a message that
/// a dying process had sent before may be followed by the end of its stream.
pub fn contest(older: Older, silence: Duration, settle: Duration) -> Contest {
    if older.same_process || older.ended {
        return Contest::TakeOver;
    }
    match older.spoke_ago {
        Some(ago) if ago >= settle => Contest::Clone,
        Some(ago) => Contest::Wait(settle.saturating_sub(ago)),
        None if older.waited >= silence => Contest::TakeOver,
        None => Contest::Wait(silence.saturating_sub(older.waited)),
    }
}

/// Which of an agent's known instances the one told of is, if any: the same system identifier on
/// the same port; while it does not answer, the same place.
pub fn known_instance<'a>(
    known: &'a [Instance],
    system_identifier: &str,
    host: &str,
    port: u16,
) -> Option<&'a Instance> {
    let same_place = |instance: &&Instance| instance.port == port && instance.host == host;
    if system_identifier.is_empty() {
        return known
            .iter()
            .filter(same_place)
            .max_by_key(|it| it.last_seen_time);
    }
    known
        .iter()
        .find(|it| it.port == port && it.system_identifier == system_identifier)
        // One that never answered before has no identifier yet.
        .or_else(|| {
            known
                .iter()
                .filter(same_place)
                .find(|it| it.system_identifier.is_empty())
        })
}

/// The names an instance may get, best first: the wanted one, the agent's, the agent's with the
/// port, then numbered ones.
pub fn instance_names<'a>(
    wanted: &'a str,
    agent: &'a str,
    port: u16,
) -> impl Iterator<Item = String> + 'a {
    let base = if provado_model::label::name_is_valid(wanted) {
        wanted
    } else {
        agent
    };
    let with_port = cut(agent, 57);
    let numbered = (2_u32..=99).map(move |number| format!("{}-{port}-{number}", cut(agent, 54)));
    [base.to_owned(), format!("{with_port}-{port}")]
        .into_iter()
        .chain(numbered)
}

/// How an instance comes to want a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// The agent's configuration says so.
    Configured,
    /// It is what an instance of this agent is called.
    Usual,
}

/// Whether an instance gives its name up to one on `port` of `agent`.
///
/// A server that was upgraded into a new data directory is another instance; schedules and scripts
/// go on calling it by the name. So one that nobody tells of any more gives its name up: one of the
/// same agent that is gone, or one of a revoked agent. Without a word of the configuration only to
/// a successor on the same port, since a server that is away for a while comes back.
pub fn yields_name(
    holder: &Instance,
    holders_agent: AgentState,
    wish: Wish,
    (agent, port): (AgentId, u16),
) -> bool {
    let is_forsaken = if holder.agent == agent {
        holder.state == InstanceState::Gone
    } else {
        holders_agent == AgentState::Revoked
    };
    is_forsaken && (wish == Wish::Configured || holder.port == port)
}

/// What an instance is called that gave its name up. The end of its id is random.
pub fn yielded_name(name: &str, id: InstanceId) -> String {
    let id = id.to_string();
    let end = id.get(id.len().saturating_sub(8)..).unwrap_or_default();
    format!("{}-{end}", cut(name, 54))
}

/// At most `bytes` of an ASCII name, without a hyphen at its end.
fn cut(name: &str, bytes: usize) -> &str {
    name.get(..bytes).unwrap_or(name).trim_end_matches('-')
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    const SILENCE: Duration = Duration::from_secs(15);
    const SETTLE: Duration = Duration::from_secs(2);

    #[test]
    fn streams_of_one_agent_are_judged() {
        let quiet = Older {
            same_process: false,
            ended: false,
            spoke_ago: None,
            waited: Duration::ZERO,
        };
        let seconds = Duration::from_secs;
        let check = |older, expected| assert_eq!(contest(older, SILENCE, SETTLE), expected);
        check(quiet, Contest::Wait(SILENCE));
        check(
            Older {
                waited: seconds(14),
                ..quiet
            },
            Contest::Wait(seconds(1)),
        );
        check(
            Older {
                waited: seconds(15),
                ..quiet
            },
            Contest::TakeOver,
        );
        check(
            Older {
                ended: true,
                ..quiet
            },
            Contest::TakeOver,
        );
        check(
            Older {
                same_process: true,
                ..quiet
            },
            Contest::TakeOver,
        );
        let spoke = |ago| Older {
            spoke_ago: Some(seconds(ago)),
            ..quiet
        };
        check(spoke(0), Contest::Wait(SETTLE));
        check(spoke(2), Contest::Clone);
        check(
            Older {
                ended: true,
                ..spoke(1)
            },
            Contest::TakeOver,
        );
        check(
            Older {
                same_process: true,
                ..spoke(9)
            },
            Contest::TakeOver,
        );
    }

    #[test]
    fn a_certificate_counts_until_a_newer_one_is_used_or_the_agent_came_back() {
        let time = jiff::Timestamp::UNIX_EPOCH;
        let current = AgentCertificate {
            sha256: String::new(),
            agent: AgentId::from_uuid(Uuid::nil()),
            generation: 3,
            not_before: time,
            not_after: time,
            supersede_time: None,
            is_replaced: false,
        };
        assert_eq!(generation(&current, 3), Generation::Current);
        assert_eq!(generation(&current, 4), Generation::Mismatch);
        let superseded = AgentCertificate {
            supersede_time: Some(time),
            ..current
        };
        assert_eq!(generation(&superseded, 3), Generation::Superseded);
        let replaced = AgentCertificate {
            is_replaced: true,
            ..superseded
        };
        // Whatever it says of itself: it locks nobody.
        assert_eq!(generation(&replaced, 3), Generation::Replaced);
        assert_eq!(generation(&replaced, 4), Generation::Replaced);
    }

    #[test]
    fn a_machine_id_counts_only_where_both_are_known() {
        assert!(is_other_machine(Some("a"), "b"));
        for (known, told) in [
            (None, "b"),
            (Some(""), "b"),
            (Some("a"), ""),
            (Some("a"), "a"),
        ] {
            assert!(!is_other_machine(known, told));
        }
    }

    #[test]
    fn a_name_is_given_up_by_what_nobody_tells_of_any_more() {
        use AgentState::{Active, Locked, Revoked};
        use InstanceState::{Down, Gone, Up};
        let (one, other) = (
            AgentId::from_uuid(Uuid::from_u128(1)),
            AgentId::from_uuid(Uuid::from_u128(2)),
        );
        let check = |state, agents_state, wish, asking, expected| {
            let holder = Instance {
                id: InstanceId::from_uuid(Uuid::from_u128(7)),
                agent: one,
                name: "shop".to_owned(),
                state,
                version: 1,
                system_identifier: "7".to_owned(),
                data_directory: String::new(),
                host: String::new(),
                port: 5432,
                server_version_number: 150_018,
                in_recovery: false,
                size_bytes: 0,
                labels: provado_model::label::Labels::new(),
                facts: crate::fleet::model::InstanceFacts::default(),
                create_time: jiff::Timestamp::UNIX_EPOCH,
                last_seen_time: jiff::Timestamp::UNIX_EPOCH,
            };
            let found = yields_name(&holder, agents_state, wish, asking);
            assert_eq!(
                found, expected,
                "{state:?} {agents_state:?} {wish:?} {asking:?}"
            );
        };
        check(Gone, Active, Wish::Configured, (one, 5433), true);
        check(Gone, Active, Wish::Usual, (one, 5432), true);
        check(Gone, Active, Wish::Usual, (one, 5433), false);
        check(Up, Active, Wish::Configured, (one, 5432), false);
        check(Down, Active, Wish::Configured, (one, 5432), false);
        // Another agent's name is safe while that agent is one.
        check(Gone, Active, Wish::Configured, (other, 5432), false);
        check(Gone, Locked, Wish::Configured, (other, 5432), false);
        check(Up, Revoked, Wish::Configured, (other, 5433), true);
        check(Up, Revoked, Wish::Usual, (other, 5433), false);
        let id = InstanceId::from_uuid(Uuid::from_u128(0xabc));
        assert_eq!(yielded_name("shop", id), "shop-00000abc");
        let long = yielded_name(&"a".repeat(63), id);
        assert!(provado_model::label::name_is_valid(&long), "{long}");
    }

    #[test]
    fn an_instance_gets_the_best_free_name() {
        let names: Vec<_> = instance_names("", "db1", 5432).take(3).collect();
        assert_eq!(names, ["db1", "db1-5432", "db1-5432-2"]);
        let names: Vec<_> = instance_names("orders", "db1", 5433).take(2).collect();
        assert_eq!(names, ["orders", "db1-5433"]);
        // A wanted name that no name may be is not taken.
        assert_eq!(instance_names("Bad name", "db1", 1).next().unwrap(), "db1");
        let long = "a".repeat(63);
        for name in instance_names("", &long, 65535) {
            assert!(provado_model::label::name_is_valid(&name), "{name}");
        }
    }
}
