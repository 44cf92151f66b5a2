use super::*;

fn chain(length: u64) -> Vec<AuditRecord> {
    let mut head = ChainHead::empty();
    (1..=length)
        .map(|sequence| {
            let mut record = AuditRecord {
                sequence,
                time_micros: 1_700_000_000_000_000,
                caller_kind: "operator".into(),
                caller_id: "c1".into(),
                caller_name: "ana".into(),
                agent_id: None,
                peer_address: Some("127.0.0.1:1".into()),
                action: "run.request".into(),
                resource_kind: "run".into(),
                resource_name: format!("r{sequence}"),
                outcome: "done".into(),
                request_id: None,
                detail_json: "{}".into(),
                previous_hash: head.hash.clone(),
                hash: String::new(),
            };
            record.hash = record.computed_hash();
            head.hash.clone_from(&record.hash);
            record
        })
        .collect()
}

#[test]
fn a_chain_verifies_and_its_first_hash_is_pinned() {
    let records = chain(3);
    let head = verify_chain(&records).unwrap();
    assert_eq!(head.sequence, 3);
    // Computed with Python's struct and hashlib from the documented form, not with this code.
    assert_eq!(
        records[0].hash,
        "d5d64e6a91ffb76af67f6aaf2412492a574061002a12276417482a6881c56e68"
    );
}

#[test]
fn every_change_of_a_field_is_found() {
    let changes: &[fn(&mut AuditRecord)] = &[
        |r| r.time_micros += 1,
        |r| r.caller_kind.push('x'),
        |r| r.caller_id.push('x'),
        |r| r.caller_name.push('x'),
        |r| r.agent_id = Some(String::new()),
        |r| r.peer_address = None,
        |r| r.action.push('x'),
        |r| r.resource_kind.push('x'),
        |r| r.resource_name.push('x'),
        |r| r.outcome.push('x'),
        |r| r.request_id = Some(String::new()),
        |r| r.detail_json.push(' '),
        |r| r.hash.replace_range(..1, "g"),
    ];
    for (number, change) in changes.iter().enumerate() {
        let mut records = chain(3);
        change(&mut records[1]);
        assert_eq!(
            verify_chain(&records),
            Err(ChainBreak::Content(2)),
            "change {number}"
        );
    }
}

#[test]
fn moving_text_between_fields_changes_the_hash() {
    let mut record = chain(1).remove(0);
    record.caller_id = "c".into();
    record.caller_name = "1ana".into();
    assert_ne!(record.hash, record.computed_hash());
}

#[test]
fn a_missing_doubled_or_rehashed_event_is_found() {
    let mut records = chain(4);
    records.remove(1);
    assert_eq!(
        verify_chain(&records),
        Err(ChainBreak::Sequence {
            expected: 2,
            found: 3
        })
    );

    let mut records = chain(4);
    records[1].action = "run.forget".into();
    records[1].hash = records[1].computed_hash();
    assert_eq!(verify_chain(&records), Err(ChainBreak::Link(3)));

    let records = chain(4);
    let head = verify_chain(&records[..2]).unwrap();
    let mut verifier = ChainVerifier::after(head);
    verifier.push(&records[2]).unwrap();
    assert_eq!(verifier.head().sequence, 3);
    assert!(verifier.push(&records[2]).is_err());
}

#[test]
fn a_checkpoint_has_one_form() {
    let checkpoint = Checkpoint {
        controller: "c".into(),
        head: ChainHead {
            sequence: 9,
            hash: GENESIS_HASH.into(),
        },
        epoch: 2,
        time_micros: -5,
        accepted_epoch: 0,
    };
    let body = checkpoint.body();
    let accepted = Checkpoint {
        accepted_epoch: 2,
        ..checkpoint.clone()
    };
    assert_eq!(accepted.body(), format!("{body}accepted-epoch 2\n"));
    assert_eq!(accepted.body().parse::<Checkpoint>(), Ok(accepted));
    assert_eq!(body.parse::<Checkpoint>(), Ok(checkpoint));
    for bad in [
        String::new(),
        body.replace("provado-audit/", "other/"),
        body.replace("epoch 2", "epoch +2"),
        body.replace("\n9\n", "\n09\n"),
        format!("{body}more\n"),
        format!("{body}accepted-epoch 0\n"),
        format!("{body}accepted-epoch 2\nmore\n"),
        body.trim_end().to_owned(),
    ] {
        assert!(bad.parse::<Checkpoint>().is_err(), "{bad:?}");
    }
}
