use super::*;
use proptest::prelude::*;
use provado_model::random::SeededEntropy;

fn token(address: &str) -> JoinToken {
    let pin = Pin::from_bytes([0x5a; 32]);
    JoinToken::new(address.parse().unwrap(), pin, &SeededEntropy::new(1))
}

#[test]
fn a_join_string_reads_back() {
    for address in ["127.0.0.1:7443", "[::1]:1", "db.example.org:65535", "a:80"] {
        let made = token(address);
        let text = made.expose();
        assert!(text.chars().all(|c| !c.is_whitespace()));
        let read: JoinToken = text.parse().unwrap();
        assert_eq!(read.address.to_string(), address);
        assert_eq!(read.pin, made.pin);
        assert_eq!(read.secret(), made.secret());
        assert_eq!(read.hash_secret(), made.hash_secret());
        let padded: JoinToken = format!("\n  {}\r\n", *text).parse().unwrap();
        assert_eq!(padded.secret(), made.secret());
    }
}

#[test]
fn every_truncation_is_refused() {
    let text = token("db.example.org:7443").expose();
    for end in 0..text.len() {
        assert!(text[..end].parse::<JoinToken>().is_err(), "cut to {end}");
    }
    for start in 1..text.len() {
        assert!(text[start..].parse::<JoinToken>().is_err(), "from {start}");
    }
}

#[test]
fn every_bit_flip_is_refused() {
    let made = token("db.example.org:7443");
    let text = made.expose();
    let mut refused = 0;
    for index in 0..text.len() {
        for bit in 0..8 {
            let mut bytes = text.as_bytes().to_vec();
            bytes[index] ^= 1 << bit;
            let Ok(flipped) = String::from_utf8(bytes) else {
                continue;
            };
            assert!(flipped.parse::<JoinToken>().is_err(), "{index}.{bit}");
            refused += 1;
        }
    }
    assert!(refused > text.len() * 6);
}

#[test]
fn every_error_says_what_is_wrong() {
    let text = token("db.example.org:7443").expose();
    let (left, right) = text.split_at(40);
    let cases = [
        ("hello".to_owned(), TokenError::Prefix),
        (String::new(), TokenError::Prefix),
        ("provado-join:v2:AAAA".into(), TokenError::Version),
        (
            format!("{left}\n{right}"),
            TokenError::Whitespace { offset: 40 },
        ),
        (
            format!("{left} {right}"),
            TokenError::Whitespace { offset: 40 },
        ),
        (format!("{left}+{}", &right[1..]), TokenError::Alphabet),
        (text[..PREFIX.len() + 40].to_owned(), TokenError::Length),
        (format!("{PREFIX}{}", "A".repeat(2000)), TokenError::Length),
        (format!("{PREFIX}{}", "A".repeat(120)), TokenError::Checksum),
    ];
    for (text, expected) in cases {
        assert_eq!(text.parse::<JoinToken>().unwrap_err(), expected, "{text}");
    }
}

#[test]
fn a_well_made_string_with_a_bad_address_is_refused() {
    let mut payload = vec![0; FIXED_BYTES];
    payload.extend_from_slice(b"no address");
    let sum = checksum(&payload);
    payload.extend_from_slice(&sum);
    let text = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(payload));
    let error = text.parse::<JoinToken>().unwrap_err();
    assert!(matches!(error, TokenError::Address { .. }), "{error}");
}

#[test]
fn only_host_and_port_make_an_address() {
    let long = format!("{}:1", "a".repeat(300));
    for bad in [
        "",
        ":",
        "a",
        "a:",
        ":1",
        "a:0",
        "a:65536",
        "a:+1",
        "a:01",
        "::1:80",
        "[::1]",
        "[a]:1",
        "[127.0.0.1]:1",
        "a b:1",
        "a:1:2",
        "https://a:1",
        "a/b:1",
        &long,
    ] {
        assert!(bad.parse::<Address>().is_err(), "{bad}");
    }
    let v6: Address = "[fe80::1]:7443".parse().unwrap();
    assert_eq!((v6.host(), v6.port()), ("fe80::1", 7443));
    assert!(v6.server_name().is_ok());
}

#[test]
fn a_hash_knows_its_secret_and_shows_none() {
    let made = token("a:1");
    let hash = made.hash_secret();
    assert!(hash.matches(made.secret()));
    assert!(!hash.matches(&made.secret()[..31]));
    assert!(!hash.matches(b""));
    let mut other = *made.secret();
    other[31] ^= 1;
    assert!(!hash.matches(&other));
    let shown = format!("{made:?}");
    assert!(shown.contains("redacted"));
    assert!(!shown.contains(&format!("{:?}", made.secret())));
}

proptest! {
    #[test]
    fn no_text_panics(text in "\\PC{0,200}", tail in "[A-Za-z0-9_-]{0,400}") {
        prop_assert!(text.parse::<JoinToken>().is_err());
        let shaped = format!("{PREFIX}{tail}");
        prop_assert!(shaped.parse::<JoinToken>().is_err());
        let address: Result<Address, _> = text.parse();
        if let Ok(address) = address {
            prop_assert_eq!(address.to_string(), text);
        }
    }
}

#[test]
fn what_a_joining_host_signs_is_about_one_token_and_one_certificate_request() {
    let hash = token("a:80").hash_secret();
    let message = hash.join_message(b"request");
    assert!(message.starts_with(b"provado join request v1\n"));
    assert_ne!(message, hash.join_message(b"other"));
    assert_ne!(message, TokenHash::of(b"other").join_message(b"request"));
}
