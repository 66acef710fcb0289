//! The source of news: the daemon's event stream, and periodic requests.

use std::io::BufRead;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use kad_http::api::{Began, Ended, Missed, Peer, Progress, Readiness, Status};
use serde::de::DeserializeOwned;

use crate::client::{Client, Place};
use crate::error::Failure;

/// The shortest interval of requesting contacts and readiness.
const ASK: Duration = Duration::from_secs(1);
/// The pause before reconnecting to a daemon.
const RETRY: Duration = Duration::from_millis(500);

/// News of a daemon.
#[derive(Debug)]
pub(super) enum News {
    Status(Box<Status>),
    Ready(Readiness),
    Peers(Vec<Peer>),
    Operation(Walk),
    Missed(u64),
    /// The daemon is unreachable or has stopped.
    Lost(Failure),
}

/// News of an operation.
#[derive(Debug)]
pub(super) enum Walk {
    Began(Began),
    Step(Box<Progress>),
    Ended(Box<Ended>),
    Cancelled(Began),
}

/// Follows a daemon, and reconnects when it is restarted. Ends when the receiver is dropped.
pub(super) fn follow(place: Place, interval: Duration, timeout: Duration) -> Receiver<News> {
    let (sender, news) = channel();
    let (events, asked, same) = (sender.clone(), sender, place.clone());
    thread::spawn(move || again(&events, || stream(&same, interval, timeout, &events)));
    thread::spawn(move || again(&asked, || ask(&place, interval.max(ASK), timeout, &asked)));
    news
}

/// The receiver was dropped.
struct Done;

fn tell(sender: &Sender<News>, piece: News) -> Result<(), Done> {
    sender.send(piece).map_err(|_| Done)
}

fn again(sender: &Sender<News>, mut follow: impl FnMut() -> Result<Failure, Done>) {
    while let Ok(failure) = follow() {
        if tell(sender, News::Lost(failure)).is_err() {
            return;
        }
        thread::sleep(RETRY);
    }
}

/// Requests what no event contains, until that fails.
fn ask(place: &Place, interval: Duration, timeout: Duration, sender: &Sender<News>) -> Result<Failure, Done> {
    let client = match Client::of(place, timeout) {
        Ok(client) => client,
        Err(failure) => return Ok(failure),
    };
    loop {
        let asked = client.peers().and_then(|peers| Ok((peers, client.ready()?)));
        match asked {
            Ok((peers, ready)) => {
                tell(sender, News::Peers(peers))?;
                tell(sender, News::Ready(ready))?;
            }
            Err(failure) => return Ok(failure),
        }
        thread::sleep(interval);
    }
}

/// Reads events until there are no more.
fn stream(place: &Place, interval: Duration, timeout: Duration, sender: &Sender<News>) -> Result<Failure, Done> {
    let opened = Client::of(place, timeout).and_then(|client| client.events(interval));
    let events = match opened {
        Ok(events) => events,
        Err(failure) => return Ok(failure),
    };
    for piece in Pieces(events) {
        match piece {
            Ok(piece) => tell(sender, piece)?,
            Err(failure) => return Ok(failure),
        }
    }
    Ok(match place {
        Place::Here(data_dir) => Failure::NoDaemon { directory: data_dir.path().into(), is_needed: true },
        Place::Elsewhere { url, .. } => {
            Failure::NoAnswer { url: url.clone(), why: "the stream of events ended".into() }
        }
    })
}

/// Server-sent events, as far as the daemon uses them: a line with the name, one with the data, an empty one.
struct Pieces<R>(R);

impl<R: BufRead> Iterator for Pieces<R> {
    type Item = Result<News, Failure>;

    fn next(&mut self) -> Option<Self::Item> {
        let (mut name, mut data) = (String::new(), String::new());
        loop {
            let mut line = String::new();
            match self.0.read_line(&mut line) {
                // The connection broke off: the end, like any other.
                Ok(0) | Err(_) => return None,
                Ok(_) => {}
            }
            let line = line.trim_end_matches(['\r', '\n']);
            match line.split_once(':') {
                Some(("event", value)) => name = value.trim_start().to_owned(),
                Some(("data", value)) => data.push_str(value.trim_start()),
                None if line.is_empty() && !name.is_empty() => match piece(&name, &data) {
                    Ok(Some(piece)) => return Some(Ok(piece)),
                    Ok(None) => name.clear(),
                    Err(failure) => return Some(Err(failure)),
                },
                // Comments show that the stream is alive.
                _ => {}
            }
            if line.is_empty() {
                data.clear();
            }
        }
    }
}

/// Parses an event; `None` for events that `kad top` does not show.
fn piece(name: &str, data: &str) -> Result<Option<News>, Failure> {
    Ok(Some(match name {
        "hello" | "stats" => News::Status(Box::new(read(data)?)),
        "began" => News::Operation(Walk::Began(read(data)?)),
        "step" => News::Operation(Walk::Step(Box::new(read(data)?))),
        "ended" => News::Operation(Walk::Ended(Box::new(read(data)?))),
        "cancelled" => News::Operation(Walk::Cancelled(read(data)?)),
        "missed" => News::Missed(read::<Missed>(data)?.events),
        _ => return Ok(None),
    }))
}

fn read<T: DeserializeOwned>(data: &str) -> Result<T, Failure> {
    serde_json::from_str(data).map_err(|error| Failure::Daemon(format!("unknown to this version: {error}")))
}

#[cfg(test)]
mod tests {
    use super::{News, Pieces};

    #[test]
    fn events_are_read_as_the_server_writes_them() {
        let text = ": alive\n\nevent: missed\ndata: {\"events\":3}\n\nevent: contact_lost\ndata: {}\n\n\
                    event:missed\r\ndata:{\"events\":4}\r\n\r\nevent: missed\ndata: {\"ev";
        let missed: Vec<_> = Pieces(text.as_bytes()).map(Result::unwrap).collect();
        assert!(matches!(missed[..], [News::Missed(3), News::Missed(4)]), "{missed:?}");
        let wrong = Pieces("event: began\ndata: 7\n\n".as_bytes()).next();
        assert!(matches!(wrong, Some(Err(_))));
    }
}
