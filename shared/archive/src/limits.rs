//! Every bound the parser puts on what an archive may claim. Never read from the archive itself.

/// Bounds on one archive. What passes one is refused with [`crate::ParseError::LimitExceeded`],
/// before memory is taken for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of header and table of contents together.
    pub toc_bytes_max: usize,
    /// Entries of the table of contents.
    pub entry_count_max: usize,
    /// Bytes of one string of the table of contents (a definition, a name).
    pub string_bytes_max: usize,
    /// Dependencies of one entry.
    pub dependency_count_max: usize,
    /// Bytes of one chunk of data. A COPY row is one chunk in PostgreSQL 15, up to 1 GiB.
    pub chunk_bytes_max: usize,
}

impl Default for Limits {
    /// 1 GiB of table of contents, 8,388,608 entries, 256 MiB a string, 1,048,576 dependencies an
    /// entry, and the largest chunk the format can say (2^31 - 1 bytes).
    fn default() -> Self {
        Self {
            toc_bytes_max: 1 << 30,
            entry_count_max: 1 << 23,
            string_bytes_max: 1 << 28,
            dependency_count_max: 1 << 20,
            chunk_bytes_max: (1 << 31) - 1,
        }
    }
}
