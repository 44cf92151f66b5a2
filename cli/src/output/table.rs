//! Plain tables: a header, columns as wide as they need, numbers to the right.

/// A column: its heading and how it is set.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Column {
    /// Text, set left.
    Left(&'static str),
    /// A figure, set right.
    Right(&'static str),
}

/// Rows under headings.
#[derive(Debug)]
pub(crate) struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// An empty table.
    pub(crate) fn new(columns: &[Column]) -> Self {
        Self {
            columns: columns.to_vec(),
            rows: Vec::new(),
        }
    }

    /// Adds a row; a missing cell is empty.
    pub(crate) fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.rows.push(cells.map(|cell| one_line(&cell)).to_vec());
    }

    /// Whether it has no rows.
    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Its lines, headings first; nothing for a table without rows.
    pub(crate) fn lines(&self) -> Vec<String> {
        if self.rows.is_empty() {
            return Vec::new();
        }
        let widths: Vec<usize> = self
            .columns
            .iter()
            .enumerate()
            .map(|(index, column)| {
                let cells = self.rows.iter().filter_map(|row| row.get(index));
                cells
                    .map(|cell| width(cell))
                    .max()
                    .unwrap_or(0)
                    .max(width(column.heading()))
            })
            .collect();
        let headings: Vec<String> = self
            .columns
            .iter()
            .map(|column| column.heading().to_owned())
            .collect();
        std::iter::once(&headings)
            .chain(&self.rows)
            .map(|row| self.set(row, &widths))
            .collect()
    }

    fn set(&self, row: &[String], widths: &[usize]) -> String {
        let mut out = String::new();
        for ((column, cell), width_wanted) in self.columns.iter().zip(row).zip(widths) {
            if !out.is_empty() {
                out.push_str("  ");
            }
            let space = " ".repeat(width_wanted.saturating_sub(width(cell)));
            match column {
                Column::Left(_) => {
                    out.push_str(cell);
                    out.push_str(&space);
                }
                Column::Right(_) => {
                    out.push_str(&space);
                    out.push_str(cell);
                }
            }
        }
        out.trim_end().to_owned()
    }
}

impl Column {
    fn heading(self) -> &'static str {
        match self {
            Self::Left(heading) | Self::Right(heading) => heading,
        }
    }
}

fn width(text: &str) -> usize {
    text.chars().count()
}

/// Names come from databases and may hold anything: what would break the line or steer the
/// terminal is shown escaped.
pub(crate) fn one_line(text: &str) -> String {
    text.chars()
        .flat_map(|c| {
            let escaped: Vec<char> = if c.is_control() || turns(c) {
                c.escape_default().collect()
            } else {
                vec![c]
            };
            escaped
        })
        .collect()
}

/// Whether the character changes the direction in which others are shown.
fn turns(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_hostile_names_stay_on_their_line() {
        let mut table = Table::new(&[Column::Left("NAME"), Column::Right("SIZE")]);
        table.row(["a\nb\u{1b}[2J".into(), "1 MiB".into()]);
        table.row(["shop".into(), "10.5 MiB".into()]);
        assert_eq!(
            table.lines(),
            [
                "NAME               SIZE",
                "a\\nb\\u{1b}[2J     1 MiB",
                "shop           10.5 MiB",
            ]
        );
    }
}
