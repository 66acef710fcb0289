//! Tables, for terminals and for documents.

use comfy_table::presets::UTF8_HORIZONTAL_ONLY;

/// What a suite has to say.
pub(crate) struct Table {
    title: &'static str,
    head: Vec<&'static str>,
    rows: Vec<Vec<String>>,
    note: &'static str,
}

impl Table {
    pub(crate) fn new<const N: usize>(title: &'static str, head: [&'static str; N]) -> Self {
        Self { title, head: head.into(), rows: Vec::new(), note: "" }
    }

    /// Adds a row with as many cells as the head has.
    pub(crate) fn row<const N: usize>(&mut self, cells: [String; N]) {
        debug_assert_eq!(N, self.head.len());
        self.rows.push(cells.into());
    }

    /// What the reader must know.
    pub(crate) fn with_note(self, note: &'static str) -> Self {
        Self { note, ..self }
    }

    pub(crate) fn terminal(&self) -> String {
        let mut table = comfy_table::Table::new();
        table.load_style(UTF8_HORIZONTAL_ONLY).set_header(&self.head).add_rows(&self.rows);
        format!("{}\n{table}\n{}\n", self.title, self.note)
    }

    pub(crate) fn markdown(&self) -> String {
        let line = |cells: Vec<&str>| format!("| {} |\n", cells.join(" | "));
        let mut text = format!("### {}\n\n{}", self.title, line(self.head.clone()));
        text += &format!("|{}\n", "---|".repeat(self.head.len()));
        for row in &self.rows {
            text += &line(row.iter().map(String::as_str).collect());
        }
        format!("{text}\n{}\n", self.note)
    }
}

/// A number without a fraction, in groups of three digits.
pub(crate) fn count(number: f64) -> String {
    let digits = format!("{:.0}", number.max(0.0));
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A number with two digits after the point.
pub(crate) fn two(number: f64) -> String {
    format!("{number:.2}")
}

/// A share as a percentage.
pub(crate) fn percent(share: f64) -> String {
    format!("{:.0} %", share * 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_have_a_line_for_each_row() {
        let mut table = Table::new("Title", ["a", "b"]).with_note("Note.");
        table.row([count(1234567.4), two(1.005)]);
        assert_eq!(table.markdown(), "### Title\n\n| a | b |\n|---|---|\n| 1,234,567 | 1.00 |\n\nNote.\n");
        assert!(table.terminal().contains("1,234,567"));
        assert_eq!((count(999.0), count(1000.0), percent(0.126)), ("999".into(), "1,000".into(), "13 %".into()));
    }
}
