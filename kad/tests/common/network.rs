//! A whole network as a process: `kad dev`.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::kad;

/// How long a network may take to start, and to do what it is told to.
const PATIENCE: Duration = Duration::from_secs(240);
/// How long a request may take.
const REQUEST: Duration = Duration::from_secs(35);

/// A network, ended when dropped.
pub(crate) struct Network {
    child: Child,
    orders: ChildStdin,
    // Several threads ask nodes while one gives orders.
    answers: Mutex<Receiver<String>>,
    agent: ureq::Agent,
    /// What `kad dev` has found, and who is in the network.
    pub(crate) report: Value,
    /// Where each node serves HTTP.
    pub(crate) http: Vec<String>,
}

impl Network {
    /// Starts a network and waits until it has checked itself.
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let mut child = kad()
            .args(["dev", "--json"])
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("kad starts");
        let (sender, answers) = mpsc::channel();
        let lines = BufReader::new(child.stdout.take().expect("piped")).lines().map_while(Result::ok);
        std::thread::spawn(move || lines.for_each(|line| drop(sender.send(line))));
        let orders = child.stdin.take().expect("piped");
        let agent = ureq::Agent::config_builder().http_status_as_error(false).proxy(None).timeout_global(Some(REQUEST));
        let agent = agent.max_idle_connections_per_host(16).build().new_agent();
        let mut network =
            Self { child, orders, answers: Mutex::new(answers), agent, report: Value::Null, http: Vec::new() };
        network.report = network.answer();
        let members = network.report["members"].as_array().expect("members").iter();
        network.http = members.map(|member| format!("http://{}", member["http"].as_str().unwrap())).collect();
        network
    }

    fn answer(&mut self) -> Value {
        let line = self.answers.get_mut().unwrap().recv_timeout(PATIENCE).expect("an answer in time");
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"))
    }

    /// Gives an order, which must be done.
    pub(crate) fn order(&mut self, order: &str) -> Value {
        let answer = self.try_order(order);
        assert!(answer["error"].is_null(), "{answer}");
        answer
    }

    /// Gives an order, and answers with what became of it.
    pub(crate) fn try_order(&mut self, order: &str) -> Value {
        writeln!(self.orders, "{order}").expect("the network takes orders");
        loop {
            let answer = self.answer();
            if answer["done"] == order || answer["order"] == order {
                return answer;
            }
        }
    }

    /// Stores a value through a node. Answers with its place.
    pub(crate) fn post(&self, node: usize, value: &[u8]) -> Result<String, String> {
        let request = self.agent.post(format!("{}/", self.http[node])).content_type("application/octet-stream");
        let mut answer = request.send(value).map_err(|error| format!("node {node}: {error}"))?;
        let text = answer.body_mut().read_to_vec().map_err(|error| format!("node {node}: {error}"))?;
        match (answer.status().as_u16(), answer.headers().get("location")) {
            (202, Some(location)) => Ok(location.to_str().expect("text").to_owned()),
            (status, _) => Err(format!("node {node}: {status}: {}", String::from_utf8_lossy(&text))),
        }
    }

    /// What a node answers to a GET: the status and the body. Nothing if it does not answer.
    pub(crate) fn get(&self, node: usize, path: &str) -> Option<(u16, Vec<u8>)> {
        let mut answer = self.agent.get(format!("{}{path}", self.http[node])).call().ok()?;
        Some((answer.status().as_u16(), answer.body_mut().read_to_vec().ok()?))
    }

    /// Whether a node says that it reaches its network. Nothing if it does not answer.
    pub(crate) fn ready(&self, node: usize) -> Option<bool> {
        self.get(node, "/ready").map(|(status, _)| status == 200)
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        // `quit` lets it remove what it made; it may have ended already.
        let _ = writeln!(self.orders, "quit");
        let kill = std::process::Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status();
        let _ = kill.map(|_| self.child.wait());
    }
}

/// Polls until something is so.
pub(crate) fn wait_until(what: &str, limit: Duration, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + limit;
    while !is_so() {
        assert!(Instant::now() < deadline, "{what}: not within {limit:?}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Does something for each number, with some threads. Answers with what was wrong.
pub(crate) fn for_each(count: usize, threads: usize, job: impl Fn(usize) -> Result<(), String> + Sync) -> Vec<String> {
    let next = AtomicUsize::new(0);
    let wrong = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= count {
                        return;
                    }
                    if let Err(message) = job(number) {
                        wrong.lock().unwrap().push(message);
                    }
                }
            });
        }
    });
    wrong.into_inner().unwrap()
}
