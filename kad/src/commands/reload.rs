//! What a daemon does on SIGHUP: it opens its log anew, and takes over what has changed in its file, as far as that can be done
//! while it runs.

use std::collections::BTreeSet;

use kad_http::{Changeable, Handle};
use kad_tokio::Dht;

use crate::args::{Args, Command, Daemon};
use crate::config::{self, Read, Settings};
use crate::error::Failure;
use crate::log::Log;
use crate::service;

/// Settings that a running daemon takes over.
const CHANGEABLE: [&str; 4] = ["bootstrap", "http-host", "http-origin", "log"];

/// A daemon's settings, and what is told when they change.
pub(crate) struct Reload {
    settings: Settings,
    log: Log,
    http: Handle,
    dht: Dht,
}

impl Reload {
    /// For a daemon that was started with these settings.
    pub(crate) fn new(settings: Settings, log: Log, http: Handle, dht: Dht) -> Self {
        Self { settings, log, http, dht }
    }

    /// Reloads. What is wrong is logged, and changes nothing: a daemon does not end because somebody edits its file.
    pub(crate) fn run(&mut self) {
        service::reloading();
        match self.log.reopen() {
            Ok(Some(file)) => tracing::info!(file = %file.display(), "SIGHUP: the log goes on here"),
            Ok(None) => tracing::info!("SIGHUP"),
            Err(error) => tracing::error!(%error, "SIGHUP: the log goes on where it was"),
        }
        if let Err(error) = self.take_over() {
            tracing::error!(%error, "the settings stay as they are");
        }
        service::ready();
    }

    fn take_over(&mut self) -> Result<(), Failure> {
        let Read { args: Args { command: Command::Daemon(args), .. }, daemon: settings } = config::read_again()? else {
            return Ok(());
        };
        let changed = self.settings.changed(&settings);
        let (changed, fixed): (BTreeSet<_>, BTreeSet<_>) =
            changed.into_iter().partition(|name| CHANGEABLE.contains(&name.as_str()));
        if !fixed.is_empty() {
            let settings = list(&fixed);
            tracing::warn!(settings, "these have changed, and need a restart");
        }
        if changed.is_empty() {
            tracing::info!("no setting has changed that a running daemon takes over");
            return Ok(());
        }
        self.apply(&args, &changed)?;
        for name in &changed {
            self.settings.take(name, &settings);
        }
        let settings = list(&changed);
        self.http.change(Changeable { hosts: args.http_host, origins: args.http_origin, shown: self.settings.shown() });
        tracing::info!(settings, "these have changed");
        Ok(())
    }

    fn apply(&self, args: &Daemon, changed: &BTreeSet<String>) -> Result<(), Failure> {
        if changed.contains("log") {
            self.log.set_filter(&args.log)?;
        }
        if changed.contains("bootstrap") {
            self.dht.set_bootstrap(&args.bootstrap)?;
        }
        Ok(())
    }
}

fn list(names: &BTreeSet<String>) -> String {
    names.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
}
