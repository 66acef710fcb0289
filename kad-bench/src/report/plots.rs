//! Bars, as SVG.

use std::error::Error;
use std::path::Path;

use plotters::prelude::*;

use crate::cluster::{Line, Operation};
use crate::failure::Failure;
use crate::results::Results;

/// A picture that was drawn.
pub(super) struct Picture {
    pub(super) file: &'static str,
    pub(super) title: &'static str,
    /// What the bars are of.
    unit: &'static str,
    bars: Vec<(String, f64)>,
}

/// Pixels of a picture: its width, of each bar, and of what is around them.
const WIDTH: u32 = 760;
const BAR: u32 = 26;
const FRAME: u32 = 110;
/// Room for the names, in pixels.
const NAMES: u32 = 250;

/// Draws what there are figures for.
pub(super) fn draw(results: &Results, directory: &Path) -> Result<Vec<Picture>, Failure> {
    let pictures: Vec<_> = pictures(results).into_iter().filter(|picture| !picture.bars.is_empty()).collect();
    for picture in &pictures {
        let file = directory.join(picture.file);
        bars(&file, picture).map_err(|error| Failure::Picture { file: file.clone(), why: error.to_string() })?;
    }
    Ok(pictures)
}

fn pictures(results: &Results) -> Vec<Picture> {
    let serve = results.serve.iter().flat_map(|serve| {
        let node = [("PING", &serve.ping), ("FIND_NODE", &serve.find_node), ("FIND_VALUE", &serve.find_value)];
        let node = node.map(|(name, kind)| (name.to_owned(), kind.rate.cpu_us));
        std::iter::once(("bare echo".to_owned(), serve.raw.cpu_us)).chain(node)
    });
    let lines = results.cluster.iter().flat_map(|cluster| &cluster.lines);
    let cluster = lines.filter(|line| !line.through_one && line.operation != Operation::StoreQuorum).map(named);
    let peers = results.peers.iter().flat_map(|compared| &compared.peers).flat_map(|peer| {
        let name = |what| format!("{}, {what} of {} B, {}", peer.name, peer.bytes, peer.concurrency);
        [(name("put"), peer.put.rate.cpu_us), (name("get"), peer.get.rate.cpu_us)]
    });
    vec![
        Picture { file: "bench-serve.svg", title: "one answered request", unit: CPU, bars: serve.collect() },
        Picture {
            file: "bench-cluster.svg",
            title: "one operation of twenty nodes",
            unit: CPU,
            bars: cluster.collect(),
        },
        Picture {
            file: "bench-peers.svg",
            title: "one operation of twenty nodes, by implementation",
            unit: CPU,
            bars: peers.collect(),
        },
    ]
}

const CPU: &str = "microseconds of processor time";

fn named(line: &Line) -> (String, f64) {
    (format!("{}, {} B, {} at a time", line.operation.name(), line.bytes, line.concurrency), line.driven.rate.cpu_us)
}

fn bars(file: &Path, picture: &Picture) -> Result<(), Box<dyn Error>> {
    let count = picture.bars.len();
    let root = SVGBackend::new(file, (WIDTH, count as u32 * BAR + FRAME)).into_drawing_area();
    root.fill(&WHITE)?;
    let most = picture.bars.iter().map(|(_, value)| *value).fold(0.0, f64::max);
    let mut chart = ChartBuilder::on(&root)
        .caption(picture.title, ("sans-serif", 18))
        .margin(12)
        .x_label_area_size(40)
        .y_label_area_size(NAMES)
        // The first bar is on top.
        .build_cartesian_2d(0.0..most * 1.1, (0..count - 1).into_segmented())?;
    let name = |place: &SegmentValue<usize>| match place {
        SegmentValue::CenterOf(place) => {
            picture.bars.get(count - 1 - place).map_or(String::new(), |(name, _)| name.clone())
        }
        SegmentValue::Exact(_) | SegmentValue::Last => String::new(),
    };
    chart
        .configure_mesh()
        .disable_y_mesh()
        .light_line_style(TRANSPARENT)
        .x_desc(picture.unit)
        .y_labels(count)
        .y_label_formatter(&name)
        .draw()?;
    let values = picture.bars.iter().rev().enumerate();
    chart.draw_series(values.map(|(place, (_, value))| {
        let mut bar = Rectangle::new(
            [(0.0, SegmentValue::Exact(place)), (*value, SegmentValue::Exact(place + 1))],
            Palette99::pick(0).filled(),
        );
        bar.set_margin(4, 4, 0, 0);
        bar
    }))?;
    root.present()?;
    Ok(())
}
