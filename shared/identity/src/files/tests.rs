use super::*;
use std::os::unix::fs::symlink;

fn mode_of(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().mode() & 0o7777
}

fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

fn private_temp() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    set_mode(directory.path(), 0o700);
    directory
}

#[test]
fn a_secret_is_private_and_replaced_whole() {
    let home = private_temp();
    let path = home.path().join("key");
    write_private(&path, b"one").unwrap();
    write_private(&path, b"second").unwrap();
    assert_eq!(read_private(&path).unwrap().as_slice(), b"second");
    assert_eq!(mode_of(&path), 0o600);
    let names: Vec<_> = std::fs::read_dir(home.path()).unwrap().collect();
    assert_eq!(names.len(), 1, "no temporary file stays behind");
}

#[test]
fn a_leftover_of_a_crash_does_not_stop_the_next_write() {
    let home = private_temp();
    let path = home.path().join("key");
    std::fs::write(home.path().join(".key.new"), b"half").unwrap();
    write_private(&path, b"whole").unwrap();
    assert_eq!(read_private(&path).unwrap().as_slice(), b"whole");
}

#[test]
fn every_mode_that_lets_others_in_is_refused() {
    let home = private_temp();
    let path = home.path().join("key");
    write_private(&path, b"secret").unwrap();
    for bit in 0..6 {
        set_mode(&path, 0o600 | (1 << bit));
        let error = read_private(&path).unwrap_err();
        assert!(matches!(error, FileError::ModeTooWide { .. }), "{error}");
    }
    set_mode(&path, 0o400);
    assert!(read_private(&path).is_ok());
    for bit in 0..6 {
        set_mode(home.path(), 0o700 | (1 << bit));
        let error = write_private(&path, b"x").unwrap_err();
        assert!(matches!(error, FileError::ModeTooWide { .. }), "{error}");
    }
    set_mode(home.path(), 0o700);
    assert_eq!(read_private(&path).unwrap().as_slice(), b"secret");
}

#[test]
fn a_link_a_directory_and_a_giant_are_refused() {
    let home = private_temp();
    let target = home.path().join("key");
    write_private(&target, b"secret").unwrap();
    let link = home.path().join("link");
    symlink(&target, &link).unwrap();
    let error = read_private(&link).unwrap_err();
    assert!(matches!(error, FileError::WrongType { .. }), "{error}");
    let error = read_private(home.path()).unwrap_err();
    assert!(matches!(error, FileError::WrongType { .. }), "{error}");
    let size = usize::try_from(SECRET_BYTES_MAX).unwrap();
    write_private(&target, &vec![0; size]).unwrap();
    assert_eq!(read_private(&target).unwrap().len(), size);
    write_private(&target, &vec![0; size + 1]).unwrap();
    let error = read_private(&target).unwrap_err();
    assert!(matches!(error, FileError::TooLarge { .. }), "{error}");
    assert!(
        read_private(&home.path().join("none"))
            .unwrap_err()
            .is_not_found()
    );
}

#[test]
fn a_file_of_another_user_is_refused() {
    let home = private_temp();
    let path = home.path().join("key");
    write_private(&path, b"secret").unwrap();
    if rustix::process::geteuid().is_root() {
        std::os::unix::fs::chown(&path, Some(12_345), None).unwrap();
        let error = read_private(&path).unwrap_err();
        assert!(matches!(error, FileError::ForeignOwner { .. }), "{error}");
    } else {
        // Without the right to give files away the other user's file is one that the system has.
        assert!(read_private(Path::new("/etc/hostname")).is_err());
    }
}

#[test]
fn a_set_appears_whole_or_not_at_all() {
    let home = private_temp();
    let path = home.path().join("a/b/keys");
    create_private_set(&path, &[("one", b"1"), ("two", b"2")]).unwrap();
    assert_eq!(read_private(&path.join("two")).unwrap().as_slice(), b"2");
    assert_eq!(mode_of(&path), 0o700);
    let error = create_private_set(&path, &[("one", b"other")]).unwrap_err();
    assert!(matches!(error, FileError::Exists { .. }), "{error}");
    assert_eq!(read_private(&path.join("one")).unwrap().as_slice(), b"1");

    let empty = home.path().join("empty");
    create_private_dir(&empty).unwrap();
    std::fs::create_dir(home.path().join(".empty.new")).unwrap();
    create_private_set(&empty, &[("one", b"1")]).unwrap();
    assert_eq!(read_private(&empty.join("one")).unwrap().as_slice(), b"1");
}
