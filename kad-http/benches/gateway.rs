//! GETs and POSTs per second through twenty gateways of one network on loopback, load generator included:
//! `cargo bench -p kad-http`. Every answer is checked.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::Request;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use kad_http::{Server, Settings};
use kad_tokio::{Capacity, Dht, Key};
use tokio::net::TcpStream;

const NODES: usize = 20;
const SPAN: Duration = Duration::from_secs(5);
const VALUES: usize = 1000;

type Connection = SendRequest<Full<Bytes>>;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let addresses = start().await;
        println!("{NODES} nodes, {} s each, every answer checked\n", SPAN.as_secs());
        println!("| operation | bytes | clients | per second | CPU per operation |\n|---|---|---|---|---|");
        for (len, clients) in [(64, 1), (64, 64), (64, 512), (16 << 10, 64)] {
            let values: Arc<Vec<Bytes>> = Arc::new((0..VALUES).map(|number| value(number as u64, len)).collect());
            run("POST", len, clients, &addresses, &values).await;
            fill(&addresses, &values).await;
            run("GET", len, clients, &addresses, &values).await;
        }
    });
}

/// The network, and where its servers listen.
async fn start() -> Vec<SocketAddr> {
    let mut nodes: Vec<Dht> = Vec::new();
    let mut addresses = Vec::new();
    for _ in 0..NODES {
        let bootstrap = nodes.last().map(|dht| dht.local_addr().to_string());
        let builder = Dht::builder().listen((Ipv4Addr::LOCALHOST, 0).into()).capacity(Capacity::SERVER);
        let dht = builder.bootstrap(bootstrap).start().unwrap();
        dht.joined().await.unwrap();
        let server = Server::bind((Ipv4Addr::LOCALHOST, 0).into(), dht.clone(), Settings::default()).await.unwrap();
        addresses.push(server.local_addr());
        tokio::spawn(server.run(std::future::pending()));
        nodes.push(dht);
    }
    addresses
}

fn value(number: u64, len: usize) -> Bytes {
    let seed = number.to_le_bytes();
    (0..len).map(|at| seed[at % 8] ^ (at / 8) as u8).collect::<Vec<_>>().into()
}

async fn connect(address: SocketAddr) -> Connection {
    let stream = TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let (sender, connection) = handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    sender
}

async fn ask(connection: &mut Connection, method: &str, path: &str, body: Bytes) -> (u16, Bytes) {
    let request = Request::builder().method(method).uri(path).header("Host", "localhost");
    connection.ready().await.unwrap();
    let answer = connection.send_request(request.body(Full::new(body)).unwrap()).await.unwrap();
    let status = answer.status().as_u16();
    (status, answer.into_body().collect().await.unwrap().to_bytes())
}

/// Stores the values that will be read, with all the copies that there can be.
async fn fill(addresses: &[SocketAddr], values: &[Bytes]) {
    let mut connection = connect(addresses[0]).await;
    for value in values {
        let (status, _) = ask(&mut connection, "POST", "/?copies=all", value.clone()).await;
        assert_eq!(status, 202);
    }
}

/// Loads all servers in turn, and prints a row.
async fn run(method: &'static str, len: usize, clients: usize, addresses: &[SocketAddr], values: &Arc<Vec<Bytes>>) {
    let (done, fresh) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(1 << 32)));
    let paths: Arc<Vec<String>> = Arc::new(values.iter().map(|value| format!("/{}", Key::hash(value))).collect());
    let (start, cpu) = (Instant::now(), cpu_time());
    let tasks = (0..clients).map(|client| {
        let (done, fresh, values, paths) = (done.clone(), fresh.clone(), values.clone(), paths.clone());
        let address = addresses[client % addresses.len()];
        tokio::spawn(async move {
            let mut connection = connect(address).await;
            let mut number = client * 7919;
            while start.elapsed() < SPAN {
                number += 1;
                match method {
                    "GET" => {
                        let at = number % VALUES;
                        let (status, body) = ask(&mut connection, "GET", &paths[at], Bytes::new()).await;
                        assert!(status == 200 && body == values[at], "{status}");
                    }
                    _ => {
                        let body = value(fresh.fetch_add(1, Ordering::Relaxed), len);
                        let (status, echo) = ask(&mut connection, "POST", "/", body.clone()).await;
                        assert!(status == 202 && echo == body, "{status}");
                    }
                }
                done.fetch_add(1, Ordering::Relaxed);
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
    let (count, span) = (done.load(Ordering::Relaxed) as f64, start.elapsed().as_secs_f64());
    let cpu = (cpu_time() - cpu).as_secs_f64() * 1e6 / count;
    println!("| {method} | {len} | {clients} | {:.0} | {cpu:.0} us |", count / span);
}

/// What this process has used, in ticks of a hundredth of a second.
fn cpu_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    Duration::from_millis(ticks * 10)
}
