//! The generated part of docs/numbers.md, from a file of results.

mod plots;

use std::fs;
use std::path::Path;

use crate::failure::Failure;
use crate::results::Results;

/// What stands around the generated part.
const BEGIN: &str = "<!-- kad-bench report: begin -->";
const END: &str = "<!-- kad-bench report: end -->";
/// Pictures, from the document on.
const PLOTS: &str = "plots";

/// Writes tables and pictures of `results` into the document, between its two markers.
pub(crate) fn write(results: &Path, document: &Path) -> Result<(), Failure> {
    let text = read(results)?;
    let not_results = |source| Failure::NotResults { file: results.into(), source };
    let results: Results = serde_json::from_str(&text).map_err(not_results)?;
    let old = read(document)?;
    let missing = |marker| Failure::NoMarkers { file: document.into(), marker };
    let (before, rest) = old.split_once(BEGIN).ok_or_else(|| missing(BEGIN))?;
    let (_, after) = rest.split_once(END).ok_or_else(|| missing(END))?;
    let directory = document.parent().unwrap_or(Path::new(".")).join(PLOTS);
    fs::create_dir_all(&directory).map_err(|source| Failure::File { file: directory.clone(), source })?;
    let pictures = plots::draw(&results, &directory)?;
    let new = format!("{before}{BEGIN}\n{}{END}{after}", section(&results, &pictures));
    fs::write(document, new).map_err(|source| Failure::File { file: document.into(), source })
}

fn read(file: &Path) -> Result<String, Failure> {
    fs::read_to_string(file).map_err(|source| Failure::File { file: file.into(), source })
}

fn section(results: &Results, pictures: &[plots::Picture]) -> String {
    let machine = &results.machine;
    let mut text = format!(
        "\n## Speed\n\n`cargo run --release -p kad-bench -- all --json > figures.json`, then `kad-bench report figures.json`. Measured on \
         {} ({} cores), Linux {}, version {}, {} seconds a figure; the load average was {:.1} before. Loopback only. Rates suffer \
         from whatever else runs; processor time does not, and ratios to a reference of the same run suffer less.\n\n",
        machine.processor, machine.cores, machine.kernel, machine.version, results.seconds, machine.load,
    );
    for table in results.tables() {
        text += &table.markdown();
        text += "\n";
    }
    for picture in pictures {
        text += &format!("![{}]({PLOTS}/{})\n\n", picture.title, picture.file);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bulk::Bulk;
    use crate::machine::Machine;

    #[test]
    fn a_report_replaces_what_is_between_the_markers_and_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        let (results, document) = (directory.path().join("figures.json"), directory.path().join("numbers.md"));
        let mut run = Results::new(Machine::here(), 3.0);
        run.bulk = Some(Bulk { nodes: 1000, alone: 40.0, in_bulk: 4.0, ratio: 0.1 });
        fs::write(&results, serde_json::to_string(&run).unwrap()).unwrap();
        fs::write(&document, format!("# Numbers\n{BEGIN}\nold\n{END}\nafter\n")).unwrap();
        write(&results, &document).unwrap();
        let new = fs::read_to_string(&document).unwrap();
        assert!(new.starts_with("# Numbers\n") && new.ends_with("\nafter\n") && !new.contains("old"));
        assert!(new.contains("| 1000 | 40.00 | 4.00 | 0.10 |"), "{new}");

        fs::write(&document, "# Numbers\n").unwrap();
        assert!(matches!(write(&results, &document), Err(Failure::NoMarkers { .. })));
        assert_eq!(fs::read_to_string(&document).unwrap(), "# Numbers\n");
        fs::write(&results, "{}").unwrap();
        assert!(matches!(write(&results, &document), Err(Failure::NotResults { .. })));
    }
}
