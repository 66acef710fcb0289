//! Commands that reach a daemon elsewhere, and settings as people write them.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::process::Output;
use std::time::{Duration, Instant};

use crate::common::{Daemon, fail, kad, run, run_with, succeed};

const TOKEN: &str = "a token for the tests";

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim_end().to_owned()
}

/// A daemon with a token that stays, reached as from another host: it listens on every address, so that nothing but the token
/// opens it. Returns it with its URL and the file with the token.
fn elsewhere(arguments: &[&str]) -> (Daemon, String, String) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("token");
    std::fs::write(&file, format!("{}\n", TOKEN.replace(' ', "-"))).unwrap();
    let file = file.to_str().unwrap().to_owned();
    let daemon = Daemon::start_in(directory, &[&["--http", "0.0.0.0:0", "--token", &file], arguments].concat());
    let url = format!("http://127.0.0.1:{}", daemon.http.port());
    (daemon, url, file)
}

#[test]
fn a_daemon_elsewhere_is_reached_by_every_command_with_its_token() {
    let (mut daemon, url, file) = elsewhere(&[]);
    let other = Daemon::join(&daemon);
    daemon.wait_for("contacts", |count| count == 1);
    let there = ["--api", &url, "--token", &file];
    let with = |arguments: &[&str]| [arguments, &there].concat().into_iter().map(str::to_owned).collect::<Vec<_>>();
    let ok = |arguments: &[&str]| {
        let arguments = with(arguments);
        text(&succeed(&arguments.iter().map(String::as_str).collect::<Vec<_>>()))
    };
    let key = ok(&["put", "hello"]);
    assert_eq!(ok(&["get", &key]), "hello");
    ok(&["put", "--name", "greeting", "hi"]);
    assert_eq!(ok(&["get", "--name", "greeting"]), "hi");
    assert!(ok(&["get", "--name", "greeting", "--all"]).contains("aGk="));
    let lines = run_with(
        b"{\"text\": \"a\"}\n{\"text\": \"b\", \"name\": \"n\"}\n",
        &[&["put", "--jsonl", "-"], &there[..]].concat(),
    );
    assert!(lines.status.success(), "{}", text(&lines.stderr));
    assert_eq!(ok(&["get", "--name", "n"]), "b");
    assert!(ok(&["status"]).contains("in the network"));
    assert!(ok(&["peers"]).contains(&other.address.to_string()));
    assert!(ok(&["lookup", &key]).contains("1 node answered"));
    assert!(ok(&["ping", &other.address.to_string()]).contains(&other.address.to_string()));
    assert!(ok(&["top", "--once"]).contains("READY"));
    assert!(ok(&["forget", "--name", "greeting"]).contains("1 value is no longer republished"));
    assert!(ok(&["delete", &key]).contains("deleted"));
    // The environment of a container's neighbour.
    let status = kad().args(["status", "--json"]).env("KAD_API", &url).env("KAD_TOKEN_FILE", &file).output().unwrap();
    assert!(status.status.success(), "{}", text(&status.stderr));
    // Flags go before it.
    let here = ["status", "--json", "--data-dir", other.dir()];
    let status = kad().args(here).env("KAD_API", &url).env("KAD_TOKEN_FILE", &file).output().unwrap();
    assert!(text(&status.stdout).contains(&other.address.to_string()), "{}", text(&status.stderr));
    // The control file is one with a token too.
    let control = daemon.path().join("control.json");
    succeed(&["status", "--api", &url, "--token", control.to_str().unwrap()]);
    ok(&["stop"]);
    assert_eq!(daemon.child.wait().unwrap().code(), Some(0));
}

