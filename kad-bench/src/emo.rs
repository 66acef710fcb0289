//! Figures of emo, an earlier implementation in the same role: twenty nodes on one two-core machine, 64 operations at a time. Its
//! store waits for 19 acknowledgements, its find asks three nodes.

use crate::cluster::Operation;
use crate::figures::Rate;

/// The bare echo of that machine.
pub(crate) const ECHO: Rate = Rate { per_second: 319_000.0, cpu_us: 3.09 };
/// Operations at a time.
pub(crate) const CONCURRENCY: usize = 64;

/// What one operation was measured at.
#[derive(Clone, Copy)]
pub(crate) struct Figure {
    pub(crate) per_second: f64,
    /// Of all nodes; not measured for large values.
    pub(crate) cpu_us: Option<f64>,
}

/// Its figure for an operation on values of so many bytes.
pub(crate) fn figure(operation: Operation, bytes: usize) -> Option<Figure> {
    let (per_second, cpu_us) = match (operation, bytes) {
        (Operation::Store, 64) => (2_258.0, Some(785.0)),
        (Operation::Find, 64) => (11_739.0, Some(145.0)),
        (Operation::Store, 16_384) => (381.0, None),
        (Operation::Find, 16_384) => (4_770.0, None),
        _ => return None,
    };
    Some(Figure { per_second, cpu_us })
}
