//! The files of `deploy/` against the program: every flag and every variable that they use is one that `kad` takes, and ports
//! and paths agree. No container engine is needed, and none is used.

use crate::common;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use common::{Daemon, kad};
use serde_json::Value;

fn deploy(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy").join(name)
}

fn text(name: &str) -> String {
    std::fs::read_to_string(deploy(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The documents of a YAML file.
fn yaml(name: &str) -> Vec<Value> {
    serde_saphyr::from_multiple(&text(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The values of a file with `NAME=VALUE` in each line.
fn variables(text: &str) -> Vec<(String, String)> {
    let lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    lines.map(|line| line.split_once('=').expect("NAME=VALUE")).map(|(n, v)| (n.into(), v.into())).collect()
}

/// What a daemon makes of these variables and flags: each variable must be a setting of its.
fn settings(variables: &[(String, String)], flags: &[&str]) -> Value {
    let mut command = kad();
    command.args(["config", "show", "--json"]).args(flags);
    let pairs = variables.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let output = command.envs(pairs).output().expect("kad runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{variables:?} {flags:?}: {said}");
    let shown: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let from_environment = shown["settings"].as_object().expect("settings").values();
    let count = from_environment.filter(|setting| setting["source"] == "environment").count();
    assert_eq!(count, variables.len(), "each of {variables:?} is a setting: {shown}");
    shown["settings"].clone()
}

fn is(settings: &Value, name: &str, expected: &str) {
    let value = &settings[name]["value"];
    // Some settings are lists, which have one part here.
    assert_eq!(value.get(0).unwrap_or(value), expected, "{name}");
}

/// The lines of a unit that begin with this name.
fn unit(name: &str) -> Vec<String> {
    let unit = text("systemd/kad.service");
    unit.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix('=')).map(str::to_owned).collect()
}

#[test]
fn the_unit_starts_the_daemon_that_is_meant() {
    let start = unit("ExecStart");
    let words: Vec<_> = start[0].split(' ').map(|word| word.replace("${STATE_DIRECTORY}", "/var/lib/kad")).collect();
    assert_eq!(words[..2], ["/usr/local/bin/kad", "daemon"]);
    let flags: Vec<_> = words[2..].iter().map(String::as_str).collect();
    let settings = settings(&variables(&text("systemd/kad.env")), &flags);
    is(&settings, "storage", "disk");
    is(&settings, "data-dir", "/var/lib/kad");
    is(&settings, "listen", "0.0.0.0:9000");
    is(&settings, "http", "127.0.0.1:9000");
    assert_eq!((unit("Type"), unit("StateDirectory")), (vec!["notify".into()], vec!["kad".into()]));
    let files: u32 = unit("LimitNOFILE")[0].parse().expect("a number");
    let connections: u32 = settings["http-connections"]["value"].as_str().unwrap().parse().expect("a number");
    assert!(files > connections + 256);
}

#[cfg(target_os = "linux")]
#[test]
fn the_sockets_of_systemd_are_where_the_daemon_would_listen() {
    let settings = settings(&variables(&text("systemd/kad.env")), &[]);
    let socket = text("systemd/kad.socket");
    let listens = |name: &str| socket.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('=')).unwrap();
    is(&settings, "listen", listens("ListenDatagram"));
    is(&settings, "http", listens("ListenStream"));
}

#[test]
fn systemd_takes_the_units() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::copy(deploy("systemd/kad.socket"), directory.path().join("kad.socket")).unwrap();
    let path = directory.path().join("kad.service");
    // It checks that the program is there.
    let unit = text("systemd/kad.service").replace("/usr/local/bin/kad", env!("CARGO_BIN_EXE_kad"));
    std::fs::write(&path, unit).unwrap();
    let run = |arguments: &[&str]| std::process::Command::new("systemd-analyze").args(arguments).arg(&path).output();
    let socket = directory.path().join("kad.socket");
    let Ok(verified) = run(&["verify", "--man=no", socket.to_str().unwrap()]) else {
        return kad_netns::left_out("systemd", "systemd-analyze is not installed (Debian: systemd)");
    };
    let said = String::from_utf8_lossy(&verified.stderr);
    assert!(verified.status.success() && said.is_empty(), "{said}");
    // Ten is no protection at all; below two is what systemd calls OK.
    let judged = run(&["security", "--offline=true", "--threshold=20", "--no-pager"]).unwrap();
    assert!(judged.status.success(), "{}", String::from_utf8_lossy(&judged.stdout));
}

/// The `ENV` of the image.
fn image() -> Vec<(String, String)> {
    let file = text("Dockerfile").replace("\\\n", " ");
    let lines = file.lines().filter_map(|line| line.strip_prefix("ENV "));
    variables(&lines.flat_map(str::split_whitespace).collect::<Vec<_>>().join("\n"))
}

/// What an instruction of the image says, as JSON.
fn instruction(name: &str) -> Vec<String> {
    let file = text("Dockerfile");
    let line = file.lines().rev().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("no {name}"));
    serde_json::from_str(&line[line.find('[').expect("a list")..]).expect("a list of texts")
}

#[test]
fn the_image_runs_the_daemon_and_looks_after_it() {
    let settings = settings(&image(), &[]);
    is(&settings, "data-dir", "/var/lib/kad");
    is(&settings, "listen", "0.0.0.0:9000");
    let file = text("Dockerfile");
    for line in ["VOLUME /var/lib/kad", "EXPOSE 9000/udp 9000/tcp", "USER 65532:65532", "STOPSIGNAL SIGTERM"] {
        assert!(file.lines().any(|one| one == line), "{line}");
    }
    assert_eq!((instruction("ENTRYPOINT"), instruction("CMD [")), (vec!["kad".into()], vec!["daemon".into()]));
    // The health check, against a daemon that runs and against none.
    let daemon = Daemon::start(&[]);
    let check = instruction("HEALTHCHECK");
    let run = |directory: &Path| kad().args(&check[1..]).env("KAD_DATA_DIR", directory).output().unwrap().status;
    assert!(run(daemon.path()).success());
    assert!(!run(tempfile::tempdir().unwrap().path()).success());
}

#[test]
fn the_network_of_containers_has_ten_nodes_that_find_each_other() {
    let compose = yaml("compose.yaml").remove(0);
    let services = compose["services"].as_object().expect("services");
    let replicas = |service: &Value| service["deploy"]["replicas"].as_u64().unwrap_or(1);
    assert_eq!(services.values().map(replicas).sum::<u64>(), 10);
    for (name, service) in services {
        let own = service["environment"].as_object().expect("variables").iter();
        let own: Vec<_> = own.map(|(name, value)| (name.clone(), value.as_str().expect("text").to_owned())).collect();
        let settings = settings(&[image(), own].concat(), &[]);
        let through = settings["bootstrap"]["value"].as_array().expect("a list")[0].as_str().unwrap().to_owned();
        let (host, port) = through.split_once(':').unwrap();
        assert!(services.contains_key(host) && host != name && port == "9000", "{name} joins through {through}");
        for port in service["ports"].as_array().into_iter().flatten() {
            assert_eq!(port, "127.0.0.1:9000:9000/tcp", "published on loopback only");
            is(&settings, "http", "0.0.0.0:9000");
        }
        for volume in service["volumes"].as_array().into_iter().flatten() {
            let (volume, path) = volume.as_str().unwrap().split_once(':').unwrap();
            assert!(compose["volumes"].as_object().unwrap().contains_key(volume) && path == "/var/lib/kad");
        }
    }
}

fn kind<'d>(documents: &'d [Value], kind: &str, name: &str) -> &'d Value {
    let found = documents.iter().find(|one| one["kind"] == kind && one["metadata"]["name"] == name);
    found.unwrap_or_else(|| panic!("no {kind} {name}"))
}

