//! A frame: the model drawn in the available space.

use std::time::Duration;

use bytesize::ByteSize;
use kad_http::api::{Peer, Status, Step};
use ratatui::buffer::Buffer;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style, Stylize as _};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Clear, Paragraph, Row, Sparkline, Table, Widget};

use super::model::{Model, Pane, Rates};
use super::walk::{Operation, State};
use crate::output;

/// The smallest usable terminal.
const LEAST: (u16, u16) = (50, 14);
/// Lines of the help, with its frame.
const HELP: &[(&str, &str)] = &[
    ("q, Esc, Ctrl-C", "end"),
    ("?, h", "this help"),
    ("Tab, left, right", "operations or contacts"),
    ("up, down, k, j", "move; at the top the newest is followed"),
    ("PgUp, PgDn", "move by ten"),
    ("Home, End, g, G", "to the first, to the last"),
    ("p, space", "pause, go on"),
];

/// A frame of a model.
pub(super) struct View<'m> {
    pub(super) model: &'m mut Model,
    /// Whether there are keys to press.
    pub(super) is_live: bool,
}

impl Widget for View<'_> {
    fn render(self, area: Rect, frame: &mut Buffer) {
        let model = &*self.model;
        if area.width < LEAST.0 || area.height < LEAST.1 {
            return Line::from(format!("too small: at least {} by {}", LEAST.0, LEAST.1)).render(area, frame);
        }
        let rows = Layout::vertical(
            [2, 6].map(Constraint::Length).into_iter().chain([Constraint::Min(5), Constraint::Length(1)]),
        );
        let [head, numbers, lists, foot] = rows.areas(area);
        heading(model, head, frame);
        let [rates, node] = Layout::horizontal([Constraint::Fill(1), Constraint::Fill(1)]).areas(numbers);
        traffic(model, rates, frame);
        holdings(model, node, frame);
        let [left, right] = Layout::horizontal([Constraint::Fill(1), Constraint::Length(38)]).areas(lists);
        let [operations, walk] = Layout::vertical([Constraint::Fill(1), Constraint::Fill(1)]).areas(left);
        list_operations(model, operations, frame);
        list_steps(model.shown(), walk, frame);
        list_contacts(model, right, frame);
        if self.is_live {
            let paused = if model.is_paused { "  PAUSED" } else { "" };
            Line::from(format!("q end  ? help  Tab switch  arrows move  p pause{paused}")).dim().render(foot, frame);
        }
        if model.is_helping {
            help(area, frame);
        }
    }
}

fn boxed(title: impl Into<String>) -> Block<'static> {
    Block::bordered().title(Line::from(title.into()).bold())
}

fn heading(model: &Model, area: Rect, frame: &mut Buffer) {
    let [first, second] = Layout::vertical([Constraint::Length(1); 2]).areas(area);
    match &model.status {
        Some(status) => {
            let up = output::span(Duration::from_secs_f64(status.uptime_seconds));
            let text = format!("kad {}  {}  {}  up {up}", status.version, output::short(&status.id), status.address);
            Line::from(text).bold().render(first, frame);
        }
        None => Line::from("kad: waiting for the daemon").bold().render(first, frame),
    }
    let (word, why, colour) = match (&model.lost, &model.ready) {
        (Some(why), _) => ("LOST", why.to_string(), Color::Red),
        (None, Some(ready)) if ready.ready => ("READY", ready.reason.clone(), Color::Green),
        (None, Some(ready)) => ("NOT READY", ready.reason.clone(), Color::Red),
        (None, None) => ("...", String::new(), Color::Yellow),
    };
    let missed = match model.missed {
        0 => String::new(),
        missed => format!("  ({missed} events missed)"),
    };
    Line::from(vec![Span::from(word).fg(colour).bold(), format!("  {why}{missed}").into()]).render(second, frame);
}

fn traffic(model: &Model, area: Rect, frame: &mut Buffer) {
    let block = boxed("a second");
    let inner = block.inner(area);
    block.render(area, frame);
    let rates = model.rates.back().copied().unwrap_or_default();
    let [numbers, curve] = Layout::vertical([Constraint::Length(3), Constraint::Min(1)]).areas(inner);
    let bytes = |rate: f64| ByteSize::b(rate as u64).to_string();
    let line = |name, count: f64, size: f64| Line::from(format!("{name:<4}{count:>9.0} datagrams {:>10}", bytes(size)));
    let dropped = Line::from(format!("{:>8.1} operations {:>6.0} dropped", rates.operations, rates.dropped));
    let dropped = if rates.dropped > 0.0 { dropped.yellow() } else { dropped };
    let lines =
        [line("in", rates.datagrams_in, rates.bytes_in), line("out", rates.datagrams_out, rates.bytes_out), dropped];
    Paragraph::new(lines.to_vec()).render(numbers, frame);
    let both = |rates: &Rates| (rates.datagrams_in + rates.datagrams_out).round() as u64;
    let skipped = model.rates.len().saturating_sub(curve.width.into());
    let data: Vec<u64> = model.rates.iter().skip(skipped).map(both).collect();
    Sparkline::default().data(data).fg(Color::Cyan).render(curve, frame);
}

