use super::*;
use provado_model::id::InstanceId;
use provado_model::random::SeededEntropy;
use uuid::Uuid;

fn new_identity() -> (Identity, IdentityFile) {
    let file = IdentityFile::generate(Timestamp::UNIX_EPOCH);
    (Identity::from_file_text(&file.text).unwrap(), file)
}

#[test]
fn a_generated_file_reads_back_and_never_shows_its_secret() {
    let (identity, file) = new_identity();
    assert_eq!(identity.recipient(), file.recipient);
    assert!(
        file.text
            .starts_with("# created: 1970-01-01T00:00:00Z\n# public key: age1")
    );
    for shown in [format!("{identity:?}"), format!("{file:?}")] {
        assert!(!shown.contains("SECRET"), "{shown}");
    }
    let parsed: Recipient = format!(" {} \n", file.recipient).parse().unwrap();
    assert_eq!(parsed, file.recipient);
}

#[test]
fn a_bad_identity_file_is_refused_without_being_quoted() {
    let (_, file) = new_identity();
    let secret = file.text.lines().last().unwrap();
    let two = format!("{secret}\n{secret}\n");
    let cut = secret.get(..40).unwrap();
    for text in ["", "# only a comment\n", "age1xyz", &two, cut] {
        let error = Identity::from_file_text(text).unwrap_err();
        assert!(!error.to_string().contains(cut), "{error}");
    }
}

#[test]
fn a_sealed_secret_opens_for_each_recipient_and_nobody_else() {
    let ((one, one_file), (two, two_file), (other, _)) =
        (new_identity(), new_identity(), new_identity());
    let sealed = seal(b"secret", &[one_file.recipient, two_file.recipient]).unwrap();
    assert!(sealed.starts_with("-----BEGIN AGE ENCRYPTED FILE-----\n"));
    assert_eq!(&**open(&sealed, &one, "x").unwrap(), b"secret");
    assert_eq!(&**open(&sealed, &two, "x").unwrap(), b"secret");
    let error = open(&sealed, &other, "the test").unwrap_err();
    assert!(matches!(error, Error::WrongIdentity { .. }), "{error}");
    assert!(matches!(seal(b"", &[]), Err(Error::NoRecipients)));
    let long = vec![0; SECRET_BYTES_MAX + 1];
    assert!(matches!(
        seal(&long, &[one.recipient()]),
        Err(Error::Limit { .. })
    ));
}

#[test]
fn ids_of_two_instances_or_two_keys_have_nothing_in_common() {
    let key = SegmentKey::generate(&SeededEntropy::new(1));
    let other = SegmentKey::generate(&SeededEntropy::new(2));
    let instance = |n| InstanceId::from_uuid(Uuid::from_u128(n));
    let id = key.instance_key(instance(1)).segment_id(b"rows");
    assert_eq!(id, key.instance_key(instance(1)).segment_id(b"rows"));
    assert_ne!(id, key.instance_key(instance(2)).segment_id(b"rows"));
    assert_ne!(id, other.instance_key(instance(1)).segment_id(b"rows"));
    assert_ne!(key.check_value(), other.check_value());
    assert_eq!(
        SegmentKey::from_hex(&key.to_hex()).unwrap().check_value(),
        key.check_value()
    );
    assert!(SegmentKey::from_hex("00").is_err());
    assert_eq!(format!("{key:?}"), "SegmentKey");
}
