//! What a check needs of the encrypted objects: which entries a damage hits, and whether listing
//! and table say the same as the manifest.

use super::work::{State, Task, TaskKind};
use super::{Damage, DamageKind, Level, pack};
use crate::document::SignedDocument;
use crate::error::{Error, Result};
use crate::key::{BackupObject, Key};
use crate::keys::{Identity, decrypt_error};
use crate::limits::DAMAGE_ENTRIES_MAX;
use crate::table::Record;
use age::Decryptor;
use std::collections::BTreeSet;
use std::io::{BufReader, Read as _};

/// At level intact, with an identity at hand: finds the segments behind damaged bytes.
pub(super) fn locate(state: &State<'_>, document: &SignedDocument, tasks: &[Task]) -> Result<()> {
    if state.options.level != Level::Intact || state.options.identity.is_none() {
        return Ok(());
    }
    let found = state.damage_list();
    let damaged: Vec<Task> = tasks
        .iter()
        .filter(|task| matches!(task.kind, TaskKind::Pack(_)))
        .filter(|task| {
            let is_this = |d: &Damage| d.kind == DamageKind::Bytes && d.object == task.key.as_str();
            found.iter().any(is_this)
        })
        .cloned()
        .collect();
    if damaged.is_empty() {
        return Ok(());
    }
    match pack::locate(state, document, &damaged) {
        Ok(found) => found
            .into_iter()
            .for_each(|damage| state.add_damage(damage)),
        // The pack's damage is told already; only where in it is not known.
        Err(Error::Damaged { .. } | Error::WrongIdentity { .. }) => {}
        Err(error) => return Err(error),
    }
    Ok(())
}

/// Tells for every damage of a pack which entries need it, if an identity is at hand. Damage
/// without a place within its pack hits every entry that needs the pack, unless a place in the
/// same pack is known.
pub(super) fn add(state: &State<'_>, document: &SignedDocument) -> Result<()> {
    let Some(identity) = state.options.identity else {
        return Ok(());
    };
    let keys: Vec<String> = document
        .document
        .packs
        .iter()
        .map(|pack| Key::pack(document.document.instance_id, pack.pack_id).to_string())
        .collect();
    let mut found = state.damage_list();
    if !found.iter().any(|damage| keys.contains(&damage.object)) {
        return Ok(());
    }
    // With a manifest that cannot be read there are no names; that is told as damage of its own.
    let Ok(reader) = pack::open(state, document, identity) else {
        return Ok(());
    };
    let mut last: Vec<Option<u64>> = vec![None; found.len()];
    reader.for_each_place(|entry, record| {
        let index = usize::try_from(record.pack_index).unwrap_or(usize::MAX);
        let Some(key) = keys.get(index) else {
            return Ok(());
        };
        for (damage, last) in found.iter_mut().zip(&mut last) {
            let hit = damage.object == *key
                && damage
                    .segment
                    .is_none_or(|segment| segment.offset_bytes == record.offset_bytes);
            if !hit || *last == Some(entry.head.entry_index) {
                continue;
            }
            *last = Some(entry.head.entry_index);
            damage.entry_count += 1;
            if damage.entries.len() < DAMAGE_ENTRIES_MAX {
                damage.entries.push(entry.head.entry_name.clone());
            }
        }
        Ok(())
    })?;
    let narrow = |whole: &Damage, list: &[Damage]| {
        list.iter()
            .any(|damage| damage.object == whole.object && damage.segment.is_some())
    };
    let places: Vec<bool> = found
        .iter()
        .map(|damage| damage.segment.is_none() && narrow(damage, &found))
        .collect();
    for (damage, known) in found.iter_mut().zip(places) {
        if known {
            damage.entries.clear();
            damage.entry_count = 0;
        }
    }
    state.set_damage_list(found);
    Ok(())
}

/// Whether the listing decrypts and decompresses to its end.
pub(super) fn listing(
    state: &State<'_>,
    document: &SignedDocument,
    identity: &Identity,
) -> Result<()> {
    let key = Key::backup(document.document.backup(), BackupObject::Listing);
    let digest = &document.document.listing;
    let place = state.options.spool.clone();
    let read = state.repository.read_checked(&key, digest, place);
    let spool = match state.block_on(read) {
        Ok(spool) => spool,
        // That its bytes are others is found, and told, where every object is hashed.
        Err(Error::Damaged { .. } | Error::Missing { .. }) => return Ok(()),
        Err(error) => return state.add_error(&key, error),
    };
    let source = BufReader::with_capacity(1 << 17, spool.reader());
    let opened = Decryptor::new_buffered(source)
        .and_then(|d| d.decrypt(std::iter::once(identity.as_age())))
        .map_err(|e| decrypt_error(e, key.as_str()));
    let plain = match opened {
        Ok(plain) => plain,
        Err(error) => return state.add_error(&key, error),
    };
    let mut buffer = vec![0; 1 << 16];
    let read = zstd::stream::read::Decoder::new(plain).and_then(|mut reader| {
        while reader.read(&mut buffer)? > 0 {}
        Ok(())
    });
    if read.is_err() {
        let what = "it does not decrypt and decompress to its end";
        state.add_damage(Damage::of(DamageKind::Unreadable, &key, what));
    }
    Ok(())
}

/// Whether the table holds exactly the segments the manifest names.
pub(super) fn table(
    state: &State<'_>,
    document: &SignedDocument,
    named: &[BTreeSet<(u64, Record)>],
) -> Result<()> {
    let key = Key::backup(document.document.backup(), BackupObject::Segments);
    let place = state.options.spool.clone();
    let table = match state.block_on(state.repository.table(&document.document, place)) {
        Ok(table) => table,
        // That its bytes are others is found, and told, where every object is hashed.
        Err(Error::Damaged { .. } | Error::Missing { .. }) => return Ok(()),
        Err(error) => return state.add_error(&key, error),
    };
    let mut last = None;
    let mut fits = true;
    let walked = table.for_each(|record| {
        let index = usize::try_from(record.pack_index).unwrap_or(usize::MAX);
        let is_named = named
            .get(index)
            .is_some_and(|set| set.contains(&(record.offset_bytes, *record)));
        fits &= is_named && last < Some(*record);
        last = Some(*record);
        Ok(())
    });
    let count: usize = named.iter().map(BTreeSet::len).sum();
    if walked.is_err() || !fits || table.record_count() != count as u64 {
        let what = "it does not hold the segments that the manifest names";
        state.add_damage(Damage::of(DamageKind::Content, &key, what));
    }
    Ok(())
}
