use super::*;
use crate::jobs::AttemptName;
use jiff::Timestamp;
use provado_identity::SigningKey;
use provado_model::id::{AttemptId, RequestId, RunId};
use provado_model::random::{OsEntropy, SeededEntropy};
use provado_model::statement;
use provado_model::time::SystemClock;
use provado_proto::agent::v1::Outcome;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

/// The repository that the format's documentation is held to.
const GOLDEN: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../shared/repository/tests/golden/repository"
);

/// A copy of it without countersignatures; where one of its backups is, and where the
/// countersignature of that belongs.
fn repository(root: &Path) -> (BackupPlace, PathBuf) {
    let mut place = None;
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        let made = root.join(&folder);
        std::fs::create_dir_all(&made).unwrap();
        std::fs::set_permissions(&made, PermissionsExt::from_mode(0o700)).unwrap();
        for entry in std::fs::read_dir(Path::new(GOLDEN).join(&folder)).unwrap() {
            let path = folder.join(entry.unwrap().file_name());
            let ending = path.extension().unwrap_or_default().to_owned();
            if Path::new(GOLDEN).join(&path).is_dir() {
                folders.push(path);
            } else if ending != "countersignature" {
                std::fs::copy(Path::new(GOLDEN).join(&path), root.join(&path)).unwrap();
                if ending == "manifest" {
                    place = Some(path);
                }
            }
        }
    }
    let manifest = place.unwrap();
    let part = |path: &Path| path.to_str().unwrap().to_owned();
    let instance = manifest.iter().nth(1).unwrap();
    let descriptor = std::fs::read_to_string(root.join("provado-repository.json")).unwrap();
    let first = descriptor.lines().next().unwrap();
    let descriptor: serde_json::Value = serde_json::from_str(first).unwrap();
    let place = BackupPlace {
        path: part(root),
        repository_id: descriptor["repository_id"].as_str().unwrap().to_owned(),
        instance_id: part(Path::new(instance)),
        backup_id: part(Path::new(manifest.file_stem().unwrap())),
    };
    let file = root.join(manifest.with_extension("countersignature"));
    (place, file)
}

fn ended(place: BackupPlace, signature: &[u8], sign_time: Timestamp) -> Ended {
    let (clock, entropy) = (SystemClock::shared(), SeededEntropy::new(1));
    let name = AttemptName {
        attempt: AttemptId::new(&*clock, &entropy),
        run: RunId::new(&*clock, &entropy),
        fence: 1,
    };
    let request = RequestId::new(&*clock, &entropy);
    let outcome = Outcome::default();
    let mut ended = Ended::new((name, 1), request, outcome, Vec::new(), Some(place));
    ended.word = Some(ControllerWord {
        signature: STANDARD.encode(signature),
        sign_time,
    });
    ended
}

/// What the controller signs about the backup of this place.
fn signed(place: &BackupPlace, key: &SigningKey, sign_time: Timestamp) -> Vec<u8> {
    let document = format!(
        "{}/instances/{}/backups/{}.json",
        place.path, place.instance_id, place.backup_id
    );
    let digest = provado_identity::sha256(&std::fs::read(document).unwrap());
    let instance = place.instance_id.parse().unwrap();
    let backup = place.backup_id.parse().unwrap();
    let message = statement::countersignature(instance, backup, &digest, sign_time);
    key.sign(&message).unwrap().to_vec()
}

#[tokio::test]
async fn what_the_controller_signed_is_stored_beside_the_backup_once() {
    let folder = tempfile::tempdir().unwrap();
    let (place, file) = repository(&folder.path().join("r"));
    let key = SigningKey::generate(&SeededEntropy::new(9)).unwrap();
    let time = Timestamp::from_microsecond(1_700_000_000_123_456).unwrap();
    let signature = signed(&place, &key, time);
    let ended = ended(place, &signature, time);
    let entropy = OsEntropy::shared();
    store(&ended, key.public_key(), &entropy).await.unwrap();
    let stored = std::fs::read(&file).unwrap();
    store(&ended, key.public_key(), &entropy).await.unwrap();
    assert_eq!(std::fs::read(&file).unwrap(), stored);
}

#[tokio::test]
async fn a_word_that_is_not_the_controllers_is_not_stored() {
    let folder = tempfile::tempdir().unwrap();
    let (place, file) = repository(&folder.path().join("r"));
    let key = SigningKey::generate(&SeededEntropy::new(9)).unwrap();
    let other = SigningKey::generate(&SeededEntropy::new(8)).unwrap();
    let time = Timestamp::from_second(1_700_000_000).unwrap();
    let entropy = OsEntropy::shared();
    let forged = signed(&place, &other, time);
    for signature in [forged.as_slice(), &[0; 64], b"short"] {
        let ended = ended(place.clone(), signature, time);
        let error = store(&ended, key.public_key(), &entropy).await.unwrap_err();
        assert!(!error.may_pass(), "{error}");
    }
    assert!(!file.exists());
}