#[test]
fn what_is_wrong_with_a_daemon_elsewhere_has_a_message_and_a_status() {
    let (daemon, url, file) = elsewhere(&["--no-gateway"]);
    for arguments in [&["status"][..], &["put", "x"], &["get", "--name", "x"], &["stop"], &["top", "--once"]] {
        let (status, message) = fail(&[arguments, &["--api", &url]].concat());
        assert!(status == 12 && message.contains("--token FILE"), "{arguments:?}: {status}: {message}");
    }
    let wrong = daemon.path().join("wrong");
    std::fs::write(&wrong, "another-token-than-that").unwrap();
    let (status, message) = fail(&["status", "--api", &url, "--token", wrong.to_str().unwrap()]);
    assert!(status == 12 && message.contains("not the token"), "{status}: {message}");
    std::fs::write(&wrong, "short").unwrap();
    let (status, message) = fail(&["status", "--api", &url, "--token", wrong.to_str().unwrap()]);
    assert!(status == 5 && message.contains("a token of at least 16"), "{status}: {message}");

    // A name that the daemon does not know: behind DNS rebinding there would be one too.
    let named = Daemon::start(&[]);
    let by_name = format!("http://{}", named.http).replace("127.0.0.1", "localhost");
    succeed(&["status", "--api", &by_name]);

    // Nobody listens.
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (status, message) = fail(&["status", "--api", &format!("http://{nobody}")]);
    assert!(
        status == 7 && message.contains("no daemon answers at") && message.contains("--http"),
        "{status}: {message}"
    );
    let (status, message) = fail(&["status", "--api", &other_service()]);
    assert!(
        status == 7 && message.contains("is not a kad daemon") && !message.contains("<html>"),
        "{status}: {message}"
    );

    for (arguments, says) in [
        (&["status", "--api", "https://127.0.0.1:1"][..], "SSH tunnel"),
        (&["status", "--api", "ftp://127.0.0.1:1"], "like http://"),
        (&["status", "--api", &url, "--data-dir", "/tmp"], "omit --data-dir and --bootstrap"),
        (&["get", "--name", "x", "--api", &url, "--bootstrap", "127.0.0.1:1"], "omit --data-dir and --bootstrap"),
        (&["status", "--token", &file], "--api URL"),
    ] {
        let (status, message) = fail(arguments);
        assert!(status == 2 && message.contains(says), "{arguments:?}: {status}: {message}");
    }
}

/// A web server that is no daemon: answers every request with a page.
fn other_service() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || serve_pages(&listener));
    url
}

fn serve_pages(listener: &TcpListener) {
    for stream in listener.incoming() {
        let mut stream = stream.unwrap();
        let mut request = [0; 4096];
        let _ = stream.read(&mut request);
        let page = "<html>Another service</html>";
        let head = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close";
        let _ = write!(stream, "{head}\r\nContent-Length: {}\r\n\r\n{page}", page.len());
        // What is left unread would reset the connection, and the page with it.
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let _ = std::io::copy(&mut stream, &mut std::io::sink());
    }
}

#[test]
fn a_control_file_whose_port_went_to_another_service_leads_nowhere() {
    let daemon = Daemon::start(&[]);
    let port = daemon.http;
    let directory = daemon.crash();
    assert!(directory.path().join("control.json").exists(), "a crash leaves it");
    let deadline = Instant::now() + Duration::from_secs(20);
    let listener = loop {
        match TcpListener::bind(port) {
            Ok(listener) => break listener,
            Err(error) => assert!(Instant::now() < deadline, "{error}"),
        }
        std::thread::sleep(Duration::from_millis(50));
    };
    std::thread::spawn(move || serve_pages(&listener));
    let here = ["--data-dir", directory.path().to_str().unwrap()];
    for command in [&["status"][..], &["put", "x"], &["get", "--name", "x"], &["peers"], &["stop"], &["top", "--once"]]
    {
        let (status, message) = fail(&[command, &here].concat());
        assert!(status == 7 && !message.contains("<html>"), "{command:?}: {status}: {message}");
        assert!(message.contains("something else answers") && message.contains("kad daemon"), "{command:?}: {message}");
    }
}

#[test]
fn stopping_without_a_daemon_gives_no_advice_that_it_refuses() {
    let directory = tempfile::tempdir().unwrap();
    let here = ["--data-dir", directory.path().to_str().unwrap()];
    for command in [&["stop"][..], &["forget", "--name", "x"], &["delete", "--name", "x"], &["top", "--once"]] {
        let (status, message) = fail(&[command, &here].concat());
        assert!(
            status == 7 && message.contains("--data-dir") && !message.contains("--bootstrap"),
            "{command:?}: {message}"
        );
    }
    let (_, message) = fail(&[&["get", "--name", "x"], &here[..]].concat());
    assert!(message.contains("--bootstrap ADDRESS"), "this one can do without: {message}");
}

/// Runs a command with these variables.
fn with_variables(arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    kad().args(arguments).envs(variables.iter().copied()).output().unwrap()
}