fn holdings(model: &Model, area: Rect, frame: &mut Buffer) {
    let lines = model.status.as_ref().map(lines_of).unwrap_or_default();
    Paragraph::new(lines).block(boxed("node")).render(area, frame);
}

fn lines_of(status: &Status) -> Vec<Line<'static>> {
    let count = |name: &str| status.counters.get(name).copied().unwrap_or(0);
    let failed = count("store_failed");
    let store = Line::from(format!("store  {} failures, {} evicted", failed, status.evicted));
    vec![
        Line::from(format!("holds  {} values, {}", status.items, ByteSize::b(status.bytes))),
        if failed > 0 { store.red() } else { store },
        Line::from(format!("knows  {} contacts in {} buckets", status.contacts, status.buckets)),
        Line::from(format!("busy   {} operations, {} transfers", status.operations, status.transfers)),
    ]
}

/// How what is chosen looks.
fn chosen() -> Style {
    Style::new().add_modifier(Modifier::REVERSED)
}

fn list_operations(model: &Model, area: Rect, frame: &mut Buffer) {
    let is_chosen = model.pane == Pane::Operations;
    let place = model.place().unwrap_or(0);
    let room = usize::from(area.height.saturating_sub(2)).max(1);
    let first = place.saturating_sub(room - 1);
    let row = |(at, one): (usize, &Operation)| {
        let cells = [
            one.purpose.clone(),
            output::short(&one.key),
            format!("{:>4}", one.steps.len()),
            time(Some(one.milliseconds)),
            one.outcome(),
        ];
        let colour = match one.state {
            State::UnderWay => Color::Yellow,
            State::Done => Color::Reset,
            State::TimedOut | State::Cancelled => Color::Red,
        };
        let row = Row::new(cells).fg(colour);
        if is_chosen && at == place { row.style(chosen().fg(colour)) } else { row }
    };
    let rows = model.operations.iter().enumerate().skip(first).take(room).map(row);
    let title = format!("operations{}", if is_chosen { " *" } else { "" });
    Table::new(rows, [6, 12, 4, 9, 9]).block(boxed(title)).render(area, frame);
}

/// The nodes of the operation: the list grows with the lookup.
fn list_steps(operation: Option<&Operation>, area: Rect, frame: &mut Buffer) {
    let Some(operation) = operation else { return boxed("walk").render(area, frame) };
    let room = usize::from(area.height.saturating_sub(2));
    let first = operation.steps.len().saturating_sub(room);
    let row = |step: &Step| {
        let row = Row::new([
            format!("{:>3}", step.order.unwrap_or_default()),
            output::short(&step.node.id),
            format!("{:>3}", step.node.id.distance(&operation.key).shared_bits()),
            time(step.milliseconds),
            step.state.clone(),
        ]);
        match step.state.as_str() {
            "answered" => row.green(),
            "silent" => row.red(),
            _ => row.yellow(),
        }
    };
    let title = format!("lookup of {}", output::short(&operation.key));
    Table::new(operation.steps[first..].iter().map(row), [3, 12, 4, 9, 9]).block(boxed(title)).render(area, frame);
}

fn list_contacts(model: &Model, area: Rect, frame: &mut Buffer) {
    let peers = model.peers.as_deref().unwrap_or_default();
    let is_chosen = model.pane == Pane::Contacts;
    let row = |(at, peer): (usize, &Peer)| {
        let row = Row::new([
            peer.node.address.to_string(),
            time(peer.milliseconds),
            if peer.failures == 0 { String::new() } else { format!("-{}", peer.failures) },
        ]);
        match (is_chosen && at == model.scrolled, peer.failures) {
            (true, _) => row.style(chosen()),
            (false, 0) => row,
            (false, _) => row.yellow(),
        }
    };
    let room = usize::from(area.height.saturating_sub(2)).max(1);
    let first = model.scrolled.saturating_sub(room - 1);
    let rows = peers.iter().enumerate().skip(first).take(room).map(row);
    let title = format!("{} contacts{}", peers.len(), if is_chosen { " *" } else { "" });
    Table::new(rows, [Constraint::Fill(1), Constraint::Length(9), Constraint::Length(3)])
        .block(boxed(title))
        .render(area, frame);
}

/// Milliseconds in nine places.
fn time(milliseconds: Option<f64>) -> String {
    milliseconds.map_or_else(String::new, |time| format!("{time:>6.1} ms"))
}

fn help(area: Rect, frame: &mut Buffer) {
    let (width, height) = (62.min(area.width), (HELP.len() as u16 + 2).min(area.height));
    let place = Rect::new((area.width - width) / 2, (area.height - height) / 2, width, height);
    Clear.render(place, frame);
    let lines: Vec<_> = HELP.iter().map(|(keys, what)| Line::from(format!("{keys:<18} {what}"))).collect();
    Paragraph::new(lines).block(boxed("keys")).render(place, frame);
}
