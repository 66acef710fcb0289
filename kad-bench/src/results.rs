//! What a run has measured: printed, and read again for the report.

use serde::{Deserialize, Serialize};

use crate::cluster::Cluster;
use crate::failure::Failure;
use crate::machine::Machine;
use crate::serve::Serve;
use crate::table::Table;

/// One run. A suite that was not run is missing.
#[derive(Serialize, Deserialize, Debug)]
pub(crate) struct Results {
    pub(crate) machine: Machine,
    /// How long each figure was measured.
    pub(crate) seconds: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) serve: Option<Serve>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cluster: Option<Cluster>,
}

impl Results {
    pub(crate) fn new(machine: Machine, seconds: f64) -> Self {
        Self { machine, seconds, serve: None, cluster: None }
    }

    pub(crate) fn tables(&self) -> Vec<Table> {
        let serve = self.serve.iter().flat_map(Serve::tables);
        serve.chain(self.cluster.iter().flat_map(Cluster::tables)).collect()
    }

    /// Whether what was measured happened as it should.
    ///
    /// # Errors
    /// [`Failure::Void`] when operations failed.
    pub(crate) fn judge(&self) -> Result<(), Failure> {
        let failed = self.cluster.as_ref().map_or(0, |cluster| cluster.failed);
        if failed == 0 { Ok(()) } else { Err(Failure::Void(format!("{failed} operations of the cluster failed"))) }
    }
}
