//! The table in the documentation.

use std::fmt::Write;
use std::fs;
use std::path::PathBuf;

use super::elf::Sizes;
use crate::chores::root;

/// What figures may grow by before somebody must say that it is right, in percent.
const GROWTH: u64 = 2;
/// The stack's depth depends on when interrupts come: it may grow by so many bytes.
const STACK_GROWTH: u64 = 512;

/// What precedes the table.
const TEXT: &str = "\
# Footprint

Bytes of memory that boards need. Measured by `cargo xtask footprint`, which fails when one of the figures has grown by more than
2 %, or the stack by more than 512 bytes; `cargo xtask footprint --update` writes this file.

`firmware` is an application of `examples/firmware` with driver, log and command line. `node alone` is the program `footprint`: the
same node and network stack, linked for a board that does not exist, without driver, log and messages of panics, so that cores can
be compared. `kad` and `network` are those functions and constants of the flash whose names begin with kad's crates, and with those
of smoltcp and embassy-net; what the optimiser has moved into others counts as theirs. The rest is hash functions, `core`, constants
without names, and the application. The deepest stack is that of a run on an emulated board, in which a node joins, stores and finds.

";

const HEAD: [&str; 8] = ["program", "target", "profile", "flash", "kad", "network", "static RAM", "deepest stack"];

/// A line of the table.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Row {
    /// Program, target, profile.
    what: [String; 3],
    /// As in [`HEAD`]; `None` where nothing was measured.
    figures: [Option<u64>; 5],
}

impl Row {
    pub(crate) fn new(program: &str, target: &str, profile: &str, sizes: &Sizes, stack: Option<u64>) -> Self {
        let what = [program, target, profile].map(str::to_owned);
        let figures = [Some(sizes.flash), Some(sizes.kad), Some(sizes.network), Some(sizes.ram), stack];
        Self { what, figures }
    }

    fn parse(line: &str) -> Option<Self> {
        let mut cells = line.trim().strip_prefix('|')?.split('|').map(str::trim);
        let what = [cells.next()?, cells.next()?, cells.next()?].map(str::to_owned);
        let mut figures = [None; 5];
        for figure in &mut figures {
            let cell = cells.next()?;
            *figure = if cell.is_empty() { None } else { Some(cell.replace(',', "").parse().ok()?) };
        }
        Some(Self { what, figures })
    }

    /// Which figures are larger than they may be.
    fn growth(&self, measured: &Self) -> Vec<String> {
        let pairs = self.figures.iter().zip(&measured.figures).zip(&HEAD[3..]);
        let grown = pairs.filter_map(|((before, now), name)| {
            let (before, now) = ((*before)?, (*now)?);
            let limit = before + if *name == "deepest stack" { STACK_GROWTH } else { before * GROWTH / 100 };
            (now > limit).then(|| format!("{}: {name} has grown from {before} to {now}", self.what.join(" ")))
        });
        grown.collect()
    }
}

/// All figures.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Table(pub(crate) Vec<Row>);

impl Table {
    fn path() -> PathBuf {
        root().join("docs/footprint.md")
    }

    /// Reads the table of the documentation.
    pub(crate) fn load() -> Result<Self, String> {
        let path = Self::path();
        let text = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(Self::parse(&text))
    }

    fn parse(text: &str) -> Self {
        Self(text.lines().filter_map(Row::parse).collect())
    }

    /// Writes the documentation.
    pub(crate) fn save(&self) -> Result<(), String> {
        let path = Self::path();
        fs::write(&path, format!("{TEXT}{}", self.rows())).map_err(|error| format!("{}: {error}", path.display()))
    }

    /// As Markdown.
    pub(crate) fn rows(&self) -> String {
        let mut text = format!("| {} |\n|---|---|---|--:|--:|--:|--:|--:|\n", HEAD.join(" | "));
        for row in &self.0 {
            let figures = row.figures.map(|figure| figure.map(grouped).unwrap_or_default());
            // Writing to a string does not fail.
            let _ = writeln!(text, "| {} | {} |", row.what.join(" | "), figures.join(" | "));
        }
        text
    }

    /// What has grown, and what is in one of the two only.
    pub(crate) fn compare(&self, measured: &Self) -> Vec<String> {
        let mut wrong = Vec::new();
        for row in &self.0 {
            match measured.0.iter().find(|other| other.what == row.what) {
                Some(now) => wrong.extend(row.growth(now)),
                None => wrong.push(format!("{} was not measured", row.what.join(" "))),
            }
        }
        let unknown = measured.0.iter().filter(|row| !self.0.iter().any(|known| known.what == row.what));
        wrong.extend(unknown.map(|row| format!("{} is not in docs/footprint.md", row.what.join(" "))));
        wrong
    }
}

/// A number with commas between thousands.
fn grouped(number: u64) -> String {
    match number {
        0..1000 => number.to_string(),
        _ => format!("{},{:03}", grouped(number / 1000), number % 1000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(flash: u64, stack: u64) -> Table {
        let sizes = Sizes { flash, kad: 10_000, network: 20_000, ram: 1_234_567 };
        Table(vec![
            Row::new("firmware", "arm", "small", &sizes, Some(stack)),
            Row::new("alone", "arm", "small", &sizes, None),
        ])
    }

    #[test]
    fn what_is_written_can_be_read() {
        let table = table(100_000, 900);
        assert_eq!(Table::parse(&format!("{TEXT}{}", table.rows())), table);
    }

    #[test]
    fn growth_is_named_beyond_the_limit_only() {
        let before = table(100_000, 900);
        assert_eq!(before.compare(&table(102_000, 1412)), [""; 0]);
        assert_eq!(before.compare(&table(50_000, 100)), [""; 0]);
        let grown = before.compare(&table(102_001, 1413));
        assert_eq!(grown.len(), 3, "{grown:?}");
        assert_eq!(grown[0], "firmware arm small: flash has grown from 100000 to 102001");
        assert_eq!(before.compare(&Table(Vec::new())).len(), 2);
        assert_eq!(Table(Vec::new()).compare(&before).len(), 2);
    }
}
