//! Any bytes through parser, segmenter, directory form, selection and export. The first byte says
//! how the rest is sliced.
#![no_main]

#[expect(dead_code, reason = "the tests use more of it")]
#[path = "../../tests/it/collect.rs"]
mod collect;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    if let Some((slice, bytes)) = input.split_first() {
        // An archive as it is starts with P: it comes in one slice.
        let slice = if *slice == b'P' {
            usize::MAX
        } else {
            usize::from(*slice)
        };
        let bytes = if slice == usize::MAX { input } else { bytes };
        collect::exercise(bytes, slice);
    }
});
