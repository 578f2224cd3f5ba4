//! What commands print: plain tables, marks, sizes and durations.
//!
//! Colour only where a person looks: standard output is a terminal, `NO_COLOR` is not set and
//! `TERM` is not `dumb`. Nothing depends on it: a mark says in letters what its colour says.

use std::fmt;
use std::io::IsTerminal;

pub use crate::config::units::{exact_duration, exact_size, human_duration, human_size, parse_duration, parse_size};

/// Whether to use colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Colour {
    /// Plain text.
    Off,
    /// ANSI escape sequences.
    On,
}

impl Colour {
    /// What standard output can show.
    pub fn of_stdout() -> Self {
        let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
            || std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        if !unwanted && std::io::stdout().is_terminal() { Self::On } else { Self::Off }
    }
}

/// How a cell is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Tone {
    /// Ordinary text.
    #[default]
    Plain,
    /// As it should be.
    Good,
    /// Worth a look.
    Warning,
    /// Wrong.
    Bad,
    /// Less important.
    Faint,
    /// A heading.
    Strong,
}

impl Tone {
    fn code(self) -> Option<&'static str> {
        match self {
            Self::Plain => None,
            Self::Good => Some("32"),
            Self::Warning => Some("33"),
            Self::Bad => Some("1;31"),
            Self::Faint => Some("2"),
            Self::Strong => Some("1"),
        }
    }

    /// The text in this tone, if colour is on.
    pub fn paint(self, text: &str, colour: Colour) -> String {
        match (self.code(), colour) {
            (Some(code), Colour::On) => format!("\x1b[{code}m{text}\x1b[0m"),
            _ => text.to_owned(),
        }
    }
}

/// On which side of its column a cell stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Align {
    /// Texts.
    #[default]
    Left,
    /// Numbers.
    Right,
}

/// A cell of a [`Table`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Cell {
    text: String,
    tone: Tone,
}

impl Cell {
    /// A text in a tone. Control characters go, since what is printed may come from elsewhere
    /// and a terminal obeys them.
    pub fn new(text: impl AsRef<str>, tone: Tone) -> Self {
        let text = text.as_ref().chars().map(|c| if c.is_control() { ' ' } else { c });
        Self { text: text.collect(), tone }
    }

    fn width(&self) -> usize {
        self.text.chars().count()
    }
}

impl<T: AsRef<str>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self::new(text, Tone::Plain)
    }
}

/// A plain table: columns as wide as their widest cell, two blanks between, no lines.
///
/// ```
/// use causeway::terminal::{Align, Colour, Table};
///
/// let mut table = Table::new(&[("community", Align::Left), ("returned", Align::Right)]);
/// table.row(["North".into(), "4".into()]);
/// let text = table.render(Colour::Off);
/// assert_eq!(text, "community  returned\nNorth             4\n");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    heads: Vec<Cell>,
    aligns: Vec<Align>,
    rows: Vec<Vec<Cell>>,
}

impl Table {
    /// A table with these columns; if no heading has text, none is printed.
    pub fn new(columns: &[(&str, Align)]) -> Self {
        Self {
            heads: columns.iter().map(|(head, _)| Cell::new(head, Tone::Strong)).collect(),
            aligns: columns.iter().map(|(_, align)| *align).collect(),
            rows: Vec::new(),
        }
    }

    /// Adds a row; a cell without a column widens the table.
    pub fn row(&mut self, cells: impl IntoIterator<Item = Cell>) -> &mut Self {
        self.rows.push(cells.into_iter().collect());
        self
    }

    /// The table as text, each line ended.
    pub fn render(&self, colour: Colour) -> String {
        let headed = self.heads.iter().any(|head| !head.text.is_empty());
        let lines: Vec<&Vec<Cell>> = headed.then_some(&self.heads).into_iter().chain(&self.rows).collect();
        let mut widths: Vec<usize> = Vec::new();
        for line in &lines {
            for (column, cell) in line.iter().enumerate() {
                match widths.get_mut(column) {
                    Some(width) => *width = (*width).max(cell.width()),
                    None => widths.push(cell.width()),
                }
            }
        }
        let mut out = String::new();
        for line in lines {
            let mut written = String::new();
            // Padding waits for the next text, so that no line ends in blanks.
            let mut padding = 0;
            for (column, (cell, width)) in line.iter().zip(&widths).enumerate() {
                if column > 0 {
                    padding += 2;
                }
                let fill = width - cell.width();
                let align = self.aligns.get(column).copied().unwrap_or_default();
                if align == Align::Right {
                    padding += fill;
                }
                if !cell.text.is_empty() {
                    written.extend(std::iter::repeat_n(' ', padding));
                    written.push_str(&cell.tone.paint(&cell.text, colour));
                    padding = 0;
                }
                if align == Align::Left {
                    padding += fill;
                }
            }
            out.push_str(&written);
            out.push('\n');
        }
        out
    }
}

impl fmt::Display for Table {
    /// Without colour.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(Colour::Off))
    }
}

/// A number with its noun: `1 warning`, `3 warnings`.
pub fn counted(number: usize, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{plural}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_character_count() {
        let mut table = Table::new(&[("name", Align::Left), ("ms", Align::Right), ("", Align::Left)]);
        table.row(["Süd-Ost".into(), "8".into(), "x".into()]);
        table.row(["N".into(), "1234".into()]);
        table.row(["N".into(), "".into(), "wide".into(), "more".into()]);
        assert_eq!(table.to_string(), "name       ms\nSüd-Ost     8  x\nN        1234\nN              wide  more\n");
    }

    #[test]
    fn colour_changes_no_width() {
        let mut table = Table::new(&[("", Align::Left), ("", Align::Left)]);
        table.row([Cell::new("ok", Tone::Good), "a".into()]);
        table.row([Cell::new("FAIL", Tone::Bad), "b".into()]);
        assert_eq!(table.to_string(), "ok    a\nFAIL  b\n");
        assert_eq!(table.render(Colour::On), "\x1b[32mok\x1b[0m    a\n\x1b[1;31mFAIL\x1b[0m  b\n");
    }

    #[test]
    fn what_comes_from_elsewhere_cannot_steer_the_terminal() {
        let mut table = Table::new(&[("", Align::Left)]);
        table.row(["a\x1b[2Jb\r\nc".into()]);
        assert_eq!(table.to_string(), "a [2Jb  c\n");
    }

    #[test]
    fn nouns() {
        assert_eq!(counted(1, "warning"), "1 warning");
        assert_eq!(counted(0, "warning"), "0 warnings");
    }
}
