//! `cutline top`: a living picture of a system, or the last one of a dead process, from shared memory alone.
//!
//! It maps the counters read-only, anew for each picture, so that a restart of the system is followed; the system does not notice.
//! [`sample`] copies what is there, [`view`] says what it means between two samples, [`draw`] puts it on a terminal.

mod draw;
mod number;
mod sample;
mod view;

use std::io::{self, IsTerminal};
use std::time::{Duration, Instant};

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::{Failure, Outcome, print};
use crate::cli;
use sample::Sample;
use view::View;

/// Lines of a picture that is printed: more than there is to say. Those at the end that are empty are left out.
const PRINTED_LINES_MAX: u16 = 400;

/// `cutline top`
pub fn top(args: &cli::Top) -> Outcome {
    let first = Sample::take(&args.data)?;
    if args.once {
        return once(args, first);
    }
    if !io::stdout().is_terminal() || !io::stdin().is_terminal() {
        return Err(Failure::usage("standard input or output is no terminal: give --once for one picture as text"));
    }
    let mut terminal = ratatui::try_init().map_err(|error| terminal_failure(&error))?;
    let shown = live(args, &mut terminal, first);
    let restored = ratatui::try_restore();
    shown?;
    restored.map_err(|error| terminal_failure(&error))
}

fn terminal_failure(error: &io::Error) -> Failure {
    Failure::machine(format!("the terminal cannot be used: {error}; `cutline top DIR --once` needs none"))
}

/// One picture as text. Of a living process what happened within an interval, of a dead one since its start.
fn once(args: &cli::Top, first: Sample) -> Outcome {
    let view = if first.is_alive() {
        std::thread::sleep(Duration::from_millis(args.interval_ms));
        View::between(Some(&first), &Sample::take(&args.data)?)
    } else {
        View::between(None, &first)
    };
    let mut terminal = Terminal::new(TestBackend::new(args.width, PRINTED_LINES_MAX)).map_err(Failure::machine)?;
    terminal.draw(|frame| draw::draw(frame, &view)).map_err(Failure::machine)?;
    let buffer = terminal.backend().buffer();
    let lines = buffer.content().chunks(usize::from(args.width));
    let text: Vec<String> = lines.map(|cells| cells.iter().map(|cell| cell.symbol()).collect()).collect();
    let text: Vec<&str> = text.iter().map(|line| line.trim_end()).collect();
    print(text.join("\n").trim_end())
}

/// Pictures until somebody has seen enough.
fn live(args: &cli::Top, terminal: &mut ratatui::DefaultTerminal, first: Sample) -> Outcome {
    let interval = Duration::from_millis(args.interval_ms);
    let mut view = View::between(None, &first);
    let mut before = first;
    loop {
        terminal.draw(|frame| draw::draw(frame, &view)).map_err(|error| terminal_failure(&error))?;
        if quits_within(interval).map_err(|error| terminal_failure(&error))? {
            return Ok(());
        }
        match Sample::take(&args.data) {
            Ok(now) => {
                view = View::between(Some(&before), &now);
                before = now;
            }
            // The directory is gone, or a start is about to make the file: what was seen last stays.
            Err(failure) => view.says(failure.message),
        }
    }
}

/// Waits for the time of the next picture; true if a key asks for the end. A change of the terminal's size is a reason to draw at once.
fn quits_within(interval: Duration) -> io::Result<bool> {
    let began = Instant::now();
    loop {
        if !event::poll(interval.saturating_sub(began.elapsed()))? {
            return Ok(false);
        }
        match event::read()? {
            Event::Key(key) if quits(key) => return Ok(true),
            Event::Resize(..) => return Ok(false),
            _ => {}
        }
    }
}

fn quits(key: KeyEvent) -> bool {
    let interrupt = key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL);
    key.kind == KeyEventKind::Press && (matches!(key.code, KeyCode::Char('q') | KeyCode::Esc) || interrupt)
}

#[cfg(test)]
mod tests;