#[test]
fn the_stateful_set_agrees_with_its_services_and_with_the_program() {
    let documents = yaml("kubernetes/kad.yaml");
    let set = &kind(&documents, "StatefulSet", "kad")["spec"];
    let (pod, container) = (&set["template"]["spec"], &set["template"]["spec"]["containers"][0]);
    let env = container["env"].as_array().expect("variables").iter();
    let env: Vec<(String, String)> =
        env.map(|one| (one["name"].as_str().unwrap().to_owned(), one["value"].as_str().unwrap().to_owned())).collect();
    let settings = settings(&env, &[]);
    assert_eq!(container["args"], serde_json::json!(["daemon"]));
    is(&settings, "data-dir", container["volumeMounts"][0]["mountPath"].as_str().unwrap());
    assert_eq!(container["volumeMounts"][0]["name"], set["volumeClaimTemplates"][0]["metadata"]["name"]);

    let ports = container["ports"].as_array().expect("ports");
    let port = |name: &str| ports.iter().find(|port| port["name"] == name).expect("a port")["containerPort"].clone();
    is(&settings, "listen", &format!("0.0.0.0:{}", port("dht")));
    is(&settings, "http", &format!("0.0.0.0:{}", port("http")));
    let headless = &kind(&documents, "Service", set["serviceName"].as_str().unwrap())["spec"];
    assert_eq!((&headless["clusterIP"], &headless["publishNotReadyAddresses"]), (&"None".into(), &true.into()));
    assert_eq!(settings["bootstrap"]["value"][0], format!("{}:{}", set["serviceName"].as_str().unwrap(), port("dht")));
    assert_eq!(set["podManagementPolicy"], "Parallel", "the first is not ready before another is there");
    for document in documents.iter().filter(|one| one["kind"] == "Service") {
        assert_eq!(document["spec"]["selector"], set["selector"]["matchLabels"]);
        for service in document["spec"]["ports"].as_array().unwrap() {
            assert!(
                ports.iter().any(|one| one["name"] == service["targetPort"] && one["protocol"] == service["protocol"])
            );
        }
    }
    assert_eq!(set["template"]["metadata"]["labels"], set["selector"]["matchLabels"]);
    assert_eq!(
        (&pod["securityContext"]["runAsUser"], &pod["securityContext"]["runAsNonRoot"]),
        (&65532.into(), &true.into())
    );
}

