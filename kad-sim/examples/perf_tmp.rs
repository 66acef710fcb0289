use kad_sim::*;
use std::time::{Duration, Instant};
fn main() {
    let n: usize = std::env::args().nth(1).unwrap().parse().unwrap();
    let up = std::env::args().nth(2).is_some();
    let capacity = kad_core::Capacity {
        rows: 17,
        spares: 1,
        operations: 1,
        operations_max: 16,
        candidates: 30,
        items: 1,
        transfers: 1,
        arena_rows: 1,
    };
    let config = kad_core::Config { value_max: 1024, ..Default::default() };
    let mut w = World::new(Settings { check_every: 0, capacity, config, upkeep: up, ..Settings::new(1) });
    let t = Instant::now();
    w.add();
    w.member(0).has_joined = true;
    let mut done = 1;
    while done < n {
        let batch = (done / 20).clamp(1, n - done);
        let mut ops = vec![];
        for _ in 0..batch {
            let b = w.dice.below(done as u64) as usize;
            let m = w.add();
            ops.push((m, w.start_join(m, &[b])));
        }
        for (m, op) in ops {
            w.finish(m, op);
            w.member(m).has_joined = true;
        }
        done += batch;
    }
    let (d, _) = w.traffic();
    let e = t.elapsed();
    println!("joined {n}: {d} datagrams {:.2}s {:.0}/s", e.as_secs_f64(), d as f64 / e.as_secs_f64());
    let t = Instant::now();
    let (d0, _) = w.traffic();
    w.run_for(Duration::from_secs(60));
    for i in 0..20000u64 {
        let m = w.dice.below(n as u64) as usize;
        w.start(m, |node, now| node.find_node(now, now.plus_millis(30000), kad_wire::Key::hash_int(i)));
        w.run_for(Duration::from_millis(5));
        while w.next_outcome().is_some() {}
    }
    let (d, _) = w.traffic();
    let d = d - d0;
    let e = t.elapsed();
    println!("lookups: {d} datagrams {:.2}s {:.0}/s", e.as_secs_f64(), d as f64 / e.as_secs_f64());
    println!("size {}", w.member(0).size());
    let st = std::fs::read_to_string("/proc/self/statm").unwrap();
    let rss: u64 = st.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 4096;
    println!("rss {} per node {}", rss >> 20, rss / n as u64);
}
