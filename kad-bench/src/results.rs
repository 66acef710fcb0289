//! What a run has measured: printed, and read again for the report.

use serde::{Deserialize, Serialize};

use crate::bulk::Bulk;
use crate::cluster::Cluster;
use crate::compared::Compared;
use crate::disk::Disk;
use crate::failure::Failure;
use crate::gateway::Gateways;
use crate::idle::Idle;
use crate::machine::Machine;
use crate::serve::Serve;
use crate::table::Table;
use crate::values::Values;
use crate::workers::Workers;

/// One run. A suite that was not run is missing.
#[derive(Serialize, Deserialize, Debug)]
pub(crate) struct Results {
    pub(crate) machine: Machine,
    /// How long each figure was measured.
    pub(crate) seconds: f64,
    /// Suites that have no figures, and why.
    pub(crate) missing: Vec<String>,
    pub(crate) workers: Option<Workers>,
    pub(crate) serve: Option<Serve>,
    pub(crate) cluster: Option<Cluster>,
    pub(crate) values: Option<Values>,
    pub(crate) gateway: Option<Gateways>,
    pub(crate) disk: Option<Disk>,
    pub(crate) bulk: Option<Bulk>,
    pub(crate) idle: Option<Idle>,
    pub(crate) peers: Option<Compared>,
}

impl Results {
    pub(crate) fn new(machine: Machine, seconds: f64) -> Self {
        Self {
            machine,
            seconds,
            missing: Vec::new(),
            workers: None,
            serve: None,
            cluster: None,
            values: None,
            gateway: None,
            disk: None,
            bulk: None,
            idle: None,
            peers: None,
        }
    }

    /// Adds what another run has measured.
    pub(crate) fn add(&mut self, other: Self) {
        self.missing.extend(other.missing);
        self.workers = self.workers.take().or(other.workers);
        self.serve = self.serve.take().or(other.serve);
        self.cluster = self.cluster.take().or(other.cluster);
        self.values = self.values.take().or(other.values);
        self.gateway = self.gateway.take().or(other.gateway);
        self.disk = self.disk.take().or(other.disk);
        self.bulk = self.bulk.take().or(other.bulk);
        self.idle = self.idle.take().or(other.idle);
        self.peers = self.peers.take().or(other.peers);
    }

    pub(crate) fn tables(&self) -> Vec<Table> {
        let mut tables = Vec::new();
        tables.extend(self.serve.iter().flat_map(Serve::tables));
        tables.extend(self.workers.iter().map(Workers::table));
        tables.extend(self.cluster.iter().flat_map(Cluster::tables));
        tables.extend(self.values.iter().flat_map(Values::tables));
        tables.extend(self.gateway.iter().flat_map(Gateways::tables));
        tables.extend(self.disk.iter().flat_map(Disk::tables));
        tables.extend(self.bulk.iter().flat_map(Bulk::tables));
        tables.extend(self.idle.iter().flat_map(Idle::tables));
        tables.extend(self.peers.iter().flat_map(Compared::tables));
        tables
    }

    /// Whether what was measured happened as it should.
    ///
    /// # Errors
    /// [`Failure::Void`] when operations failed, or a suite has no figures.
    pub(crate) fn judge(&self) -> Result<(), Failure> {
        if !self.missing.is_empty() {
            return Err(Failure::Void(self.missing.join("; ")));
        }
        let cluster = self.cluster.as_ref().map_or(0, |cluster| cluster.failed);
        let values = self.values.as_ref().map_or(0, Values::failed);
        let gateway = self.gateway.as_ref().map_or(0, Gateways::failed);
        match cluster + values + gateway + self.disk.as_ref().map_or(0, Disk::failed) {
            0 => Ok(()),
            failed => Err(Failure::Void(format!("{failed} operations failed: see `failed` in the results"))),
        }
    }
}
