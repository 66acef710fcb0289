//! SIGHUP: the daemon reopens its log and applies the changed settings of its configuration file that can change at run
//! time.

use std::collections::BTreeSet;

use kad_http::{Changeable, Handle};
use kad_tokio::Dht;

use crate::args::{Args, Command, Daemon};
use crate::config::{self, Read, Settings};
use crate::error::Failure;
use crate::log::Log;
use crate::service;

/// Settings that a running daemon applies.
const CHANGEABLE: [&str; 4] = ["bootstrap", "http-host", "http-origin", "log"];

/// A daemon's settings, and the components that use them.
pub(crate) struct Reload {
    settings: Settings,
    log: Log,
    http: Handle,
    dht: Dht,
}

impl Reload {
    /// Returns the state of a daemon that was started with these settings.
    pub(crate) fn new(settings: Settings, log: Log, http: Handle, dht: Dht) -> Self {
        Self { settings, log, http, dht }
    }

    /// Reloads. Errors are logged and change nothing: an edit of the file must not stop a daemon.
    pub(crate) fn run(&mut self) {
        service::reloading();
        match self.log.reopen() {
            Ok(Some(file)) => tracing::info!(file = %file.display(), "SIGHUP: the log continues in this file"),
            Ok(None) => tracing::info!("SIGHUP"),
            Err(error) => tracing::error!(%error, "SIGHUP: cannot reopen the log; it continues in the old file"),
        }
        if let Err(error) = self.take_over() {
            tracing::error!(%error, "SIGHUP: the settings stay unchanged");
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
            tracing::warn!(settings, "changed settings that need a restart");
        }
        if changed.is_empty() {
            tracing::info!("no applicable setting has changed");
            return Ok(());
        }
        self.apply(&args, &changed)?;
        for name in &changed {
            self.settings.take(name, &settings);
        }
        let settings = list(&changed);
        self.http.change(Changeable { hosts: args.http_host, origins: args.http_origin, shown: self.settings.shown() });
        tracing::info!(settings, "changed settings applied");
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
