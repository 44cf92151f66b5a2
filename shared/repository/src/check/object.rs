//! One object against its size and SHA-256.

use super::work::{State, Task};
use super::{Damage, DamageKind};
use crate::error::{Error, Result};
use crate::hash::Sha256;
use crate::repository::absent_or;

/// Whether the object is there with the right size, and the right SHA-256 where the backend keeps
/// one that it checked itself.
pub(super) fn present(state: &State<'_>, task: &Task) -> Result<()> {
    let key = &task.key;
    let found = state.block_on(async {
        let info = state.repository.backend.head(key).await;
        info.map_err(Error::backend(format!("looking at {key}")))
    })?;
    let damage = match found {
        None => Damage::of(DamageKind::Missing, key, "it is missing"),
        Some(info) if info.size_bytes != task.bytes => wrong_size(task, info.size_bytes),
        Some(info) if info.sha256.is_some_and(|sha256| sha256 != task.sha256) => wrong_bytes(task),
        Some(_) => return Ok(()),
    };
    state.add_damage(damage);
    Ok(())
}

/// Reads the object to its end, shows every chunk to `take`, and holds all against the SHA-256.
pub(super) fn intact(
    state: &State<'_>,
    task: &Task,
    mut take: impl FnMut(&[u8]) -> Result<()>,
) -> Result<()> {
    let key = &task.key;
    let mut body = state.block_on(async {
        let body = state.repository.backend.get(key, None).await;
        body.map_err(|error| absent_or(error, key, format!("reading {key}")))
    })?;
    if body.length() != task.bytes {
        state.add_damage(wrong_size(task, body.length()));
        return Ok(());
    }
    let mut digest = Sha256::default();
    let mut length = 0;
    loop {
        let chunk = state.block_on(async {
            let chunk = body.chunk().await;
            chunk.map_err(Error::backend(format!("reading {key}")))
        })?;
        let Some(chunk) = chunk else {
            break;
        };
        digest.update(&chunk);
        length += chunk.len() as u64;
        take(&chunk)?;
        state.add_bytes(chunk.len() as u64);
    }
    if length != task.bytes {
        state.add_damage(wrong_size(task, length));
    } else if digest.finish() != task.sha256 {
        state.add_damage(wrong_bytes(task));
    }
    Ok(())
}

fn wrong_size(task: &Task, found: u64) -> Damage {
    let expected = task.bytes;
    let what = format!("it has {found} bytes where {expected} were written");
    Damage::of(DamageKind::Size, &task.key, what)
}

fn wrong_bytes(task: &Task) -> Damage {
    let what = "its SHA-256 is not that of what was written";
    Damage::of(DamageKind::Bytes, &task.key, what)
}
