//! `kad top`: a live view of a daemon.

mod feed;
mod model;
mod screen;
#[cfg(test)]
mod tests;
mod view;
mod walk;

use std::io::IsTerminal as _;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Instant;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::widgets::Widget as _;
use serde_json::json;

use super::Peer;
use crate::args::Top;
use crate::client::Place;
use crate::error::Failure;
use crate::output;
use feed::News;
use model::Model;
use view::View;

/// The size without a terminal: the classic terminal size.
const SIZE: (u16, u16) = (80, 24);

pub(crate) async fn run(args: Top) -> Result<(), Failure> {
    // The first request runs before the screen changes, so that failures are printed.
    let Peer::Daemon(client) = Peer::of(&args.target).await? else {
        return Err(Failure::Setting("a short-lived node has nothing to show: omit --bootstrap".into()));
    };
    client.status()?;
    let news = feed::follow(Place::of(&args.target)?, args.interval, args.target.timeout);
    let is_shown = std::io::stdout().is_terminal() && std::io::stdin().is_terminal();
    if args.output.json || args.once || !is_shown {
        return once(&args, &news);
    }
    screen::run(news).await
}

/// One frame, or one object, once there are rates.
fn once(args: &Top, news: &Receiver<News>) -> Result<(), Failure> {
    let (mut model, deadline) = (Model::default(), Instant::now() + args.target.timeout + args.interval);
    while !model.is_complete() {
        match news.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(piece) => model.hear(piece, Instant::now()),
            Err(RecvTimeoutError::Timeout) => return Err(Failure::Timeout),
            Err(RecvTimeoutError::Disconnected) => return Err(Failure::System(std::io::ErrorKind::BrokenPipe.into())),
        }
        if let Some(failure) = model.lost.take() {
            return Err(failure);
        }
    }
    if args.output.json {
        return output::json(&json!({
            "status": model.status, "ready": model.ready, "rates": model.rates.back(), "peers": model.peers,
            "operations": model.operations,
        }));
    }
    let mut frame = Buffer::empty(Rect::new(0, 0, SIZE.0, SIZE.1));
    View { model: &mut model, is_live: false }.render(frame.area, &mut frame);
    output::line(&text(&frame))
}

/// A frame as lines.
fn text(frame: &Buffer) -> String {
    let line = |y| {
        let cells = (0..frame.area.width).filter_map(|x| frame.cell((x, y)).map(ratatui::buffer::Cell::symbol));
        cells.collect::<String>().trim_end().to_owned()
    };
    (0..frame.area.height).map(line).collect::<Vec<_>>().join("\n")
}
