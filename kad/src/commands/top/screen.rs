//! The terminal: frames and keys.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::feed::News;
use super::model::{Model, Pane};
use super::view::View;
use crate::error::Failure;
use crate::signals::Signals;

/// The maximum delay of a frame after a key or news.
const FRAME: Duration = Duration::from_millis(100);
/// Lines of a page.
const PAGE: isize = 10;

/// Shows frames until the user quits. Restores the terminal before it returns, also after a signal.
pub(super) async fn run(news: Receiver<News>) -> Result<(), Failure> {
    let stop = Arc::new(AtomicBool::new(false));
    let told = stop.clone();
    let mut signals = Signals::catch()?;
    let waiter = tokio::spawn(async move {
        signals.next().await;
        told.store(true, Ordering::Relaxed);
    });
    let shown = tokio::task::spawn_blocking(move || {
        let terminal = ratatui::try_init().map_err(Failure::System)?;
        let result = show(terminal, &news, &stop);
        ratatui::restore();
        result.map_err(Failure::System)
    });
    let result = shown.await.unwrap_or_else(|error| Err(Failure::System(error.into())));
    waiter.abort();
    result
}

fn show(mut terminal: DefaultTerminal, news: &Receiver<News>, stop: &AtomicBool) -> std::io::Result<()> {
    let mut model = Model::default();
    while !stop.load(Ordering::Relaxed) {
        for piece in news.try_iter().collect::<Vec<_>>() {
            if !model.is_paused {
                model.hear(piece, Instant::now());
            }
        }
        terminal.draw(|frame| frame.render_widget(View { model: &mut model, is_live: true }, frame.area()))?;
        if !event::poll(FRAME)? {
            continue;
        }
        // A resize is seen by the next frame.
        if let Event::Key(key) = event::read()?
            && key.kind == KeyEventKind::Press
            && press(&mut model, key)
        {
            return Ok(());
        }
    }
    Ok(())
}

/// Handles a key. Returns whether it ends the program.
pub(super) fn press(model: &mut Model, key: KeyEvent) -> bool {
    let is_control = key.modifiers.contains(KeyModifiers::CONTROL);
    match key.code {
        KeyCode::Char('c') if is_control => return true,
        KeyCode::Char('q') => return true,
        KeyCode::Esc if model.is_helping => model.is_helping = false,
        KeyCode::Esc => return true,
        KeyCode::Char('?' | 'h') => model.is_helping = !model.is_helping,
        KeyCode::Char('p' | ' ') => model.is_paused = !model.is_paused,
        KeyCode::Tab | KeyCode::BackTab | KeyCode::Left | KeyCode::Right => {
            model.pane = if model.pane == Pane::Operations { Pane::Contacts } else { Pane::Operations };
        }
        KeyCode::Up | KeyCode::Char('k') => model.move_by(-1),
        KeyCode::Down | KeyCode::Char('j') => model.move_by(1),
        KeyCode::PageUp => model.move_by(-PAGE),
        KeyCode::PageDown => model.move_by(PAGE),
        KeyCode::Home | KeyCode::Char('g') => model.move_by(isize::MIN),
        KeyCode::End | KeyCode::Char('G') => model.move_by(isize::MAX),
        _ => {}
    }
    false
}
