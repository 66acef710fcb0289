//! Measures, and draws pictures of what was measured.

use std::error::Error;
use std::fs;
use std::path::Path;
use std::time::Duration;

use plotters::coord::ranged1d::ValueFormatter;
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;
use serde::Serialize;

use crate::run::{Churn, Run, Workload};
use crate::scenarios::{Options, capacity, settings};
use crate::tally::Series;
use crate::world::Settings;

/// A curve: its name and its points.
type Curve = (String, Vec<(f64, f64)>);

/// One picture.
struct Picture<'a> {
    file: &'a str,
    title: &'a str,
    x: &'a str,
    y: &'a str,
    log_x: bool,
    curves: Vec<Curve>,
}

/// What lookups cost in a network of some size.
#[derive(Serialize, Clone, Copy, Debug)]
struct Walks {
    nodes: usize,
    hops_mean: f64,
    hops_p99: u64,
    messages_mean: f64,
    messages_p50: u64,
    exact: f64,
}

/// All figures, as they are written next to the pictures.
#[derive(Serialize)]
struct Figures {
    joined: Vec<Walks>,
    filled: Vec<Walks>,
    churn: Vec<(f64, f64)>,
}

/// Measures networks of up to `nodes_max` nodes and writes pictures and their figures to `directory`. `say` is told what is
/// being measured.
///
/// # Errors
/// What went wrong with the files.
pub fn plot(directory: &Path, nodes_max: usize, say: &mut dyn FnMut(&str)) -> Result<(), String> {
    fs::create_dir_all(directory).map_err(|error| format!("cannot create {}: {error}", directory.display()))?;
    let (joined, filled) = measure_sizes(nodes_max, say);
    let churn = measure_churn(say);
    let (load, latency) = measure_use(say);
    let hops = |walks: &[Walks]| walks.iter().map(|walks| (walks.nodes as f64, walks.hops_mean)).collect();
    let messages = |walks: &[Walks]| walks.iter().map(|walks| (walks.nodes as f64, walks.messages_mean)).collect();
    let logarithm = joined.iter().map(|walks| (walks.nodes as f64, (walks.nodes as f64).log2() / 5.0)).collect();
    let pictures = [
        Picture {
            file: "hops.svg",
            title: "hops of a lookup, mean",
            x: "nodes",
            y: "hops",
            log_x: true,
            curves: vec![
                ("tables as the nodes filled them".into(), hops(&joined)),
                ("full tables".into(), hops(&filled)),
                ("log2(N) / 5".into(), logarithm),
            ],
        },
        Picture {
            file: "messages.svg",
            title: "requests of a lookup, mean",
            x: "nodes",
            y: "requests",
            log_x: true,
            curves: vec![
                ("tables as the nodes filled them".into(), messages(&joined)),
                ("full tables".into(), messages(&filled)),
            ],
        },
        Picture {
            file: "churn.svg",
            title: "reads that succeed under churn (300 nodes, two hours)",
            x: "median session, minutes",
            y: "success, %",
            log_x: true,
            curves: vec![("success".into(), churn.iter().map(|(minutes, share)| (*minutes, share * 100.0)).collect())],
        },
        Picture {
            file: "load.svg",
            title: "load per node: share of nodes that receive no more than so many times the mean",
            x: "times the mean",
            y: "nodes, %",
            log_x: false,
            curves: load,
        },
        Picture {
            file: "latency.svg",
            title: "how long operations take, worldwide",
            x: "milliseconds",
            y: "operations that have ended, %",
            log_x: false,
            curves: latency,
        },
    ];
    for picture in &pictures {
        draw(directory, picture).map_err(|error| format!("cannot draw {}: {error}", picture.file))?;
    }
    let figures =
        serde_json::to_string_pretty(&Figures { joined, filled, churn }).map_err(|error| error.to_string())?;
    let path = directory.join("figures.json");
    fs::write(&path, figures + "\n").map_err(|error| format!("cannot write {}: {error}", path.display()))
}

/// Lookups in networks of growing size: with the tables that the nodes have filled themselves, and with full ones.
fn measure_sizes(nodes_max: usize, say: &mut dyn FnMut(&str)) -> (Vec<Walks>, Vec<Walks>) {
    let (mut joined, mut filled) = (Vec::new(), Vec::new());
    for nodes in [100, 300, 1_000, 3_000, 10_000, 30_000, 100_000].into_iter().filter(|nodes| *nodes <= nodes_max) {
        say(&format!("lookups among {nodes} nodes"));
        joined.push(measure_size(nodes, Run::grow));
        filled.push(measure_size(nodes, Run::fill));
    }
    (joined, filled)
}

fn measure_size(nodes: usize, make: fn(&mut Run, usize)) -> Walks {
    let options = Options { check_every: 0, ..Options::new(1) };
    let lean = kad_core::Capacity { transfers: 1, arena_rows: 1, items: 1, spares: 1, ..capacity(nodes, 20) };
    let mut settings = Settings { capacity: lean, upkeep: false, ..settings(&options, nodes) };
    settings.config.value_max = 1024;
    let mut run = Run::new(settings);
    make(&mut run, nodes);
    run.run_for(Duration::from_secs(60));
    run.tally = Default::default();
    run.open(Workload { lookups_per_hour: 120_000, ..Workload::default() });
    run.run_for(Duration::from_secs(60));
    run.close();
    run.run_for(Duration::from_secs(40));
    let tally = &run.tally;
    Walks {
        nodes,
        hops_mean: tally.hops.mean(),
        hops_p99: tally.hops.percentile(99),
        messages_mean: tally.requests.mean(),
        messages_p50: tally.requests.percentile(50),
        exact: crate::tally::share(tally.exact.0, tally.exact.1),
    }
}

