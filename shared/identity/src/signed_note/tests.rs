use super::*;
use provado_model::random::SeededEntropy;

/// Key and note of the example of Go's `golang.org/x/mod/sumdb/note`, where the form comes from.
const GO_KEY: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
const GO_NOTE: &str = "If you think cryptography is the answer to your problem,\n\
    then you don't know what your problem is.\n\
    \n\
    \u{2014} PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqf\
    qdngotpRZb6KE6RyyBwJnAM=\n";

/// The published private key of the same example, without its framing.
const GO_SEED: &str = "AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz";

#[derive(Debug)]
struct PublishedSeed;

impl provado_model::random::Entropy for PublishedSeed {
    fn fill(&self, bytes: &mut [u8]) {
        bytes.copy_from_slice(&STANDARD.decode(GO_SEED).unwrap()[1..]);
    }
}

fn key(seed: u64) -> SigningKey {
    SigningKey::generate(&SeededEntropy::new(seed)).unwrap()
}

fn note_key(name: &str, seed: u64) -> NoteKey {
    NoteKey::new(name, key(seed).public_key()).unwrap()
}

#[test]
fn a_published_note_verifies_under_its_published_key() {
    let known: NoteKey = GO_KEY.parse().unwrap();
    assert_eq!(known.to_string(), GO_KEY);
    let note = Note::parse(GO_NOTE).unwrap();
    assert!(note.verify(&known).unwrap().starts_with("If you think"));
    let changed = GO_NOTE.replace("answer", "reason");
    assert!(matches!(
        Note::parse(&changed).unwrap().verify(&known),
        Err(NoteError::BadSignature { .. })
    ));
}

#[test]
fn the_published_note_comes_out_of_its_published_private_key() {
    let text = GO_NOTE.split("\n\n").next().unwrap().to_owned() + "\n";
    let signer = SigningKey::generate(&PublishedSeed).unwrap();
    assert_eq!(sign(&text, "PeterNeumann", &signer).unwrap(), GO_NOTE);
}

#[test]
fn a_note_reads_back_and_takes_more_signatures() {
    for text in ["one\n", "two\nlines\n", "an\n\nempty line\n", "\n", "é ☃\n"] {
        let signed = sign(text, "controller.example", &key(1)).unwrap();
        let signed = cosign(&signed, "witness.example", &key(2)).unwrap();
        let note = Note::parse(&signed).unwrap();
        assert_eq!(
            note.verify(&note_key("controller.example", 1)).unwrap(),
            text
        );
        assert_eq!(note.verify(&note_key("witness.example", 2)).unwrap(), text);
        assert_eq!(note.unverified_text(), text);
        for (name, seed) in [("controller.example", 2), ("witness.example", 1), ("x", 1)] {
            let missing = note.verify(&note_key(name, seed));
            assert!(matches!(missing, Err(NoteError::NotSigned { .. })));
        }
    }
}

#[test]
fn no_flipped_bit_and_no_truncation_verifies() {
    let text = "provado audit checkpoint\n42\nabc=\n";
    let signed = sign(text, "controller", &key(1)).unwrap();
    let known = note_key("controller", 1);
    let read = |note: &str| Some(Note::parse(note).ok()?.verify(&known).ok()?.to_owned());
    assert_eq!(read(&signed).as_deref(), Some(text));
    for index in 0..signed.len() {
        for bit in 0..8 {
            let mut bytes = signed.clone().into_bytes();
            bytes[index] ^= 1 << bit;
            let flipped = String::from_utf8(bytes).ok();
            assert_eq!(flipped.and_then(|note| read(&note)), None, "{index}.{bit}");
        }
        let cut = signed.get(..index);
        assert_eq!(cut.and_then(read), None, "cut to {index}");
    }
}

#[test]
fn a_bad_signature_beside_a_good_one_is_an_error() {
    let good = sign("text\n", "controller", &key(1)).unwrap();
    let other = sign("other\n", "controller", &key(1)).unwrap();
    let line = other.rsplit_once("\n\n").unwrap().1;
    let both = Note::parse(&format!("{good}{line}")).unwrap();
    let verified = both.verify(&note_key("controller", 1));
    assert!(matches!(verified, Err(NoteError::BadSignature { .. })));
}

#[test]
fn what_is_no_note_is_refused() {
    for bad in [
        "",
        "text\n",
        "text\n\n",
        "text\n\n\u{2014} name\n",
        "text\n\n\u{2014} name !!!!\n",
        "text\n\n\u{2014} name AAAA\n",
        "text\n\n- name AAAAAAAAAAAA\n",
        "text\n\n\u{2014}  AAAAAAAAAAAA\n",
        "text\n\n\u{2014} a+b AAAAAAAAAAAA\n",
        "te\u{1}xt\n\n\u{2014} name AAAAAAAAAAAA\n",
        "text\n\n\u{2014} name AAAAAAAAAAAA",
    ] {
        assert!(Note::parse(bad).is_err(), "{bad:?}");
    }
    assert!(Note::parse("text\n\n\u{2014} name AAAAAAAAAAAA\n").is_ok());
    let line = "\u{2014} name AAAAAAAAAAAA\n";
    let most = format!("text\n\n{}", line.repeat(SIGNATURES_MAX));
    assert!(Note::parse(&most).is_ok());
    assert!(Note::parse(&format!("{most}{line}")).is_err());
    assert!(Note::parse(&"x".repeat(NOTE_BYTES_MAX + 1)).is_err());
    for bad in ["no newline", "tab\t\n", ""] {
        assert!(matches!(sign(bad, "name", &key(1)), Err(NoteError::Text)));
    }
    for bad in ["", "a b", "a+b", "a\n"] {
        assert!(matches!(
            sign("text\n", bad, &key(1)),
            Err(NoteError::Name { .. })
        ));
    }
}

#[test]
fn a_key_whose_hash_or_kind_is_wrong_is_refused() {
    for bad in [
        "",
        "name",
        "name+00000000",
        "name+00000000+AAAA",
        &GO_KEY.replace("c74f20a3", "c74f20a4"),
        &GO_KEY.replace("+AR", "+AB"),
        &GO_KEY.replace("PeterNeumann", "Peter Neumann"),
        &GO_KEY[..GO_KEY.len() - 1],
    ] {
        assert!(bad.parse::<NoteKey>().is_err(), "{bad}");
    }
}
