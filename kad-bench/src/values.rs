//! Large values, read from one node by another, against a bare transfer.

use std::sync::Arc;
use std::time::Duration;

use kad_tokio::{Copies, Dht, Role};
use serde::{Deserialize, Serialize};

use crate::cluster::{find, item};
use crate::drive::{Demand, Driven, drive};
use crate::failure::Failure;
use crate::figures::median;
use crate::network::{close, node, runtime};
use crate::progress::Progress;
use crate::stream::{Offload, Stream};
use crate::table::{Table, count, two};

/// Bytes of values.
const LENGTHS: [usize; 2] = [16 * 1024, 32 * 1024];
/// Reads at a time.
const CONCURRENCIES: [usize; 3] = [1, 16, 64];
/// Distinct values.
const VALUES: u64 = 256;
/// Values that the bare transfer has on their way: as many as fit a socket's buffer.
const BARE_AT_A_TIME: usize = 4;
/// Seconds of a round, of which there is one of each kind in turn.
const ROUND: f64 = 0.25;

/// One figure.
#[derive(Clone, Copy, Serialize, Deserialize, Debug)]
pub(crate) struct Line {
    pub(crate) bytes: usize,
    pub(crate) concurrency: usize,
    /// Whether the nodes let the system cut and join datagrams.
    pub(crate) offload: bool,
    /// Megabytes (a million bytes) of values a second.
    pub(crate) mb_per_second: f64,
    /// Over the bare transfer with UDP_SEGMENT and UDP_GRO, and with batches of datagrams: medians of rounds side by side.
    pub(crate) segments_ratio: f64,
    pub(crate) batches_ratio: f64,
    /// Microseconds of processor time for a value, of both nodes and the callers.
    pub(crate) cpu_us: f64,
    pub(crate) p50_ms: f64,
    pub(crate) failed: u64,
}

/// All figures of this suite.
#[derive(Clone, Serialize, Deserialize, Debug)]
pub(crate) struct Values {
    /// Of values of 32 KiB.
    pub(crate) segments_mb_per_second: f64,
    pub(crate) batches_mb_per_second: f64,
    pub(crate) lines: Vec<Line>,
}

/// Measures each figure for `seconds`.
pub(crate) fn measure(seconds: f64, progress: &Progress) -> Result<Values, Failure> {
    let runtime = runtime()?;
    let with = runtime.block_on(prepare(true))?;
    let without = runtime.block_on(prepare(false))?;
    let rounds = (seconds / ROUND).ceil() as usize;
    let span = Duration::from_secs_f64(ROUND);
    let (mut lines, mut bare) = (Vec::new(), Vec::new());
    for bytes in LENGTHS {
        let segments = Stream::start(bytes, Offload::Segments)?;
        let batches = Stream::start(bytes, Offload::Batches)?;
        for concurrency in CONCURRENCIES {
            progress.say(&format!("values: {bytes} B, {concurrency} at a time"));
            let demand = Demand { concurrency, span, most: u64::MAX };
            let mut rounds_of = [Vec::new(), Vec::new()];
            for _ in 0..rounds {
                let segments = segments.read(BARE_AT_A_TIME, span)?;
                let batches = batches.read(BARE_AT_A_TIME, span)?;
                for ((_, reader), of_line) in [&with, &without].into_iter().zip(&mut rounds_of) {
                    of_line.push((runtime.block_on(read(reader, bytes, demand))?, segments, batches));
                }
                bare.extend((bytes == LENGTHS[1]).then_some((segments, batches)));
            }
            let [on, off] = rounds_of;
            lines.extend([line(bytes, concurrency, true, &on), line(bytes, concurrency, false, &off)]);
        }
    }
    for (holder, reader) in [with, without] {
        runtime.block_on(close(&[reader, holder]))?;
    }
    let mb = |values: f64| values * LENGTHS[1] as f64 / 1e6;
    Ok(Values {
        segments_mb_per_second: mb(median(bare.iter().map(|(segments, _)| *segments))),
        batches_mb_per_second: mb(median(bare.iter().map(|(_, batches)| *batches))),
        lines,
    })
}

/// A node that holds every value, and a client that holds nothing.
async fn prepare(offload: bool) -> Result<(Dht, Dht), Failure> {
    let holder = node(None).socket_offload(offload).start()?;
    for bytes in LENGTHS {
        for number in 0..VALUES {
            let (key, value) = named(number, bytes);
            holder.store(key, value).copies(Copies::AtLeast(0)).await?;
        }
    }
    let reader = node(Some(&holder)).socket_offload(offload).role(Role::Client).cache_found(false).start()?;
    reader.joined().await?;
    Ok((holder, reader))
}

/// Values of different lengths have different keys.
fn named(number: u64, bytes: usize) -> (kad_tokio::Key, kad_tokio::Bytes) {
    item(number | (bytes as u64) << 32, bytes)
}

async fn read(reader: &Dht, bytes: usize, demand: Demand) -> Result<Driven, Failure> {
    let reader = Arc::new(reader.clone());
    let operation = move |number: u64| {
        let reader = reader.clone();
        async move { find(&reader, (number % VALUES) | (bytes as u64) << 32, bytes).await }
    };
    drive(demand, operation, || async { Ok(()) }).await
}

fn line(bytes: usize, concurrency: usize, offload: bool, rounds: &[(Driven, f64, f64)]) -> Line {
    let of = |figure: fn(&(Driven, f64, f64)) -> f64| median(rounds.iter().map(figure));
    Line {
        bytes,
        concurrency,
        offload,
        mb_per_second: of(|(driven, ..)| driven.rate.per_second) * bytes as f64 / 1e6,
        segments_ratio: of(|(driven, segments, _)| driven.rate.per_second / segments),
        batches_ratio: of(|(driven, _, batches)| driven.rate.per_second / batches),
        cpu_us: of(|(driven, ..)| driven.rate.cpu_us),
        p50_ms: of(|(driven, ..)| driven.times.p50_ms),
        failed: rounds.iter().map(|(driven, ..)| driven.failed()).sum(),
    }
}

impl Values {
    pub(crate) fn failed(&self) -> u64 {
        self.lines.iter().map(|line| line.failed).sum()
    }

    pub(crate) fn tables(&self) -> Vec<Table> {
        let mut bare = Table::new("A bare transfer of 32 KiB values", ["how", "MB/s"]);
        bare.row(["UDP_SEGMENT and UDP_GRO".into(), count(self.segments_mb_per_second)]);
        bare.row(["recvmmsg and sendmmsg".into(), count(self.batches_mb_per_second)]);
        let mut table = Table::new(
            "Large values, read from one node by another",
            [
                "value",
                "at a time",
                "offload",
                "MB/s",
                "x bare with segments",
                "x bare in batches",
                "CPU us each",
                "p50 ms",
                "failed",
            ],
        );
        for line in &self.lines {
            table.row([
                format!("{} B", line.bytes),
                line.concurrency.to_string(),
                if line.offload { "yes" } else { "no" }.into(),
                count(line.mb_per_second),
                two(line.segments_ratio),
                two(line.batches_ratio),
                count(line.cpu_us),
                two(line.p50_ms),
                line.failed.to_string(),
            ]);
        }
        vec![
            bare.with_note("Datagrams of 1232 bytes, as CHUNKs are; nothing is found, and nothing checked."),
            table.with_note("CPU is of both nodes and the callers. Offload is `Builder::socket_offload`. Each value is compared, byte for byte."),
        ]
    }
}