#[test]
fn probes_ask_for_what_a_daemon_serves() {
    let documents = yaml("kubernetes/kad.yaml");
    let container = &kind(&documents, "StatefulSet", "kad")["spec"]["template"]["spec"]["containers"][0];
    let first = Daemon::start(&[]);
    let second = Daemon::join(&first);
    for (probe, path) in [("startupProbe", "/health"), ("livenessProbe", "/health"), ("readinessProbe", "/ready")] {
        assert_eq!(
            (&container[probe]["httpGet"]["path"], &container[probe]["httpGet"]["port"]),
            (&path.into(), &"http".into())
        );
        assert_eq!(second.ask("GET", path, b"").0, 200);
    }
}

/// Names of metrics in an expression.
fn metrics(expression: &str) -> BTreeSet<&str> {
    let words = expression.split(|one: char| !(one.is_ascii_alphanumeric() || one == '_'));
    words.filter(|word| word.starts_with("kad_")).collect()
}

#[test]
fn alerts_are_about_metrics_that_there_are() {
    let rules = yaml("prometheus/alerts.yml").remove(0);
    let daemon = Daemon::start(&[]);
    // Counters by status are there from the first request on.
    daemon.ask("GET", "/health", b"");
    let served = String::from_utf8(daemon.ask("GET", "/metrics", b"").1).unwrap();
    let served: BTreeSet<&str> = served.lines().filter_map(|line| line.split(['{', ' ']).next()).collect();
    let rules = rules["groups"][0]["rules"].as_array().expect("rules");
    let mut used = 0;
    for rule in rules {
        let names = metrics(rule["expr"].as_str().expect("an expression"));
        used += names.len();
        let unknown: Vec<_> = names.difference(&served).collect();
        assert!(unknown.is_empty(), "{}: {unknown:?}", rule["alert"]);
    }
    assert!(used >= 10, "{used} metrics were recognised");
    let guide = std::fs::read_to_string(deploy("../docs/deployment.md")).unwrap();
    for rule in rules {
        assert!(guide.contains(rule["alert"].as_str().unwrap()), "the guide says what to do about {}", rule["alert"]);
    }
    let scrape = yaml("prometheus/prometheus.yml").remove(0);
    assert_eq!(scrape["scrape_configs"][0]["job_name"], "kad", "what alerts ask for");
    assert_eq!(daemon.ask("GET", scrape["scrape_configs"][0]["metrics_path"].as_str().unwrap(), b"").0, 200);
    assert!(deploy("prometheus").join(scrape["rule_files"][0].as_str().unwrap()).exists());
}