/// Share of reads that succeed, by the median of sessions in minutes.
fn measure_churn(say: &mut dyn FnMut(&str)) -> Vec<(f64, f64)> {
    let mut points = Vec::new();
    for minutes in [5, 10, 20, 30, 60, 120] {
        say(&format!("churn with sessions of {minutes} minutes"));
        let options = Options { check_every: 0, ..Options::new(1) };
        let mut run = Run::new(settings(&options, 300));
        run.grow(300);
        run.begin_churn(Churn {
            session: Duration::from_secs(minutes * 60),
            absence: Duration::from_secs(60),
            heavy_tailed: false,
            goodbyes: 200_000,
            keeps_values: false,
        });
        run.keep_doors_open();
        let people = Workload { puts_per_hour: 600, ttl_secs: 26 * 3600, len_max: 1_000, ..Workload::default() };
        run.open(people);
        run.run_for(Duration::from_secs(1_800));
        run.close();
        run.open(Workload { puts_per_hour: 0, gets_per_hour: 6_000, ..people });
        run.run_for(Duration::from_secs(5_400));
        points.push((minutes as f64, run.tally.success()));
    }
    points
}

/// The load of nodes, and how long operations take, in a network that is used: reads of all values alike, and of a few hot
/// ones most.
fn measure_use(say: &mut dyn FnMut(&str)) -> (Vec<Curve>, Vec<Curve>) {
    let (mut load, mut latency) = (Vec::new(), Vec::new());
    for hot in [false, true] {
        let name = if hot { "hot keys" } else { "all keys alike" };
        say(&format!("a thousand nodes in use, {name}"));
        let options = Options { check_every: 0, ..Options::new(1) };
        let mut run = Run::new(settings(&options, 1_000));
        run.caches = true;
        run.grow(1_000);
        let people = Workload { puts_per_hour: 4_000, hot, ttl_secs: 24 * 3600, len_max: 1_000, ..Workload::default() };
        run.open(people);
        run.run_for(Duration::from_secs(900));
        run.close();
        run.run_for(Duration::from_secs(60));
        run.tally = Default::default();
        let before: Vec<_> = (0..1_000).map(|number| run.world.received(number)).collect();
        run.open(Workload { puts_per_hour: 0, gets_per_hour: 200_000, ..people });
        run.run_for(Duration::from_secs(900));
        let mut received = Series::default();
        for (number, before) in before.iter().enumerate() {
            received.note(run.world.received(number) - before);
        }
        let mean = received.mean();
        load.push((name.into(), distribution(&received, 1.0 / mean)));
        latency.push((format!("reads, {name}"), distribution(&run.tally.took_us, 1e-3)));
        if !hot {
            run.close();
            run.tally = Default::default();
            run.open(Workload { lookups_per_hour: 40_000, ..Workload::default() });
            run.run_for(Duration::from_secs(300));
            latency.push(("lookups".into(), distribution(&run.tally.took_us, 1e-3)));
        }
    }
    (load, latency)
}

/// Percentiles as a curve; the last percent is left out.
fn distribution(series: &Series, unit: f64) -> Vec<(f64, f64)> {
    (0..=99).map(|percent| (series.percentile(percent) as f64 * unit, percent as f64)).collect()
}

fn draw(directory: &Path, picture: &Picture<'_>) -> Result<(), Box<dyn Error>> {
    let path = directory.join(picture.file);
    let root = SVGBackend::new(&path, (760, 440)).into_drawing_area();
    root.fill(&WHITE)?;
    let points = || picture.curves.iter().flat_map(|(_, points)| points);
    let (x_min, x_max) = bounds(points().map(|(x, _)| *x));
    let (_, y_max) = bounds(points().map(|(_, y)| *y));
    let mut builder = ChartBuilder::on(&root);
    builder.caption(picture.title, ("sans-serif", 18)).margin(12).x_label_area_size(40).y_label_area_size(56);
    // The two kinds of axes have different types.
    if picture.log_x {
        draw_curves(builder.build_cartesian_2d((x_min..x_max).log_scale(), 0.0..y_max * 1.05)?, picture)?;
    } else {
        draw_curves(builder.build_cartesian_2d(0.0..x_max, 0.0..y_max * 1.05)?, picture)?;
    }
    root.present()?;
    Ok(())
}

fn draw_curves<'a, X>(
    mut chart: ChartContext<'a, SVGBackend<'a>, Cartesian2d<X, RangedCoordf64>>,
    picture: &Picture<'_>,
) -> Result<(), Box<dyn Error>>
where
    X: Ranged<ValueType = f64> + ValueFormatter<f64>,
{
    chart.configure_mesh().x_desc(picture.x).y_desc(picture.y).draw()?;
    for (index, (name, points)) in picture.curves.iter().enumerate() {
        let colour = Palette99::pick(index).mix(1.0);
        chart
            .draw_series(LineSeries::new(points.iter().copied(), colour.stroke_width(2)))?
            .label(name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], colour.stroke_width(2)));
    }
    chart
        .configure_series_labels()
        .background_style(WHITE.mix(0.8))
        .position(SeriesLabelPosition::LowerRight)
        .draw()?;
    Ok(())
}

fn bounds(values: impl Iterator<Item = f64>) -> (f64, f64) {
    values.fold((f64::INFINITY, 0.0), |(min, max), value| (value.min(min), value.max(max)))
}