#[test]
fn variables_are_read_as_people_write_them() {
    let directory = tempfile::tempdir().unwrap();
    let show = ["config", "show", "--json", "--data-dir", directory.path().to_str().unwrap()];
    let shown = |variables: &[(&str, &str)]| {
        let output = with_variables(&show, variables);
        assert!(output.status.success(), "{variables:?}: {}", text(&output.stderr));
        serde_json::from_slice::<serde_json::Value>(&output.stdout).unwrap()["settings"].clone()
    };
    // Composed containers leave variables empty.
    let empty =
        ["KAD_BOOTSTRAP", "KAD_LISTEN", "KAD_HTTP", "KAD_K", "KAD_NO_GATEWAY", "KAD_STORAGE", "KAD_LOG", "KAD_TIMEOUT"];
    let settings = shown(&empty.map(|name| (name, "")));
    assert_eq!(settings, shown(&[]), "an empty variable is none");
    for (list, parts) in [
        ("a.example:1,b.example:2", vec!["a.example:1", "b.example:2"]),
        ("a.example:1, b.example:2", vec!["a.example:1", "b.example:2"]),
        (" a.example:1 ,b.example:2,", vec!["a.example:1", "b.example:2"]),
        ("a.example:1,,", vec!["a.example:1"]),
    ] {
        assert_eq!(shown(&[("KAD_BOOTSTRAP", list)])["bootstrap"]["value"], serde_json::json!(parts), "{list:?}");
    }
    for (value, is_on) in [
        ("1", true),
        ("true", true),
        ("YES", true),
        ("on", true),
        ("0", false),
        ("false", false),
        ("No", false),
        ("off", false),
    ] {
        assert_eq!(shown(&[("KAD_NO_GATEWAY", value)])["no-gateway"]["value"], is_on.to_string(), "{value}");
    }
    let wrong = with_variables(&show, &[("KAD_NO_GATEWAY", "perhaps")]);
    assert_eq!(wrong.status.code(), Some(2));
    let wrong = with_variables(&show, &[("KAD_BOOTSTRAP", "a b:1")]);
    assert!(wrong.status.code() == Some(2) && text(&wrong.stderr).contains("ADDRESS:PORT"), "{}", text(&wrong.stderr));
    // What a daemon takes is the same.
    let daemon = Daemon::start(&[]);
    let seed = format!("{}, ", daemon.address);
    assert_eq!(
        shown(&[("KAD_BOOTSTRAP", &seed)])["bootstrap"]["value"],
        serde_json::json!([daemon.address.to_string()])
    );
}

#[test]
fn a_value_too_many_is_explained() {
    for (arguments, says) in [
        (&["put", "greeting", "hello"][..], "kad put --name greeting hello"),
        (&["put", "my name", "it's"], r"kad put --name 'my name' 'it'\''s'"),
        (&["put", "three", "plain", "words"], "kad put 'three plain words'"),
        (&["put", "--name", "n", "two", "words"], "kad put 'two words'"),
    ] {
        let (status, message) = fail(arguments);
        assert!(status == 2 && message.contains(says), "{arguments:?}: {message}");
    }
}

#[test]
fn commands_and_daemons_say_as_much_as_they_are_asked_to() {
    let daemon = Daemon::start(&[]);
    let here = ["--data-dir", daemon.dir()];
    let put = |arguments: &[&str]| {
        let output = run(&[&["put", "x"], arguments, &here].concat());
        assert!(output.status.success());
        text(&output.stderr)
    };
    assert!(put(&[]).contains("stored at this node only") && !put(&[]).contains("asking the daemon"));
    assert!(put(&["-v"]).contains("asking the daemon"));
    assert_eq!(put(&["-q"]), "");
    let common = kad().args(["put", "x"]).args(here).env("RUST_LOG", "kad=debug").output().unwrap();
    assert!(text(&common.stderr).contains("asking the daemon"), "{}", text(&common.stderr));
    let (status, message) = fail(&["get", "--name", "none", "-q", "--data-dir", daemon.dir()]);
    assert!(status == 3 && message.contains("no value"), "errors are said all the same");

    // Of a daemon: --log, then -v and -q, then KAD_LOG, then RUST_LOG, then the file, then the default.
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("config.toml"), "log = \"kad=info\"\n").unwrap();
    let there = ["config", "show", "--json", "--data-dir", directory.path().to_str().unwrap()];
    let all = [("KAD_LOG", "kad=trace"), ("RUST_LOG", "kad=error")];
    for (flags, variables, log) in [
        (&["--log", "off", "-v"][..], &all[..], "off"),
        (&["-v"], &all, "debug"),
        (&["-vv"], &all, "trace"),
        (&["-q"], &all, "warn"),
        (&[], &all, "kad=trace"),
        (&[], &all[1..], "kad=error"),
        (&[], &[], "kad=info"),
    ] {
        let output = with_variables(&[&there, flags].concat(), variables);
        let shown: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(shown["settings"]["log"]["value"], log, "{flags:?} {variables:?}");
    }
}

#[test]
fn a_status_shows_what_buffers_were_asked_for_and_granted() {
    let daemon = Daemon::start(&["--socket-buffer", "64KiB", "--workers", "2"]);
    let status = daemon.status();
    assert_eq!((status["buffer_wanted"].as_u64(), status["receive_buffer"].as_u64()), (Some(64 << 10), Some(64 << 10)));
    let shown = text(&succeed(&["status", "--data-dir", daemon.dir()]));
    assert!(shown.contains("64.0 KiB in, 64.0 KiB out for each of 2 workers; 64.0 KiB requested"), "{shown}");
}

