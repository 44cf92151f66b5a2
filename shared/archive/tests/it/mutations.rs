//! The corpus of the fuzz target, damaged by a seeded generator as libFuzzer would damage it, and
//! taken through everything: an ordinary test, so that nobody needs the fuzzer to have it run.

use crate::collect::exercise;
use crate::corpus::corpus;

/// Damaged archives tried of each corpus file.
const ROUNDS: u64 = 2_500;
/// Most that the whole test may have in memory, whatever lengths the archives claim.
const MEMORY_KIB_MAX: u64 = 512 * 1024;

/// Repeatable choices (SplitMix64, Steele et al. 2014).
struct Choices(u64);

impl Choices {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound.max(1) as u64).unwrap()
    }
}

/// Values at which lengths and counts go wrong.
const EXTREMES: &[[u8; 4]] = &[
    [0, 0, 0, 0],
    [1, 0, 0, 0],
    [0xff, 0xff, 0xff, 0x7f],
    [0xff, 0xff, 0xff, 0xff],
    [0, 0, 0, 0x80],
    [0, 0, 1, 0],
];

fn mutate(bytes: &mut Vec<u8>, other: &[u8], choices: &mut Choices) {
    let at = choices.below(bytes.len());
    let end = (at + 1 + choices.below(300)).min(bytes.len());
    match choices.below(9) {
        0 => bytes[at] ^= 1 << choices.below(8),
        1 => bytes[at] = choices.next().to_le_bytes()[0],
        2 => drop(bytes.drain(at..end)),
        3 => {
            let copy = bytes[at..end].to_vec();
            let to = choices.below(bytes.len());
            drop(bytes.splice(to..to, copy));
        }
        4 => {
            let from = choices.below(other.len());
            let part = &other[from..(from + end - at).min(other.len())];
            drop(bytes.splice(at..end, part.iter().copied()));
        }
        5 => {
            let extreme = EXTREMES[choices.below(EXTREMES.len())];
            let end = (at + extreme.len()).min(bytes.len());
            bytes[at..end].copy_from_slice(&extreme[..end - at]);
        }
        6 => bytes[at..end].reverse(),
        7 => bytes.truncate(at.max(1)),
        _ => {
            let value = choices.next().to_le_bytes()[0];
            bytes[at..end].fill(value);
        }
    }
}

fn check(major: u32) {
    let (whole, other) = (corpus(major), corpus(if major == 15 { 18 } else { 15 }));
    let mut choices = Choices(u64::from(major));
    let mut whole_ones = 0;
    for _ in 0..ROUNDS {
        let mut bytes = whole.clone();
        for _ in 0..=choices.below(4) {
            if !bytes.is_empty() {
                mutate(&mut bytes, &other, &mut choices);
            }
        }
        let slice = match choices.below(3) {
            0 => usize::MAX,
            1 => 1 + choices.below(100),
            _ => 1 + choices.below(10_000),
        };
        whole_ones += u32::from(exercise(&bytes, slice).is_some());
    }
    assert!(
        whole_ones > 10,
        "damage within payload leaves an archive that can be read: {whole_ones}"
    );
    let peak = memory_peak_kib();
    assert!(peak < MEMORY_KIB_MAX, "{peak} KiB were in memory at once");
}

/// The most this process ever had in memory.
fn memory_peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let line = line.unwrap().trim().trim_end_matches(" kB");
    line.parse().unwrap()
}

#[test]
fn mutations_of_postgres_15_neither_panic_nor_take_memory() {
    check(15);
}

#[test]
fn mutations_of_postgres_16_neither_panic_nor_take_memory() {
    check(16);
}

#[test]
fn mutations_of_postgres_18_neither_panic_nor_take_memory() {
    check(18);
}
