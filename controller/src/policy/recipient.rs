//! Whether a text is an age recipient: Bech32 (BIP 173) with the prefix `age` over an X25519 public
//! key of 32 bytes (<https://age-encryption.org/v1>, "The X25519 recipient type"). Pure.
//!
//! A mistyped recipient would make backups that nobody can open, so the checksum is verified here,
//! where the operator still looks.

const ALPHABET: &[u8; 32] = b"qpzry9x8gf2tvdw0s3jn54khce6mua7l";
const PREFIX: &str = "age";
/// 32 bytes in groups of 5 bits, the last one filled up with zeros.
const PAYLOAD_GROUPS: usize = 52;
const CHECKSUM_GROUPS: usize = 6;

/// Why a text is no recipient.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum RecipientError {
    /// It is a secret key.
    #[error("this is a secret key; give its public half, which begins with age1, and replace it")]
    Secret,
    /// It does not begin with `age1`.
    #[error("a recipient begins with age1")]
    Prefix,
    /// It has another length.
    #[error("a recipient has 62 characters")]
    Length,
    /// It holds a character that Bech32 does not have.
    #[error("a recipient has lower-case letters and digits only, without 1, b, i and o")]
    Character,
    /// Its checksum does not hold.
    #[error("its checksum does not hold, so it was mistyped or cut")]
    Checksum,
}

/// Checks one recipient.
pub(super) fn check(text: &str) -> Result<(), RecipientError> {
    if text.to_ascii_uppercase().starts_with("AGE-SECRET-KEY-") {
        return Err(RecipientError::Secret);
    }
    let data = text
        .strip_prefix(PREFIX)
        .and_then(|rest| rest.strip_prefix('1'))
        .ok_or(RecipientError::Prefix)?;
    if data.len() != PAYLOAD_GROUPS + CHECKSUM_GROUPS {
        return Err(RecipientError::Length);
    }
    let groups: Vec<u8> = data.bytes().map(group).collect::<Result<_, _>>()?;
    if checksum(&groups) != 1 {
        return Err(RecipientError::Checksum);
    }
    // 52 groups are 260 bits: the last 4 belong to no byte and must be zero.
    match groups.get(PAYLOAD_GROUPS - 1) {
        Some(last) if last.trailing_zeros() >= 4 => Ok(()),
        Some(_) | None => Err(RecipientError::Checksum),
    }
}

fn group(byte: u8) -> Result<u8, RecipientError> {
    let at = ALPHABET.iter().position(|letter| *letter == byte);
    at.and_then(|at| u8::try_from(at).ok())
        .ok_or(RecipientError::Character)
}

/// The remainder of prefix and data by the generator of BIP 173; 1 for a valid text.
fn checksum(groups: &[u8]) -> u32 {
    let high = PREFIX.bytes().map(|byte| byte >> 5);
    let low = PREFIX.bytes().map(|byte| byte & 0x1f);
    let values = high.chain([0]).chain(low).chain(groups.iter().copied());
    values.fold(1, step)
}

fn step(state: u32, value: u8) -> u32 {
    const GENERATOR: [u32; 5] = [
        0x3b6a_57b2,
        0x2650_8e6d,
        0x1ea1_19fa,
        0x3d42_33dd,
        0x2a14_62b3,
    ];
    let top = state >> 25;
    let shifted = ((state & 0x01ff_ffff) << 5) ^ u32::from(value);
    GENERATOR
        .iter()
        .enumerate()
        .filter(|(bit, _)| (top >> bit) & 1 == 1)
        .fold(shifted, |state, (_, generator)| state ^ generator)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The recipient of the age specification's own example.
    const GOOD: &str = "age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj";

    #[test]
    fn a_recipient_of_the_specification_passes() {
        assert_eq!(check(GOOD), Ok(()));
    }

    #[test]
    fn every_mistyped_character_is_found() {
        for at in 4..GOOD.len() {
            let mut bytes = GOOD.as_bytes().to_vec();
            bytes[at] = if bytes[at] == b'q' { b'p' } else { b'q' };
            let text = String::from_utf8(bytes).unwrap();
            assert_eq!(check(&text), Err(RecipientError::Checksum), "{text}");
        }
    }

    #[test]
    fn each_mistake_has_its_sentence() {
        let cases = [
            ("", RecipientError::Prefix),
            ("ssh-ed25519 AAAA", RecipientError::Prefix),
            ("age", RecipientError::Prefix),
            (&GOOD[..61], RecipientError::Length),
            (&format!("{GOOD}q"), RecipientError::Length),
            (&GOOD.to_ascii_uppercase(), RecipientError::Prefix),
            (&GOOD.replace("zvk", "zvb"), RecipientError::Character),
            (&GOOD.replace("zvk", "ZVK"), RecipientError::Character),
            ("AGE-SECRET-KEY-1QQQ", RecipientError::Secret),
        ];
        for (text, expected) in cases {
            assert_eq!(check(text), Err(expected), "{text}");
        }
    }
}
