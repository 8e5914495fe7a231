//! The one place that writes to standard output and standard error.

use std::io::{self, Write as _};

/// Writes a line to standard output. A reader that has gone (`| head`) is no
/// error.
pub fn line(text: impl AsRef<str>) {
    part(&format!("{}\n", text.as_ref()));
}

/// Writes a part of a line to standard output and shows it at once.
pub fn part(text: &str) {
    let mut out = io::stdout().lock();
    // Nobody is left to be told when standard output is closed.
    drop(out.write_all(text.as_bytes()).and_then(|()| out.flush()));
}

/// Writes a line to standard error: what is for the person and not for the
/// program that reads the output.
pub fn note(text: impl AsRef<str>) {
    let mut err = io::stderr().lock();
    drop(writeln!(err, "{}", text.as_ref()));
}

/// Rows under headings, in columns as wide as they need to be.
pub fn table(headings: &[&str], rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        let heading = headings.get(column).map_or(0, |heading| heading.chars().count());
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0).max(heading)
    };
    let widths: Vec<usize> = (0..headings.len()).map(width).collect();
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let padded: Vec<String> =
            cells.zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        padded.join("  ").trim_end().to_owned()
    };
    let mut lines = vec![line(&mut headings.iter().copied())];
    lines.extend(rows.iter().map(|row| line(&mut row.iter().map(String::as_str))));
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = vec![vec!["a".to_owned(), "1".to_owned()], vec!["long".into(), "22".into()]];
        assert_eq!(super::table(&["NAME", "N"], &rows), "NAME  N\na     1\nlong  22");
    }
}
