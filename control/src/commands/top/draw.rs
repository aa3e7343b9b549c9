//! A picture on a terminal, of whatever size: what does not fit is left out from the end.

use ratatui::Frame;
use ratatui::layout::{Constraint, Rect};
use ratatui::style::{Color, Style};
use ratatui::text::{Line, Text};
use ratatui::widgets::{self, Paragraph, Table};

use super::view::{Row, Section, Tone, View};

/// Draws all of it.
pub fn draw(frame: &mut Frame<'_>, view: &View) {
    let head: Vec<Line<'_>> = view.head.iter().map(|(text, tone)| Line::styled(text.as_str(), style(*tone))).collect();
    let mut rest = frame.area();
    frame.render_widget(Paragraph::new(Text::from(head)), take(&mut rest, view.head.len()));
    for section in &view.sections {
        frame.render_widget(table(section), take(&mut rest, section.rows.len() + 1));
    }
}

/// The next so many lines, with an empty one below, or what there is of them.
fn take(rest: &mut Rect, lines: usize) -> Rect {
    let height = u16::try_from(lines + 1).unwrap_or(u16::MAX).min(rest.height);
    let taken = Rect { height, ..*rest };
    (rest.y, rest.height) = (rest.y + height, rest.height - height);
    taken
}

fn table(section: &Section) -> Table<'_> {
    let last = section.columns.len() - 1;
    let widths = section.columns.iter().enumerate().map(|(at, &(_, width))| {
        if at == last && width == 0 { Constraint::Fill(1) } else { Constraint::Length(width) }
    });
    // What people compare stands under each other: numbers to the right, names to the left.
    let aligned = |at: usize, text: &str| {
        let line = Line::raw(text.to_owned());
        if at == 0 || section.columns[at].1 == 0 { line } else { line.right_aligned() }
    };
    let heads = section.columns.iter().enumerate().map(|(at, (name, _))| aligned(at, name));
    let heads = widgets::Row::new(heads).style(Style::new().bold());
    let rows = section.rows.iter().map(|Row { cells, tone }| {
        let cells = cells.iter().enumerate().map(|(at, cell)| aligned(at, cell));
        widgets::Row::new(cells).style(style(*tone))
    });
    Table::new(rows, widths).header(heads).column_spacing(1)
}

fn style(tone: Tone) -> Style {
    match tone {
        Tone::Plain => Style::new(),
        Tone::Alarm => Style::new().fg(Color::Red),
    }
}
