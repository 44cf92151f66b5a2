//! The exact bytes that agents and controllers sign about a backup, so that both sides and every
//! verifier build the same ones. Each statement begins with a line that no other begins with: a
//! signature for one is never a signature for another.

use crate::id::{BackupId, InstanceId};
use jiff::Timestamp;
use std::fmt::Write as _;

/// What an agent signs when it reports a backup: that this backup has the description object with
/// this SHA-256. Three lines, each ended by a newline: the context, the id, the digest in hex.
pub fn description(backup: BackupId, description_sha256: &[u8; 32]) -> Vec<u8> {
    format!(
        "provado-backup-report-v1\n{backup}\n{}\n",
        hex(description_sha256)
    )
    .into_bytes()
}

/// What a controller signs when it takes a backup into its catalogue: the context line and the
/// first line of the `.countersignature` object, newline included (docs/repository-format.md).
/// `sign_time` is written as RFC 3339 in UTC with as many digits as it has.
pub fn countersignature(
    instance: InstanceId,
    backup: BackupId,
    description_sha256: &[u8; 32],
    sign_time: Timestamp,
) -> Vec<u8> {
    format!(
        "provado-countersignature-v1\n{{\"format_version\":1,\"instance_id\":\"{instance}\",\
         \"backup_id\":\"{backup}\",\"document_sha256\":\"{}\",\"sign_time\":\"{sign_time}\"}}\n",
        hex(description_sha256)
    )
    .into_bytes()
}

/// Lower-case hexadecimal digits.
fn hex(bytes: &[u8; 32]) -> String {
    bytes
        .iter()
        .fold(String::with_capacity(64), |mut out, byte| {
            // Writing to a String cannot fail.
            let _ = write!(out, "{byte:02x}");
            out
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    #[test]
    fn statements_are_exact_to_the_byte() {
        let backup = BackupId::from_uuid(Uuid::from_u128(1));
        let instance = InstanceId::from_uuid(Uuid::from_u128(2));
        let mut digest = [0_u8; 32];
        digest[0] = 0xab;
        let time = Timestamp::from_microsecond(1_700_000_000_120_000).unwrap();
        assert_eq!(
            String::from_utf8(description(backup, &digest)).unwrap(),
            format!(
                "provado-backup-report-v1\n00000000-0000-0000-0000-000000000001\nab{}\n",
                "0".repeat(62)
            )
        );
        assert_eq!(
            String::from_utf8(countersignature(instance, backup, &digest, time)).unwrap(),
            format!(
                "provado-countersignature-v1\n{{\"format_version\":1,\
                 \"instance_id\":\"00000000-0000-0000-0000-000000000002\",\
                 \"backup_id\":\"00000000-0000-0000-0000-000000000001\",\
                 \"document_sha256\":\"ab{}\",\"sign_time\":\"2023-11-14T22:13:20.12Z\"}}\n",
                "0".repeat(62)
            )
        );
    }
}