#[test]
fn a_bad_key_is_told_its_length_once() {
    let (status, message) = fail(&["get", "abc", "--bootstrap", "127.0.0.1:1"]);
    assert!(status == 4 && message.matches("64").count() == 1, "{message}");
    let daemon = Daemon::start(&[]);
    let (status, answer) = daemon.ask("GET", "/abc", b"");
    let problem: serde_json::Value = serde_json::from_slice(&answer).unwrap();
    assert!(status == 400 && problem["detail"].as_str().unwrap().matches("64").count() == 1, "{problem}");
}

/// Names, where the resolver never answers: a network of its own, whose name server is beyond a cable that leads nowhere.
#[cfg(target_os = "linux")]
mod names {
    use super::*;

    /// Runs a script there with `$kad` as the program, or nothing where this user may not.
    fn with_silent_resolver(script: &str, arguments: &[&str]) -> Option<Output> {
        if !kad_netns::is_possible() {
            return None;
        }
        let directory = tempfile::tempdir().unwrap();
        let resolver = directory.path().join("resolv.conf");
        std::fs::write(&resolver, "nameserver 192.0.2.1\n").unwrap();
        let setup = "set -e; ip link set lo up; ip link add hole type veth peer name far; ip link set far up; \
                     ip link set hole up; ip addr add 192.0.2.2/24 dev hole; \
                     ip neigh add 192.0.2.1 lladdr 02:00:00:00:00:01 dev hole; \
                     mount --bind \"$1\" /etc/resolv.conf; kad=$2; shift 2";
        let program = kad().get_program().to_owned();
        let mut command = std::process::Command::new("unshare");
        command.args(["--net", "--mount", "sh", "-c", &format!("{setup}; {script}"), "sh"]);
        let output =
            command.arg(&resolver).arg(program).args(arguments).env("XDG_CONFIG_HOME", "/nonexistent").output();
        Some(output.expect("unshare runs"))
    }

    #[test]
    fn a_resolver_that_hangs_takes_no_longer_than_the_timeout() {
        let start = Instant::now();
        let Some(output) = with_silent_resolver("exec $kad ping --timeout 1s seed.example:9000", &[]) else { return };
        let (status, message) = (output.status.code(), text(&output.stderr));
        assert!(status == Some(7) && message.contains("the resolver does not answer"), "{status:?}: {message}");
        // The resolver itself gives up after ten seconds.
        assert!(start.elapsed() < Duration::from_secs(6), "{:?}", start.elapsed());
    }

    #[test]
    fn a_dead_name_does_not_make_a_good_address_fail() {
        let directory = tempfile::tempdir().unwrap();
        let script = "$kad daemon -q --listen 127.0.0.1:9000 --data-dir \"$1\" & daemon=$!; \
                      while ! [ -e \"$1/control.json\" ]; do sleep 0.02; done; \
                      $kad put hello --timeout 4s --bootstrap seed.example:9000 --bootstrap 127.0.0.1:9000 && status=0 || status=$?; \
                      kill $daemon; wait $daemon || true; exit $status";
        let Some(output) = with_silent_resolver(script, &[directory.path().to_str().unwrap()]) else { return };
        assert!(output.status.success(), "{:?}: {}", output.status, text(&output.stderr));
        assert_eq!(text(&output.stdout).len(), 64, "the key");
    }

    /// A daemon too joins through the address at once.
    #[test]
    fn a_daemon_joins_through_the_address_that_it_knows() {
        let directory = tempfile::tempdir().unwrap();
        let script = "$kad daemon -q --listen 127.0.0.1:9000 --data-dir \"$1/a\" & first=$!; \
                      while ! [ -e \"$1/a/control.json\" ]; do sleep 0.02; done; \
                      $kad daemon -q --listen 127.0.0.1:9001 --data-dir \"$1/b\" \
                      --bootstrap seed.example:9000,127.0.0.1:9000 & second=$!; \
                      while ! [ -e \"$1/b/control.json\" ]; do sleep 0.02; done; start=$(date +%s%N); \
                      for try in $(seq 400); do $kad peers --data-dir \"$1/b\" | grep -q '1 contact$' && break; sleep 0.02; done; \
                      echo $((($(date +%s%N) - start) / 1000000)); kill $first $second; wait";
        let Some(output) = with_silent_resolver(script, &[directory.path().to_str().unwrap()]) else { return };
        let took: u64 = text(&output.stdout).parse().unwrap_or_else(|_| panic!("{}", text(&output.stderr)));
        assert!(took < 4000, "{took} ms: a name is waited for for five seconds");
    }
}
