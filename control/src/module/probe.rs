//! Probes: whether a program that does not speak the module protocol is ready, found out from the outside. Each attempt has its time, and
//! what does not answer is asked again, soon at first and then less often.

use std::io;
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use cutline::config::Probe;
use cutline_host::child::process::Process;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::{sleep, timeout};

use super::alive::watched;
use super::spawn::Plan;

/// Longest time of one attempt at a start.
const ATTEMPT: Duration = Duration::from_secs(1);
/// Wait after the first attempt; doubles from there.
const MIN_DELAY: Duration = Duration::from_millis(5);
/// Longest wait between two attempts.
const MAX_DELAY: Duration = Duration::from_millis(250);
/// Bytes of an HTTP answer that are looked at: `HTTP/1.1 200`.
const STATUS_LINE_BYTES: usize = 12;

/// Attempts until one succeeds; `None`: the module says by itself that it is ready, and this never ends.
pub async fn until_ready(probe: &Probe, plan: &Plan) {
    let mut delay = MIN_DELAY;
    while once(probe, plan, ATTEMPT).await.is_err() {
        sleep(delay).await;
        delay = (delay * 2).min(MAX_DELAY);
    }
}

/// One attempt.
///
/// # Errors
/// What the answer was, or that there was none.
pub async fn once(probe: &Probe, plan: &Plan, within: Duration) -> Result<(), String> {
    let answered = async {
        match probe {
            Probe::Protocol | Probe::Notify => std::future::pending().await,
            Probe::Program(command) => run(command, plan).await,
            Probe::Tcp(address) => connect(address).await,
            Probe::Http(address, path) => get(address, path).await,
        }
    };
    timeout(within, answered).await.unwrap_or_else(|_| Err(format!("no answer within {} ms", within.as_millis())))
}

async fn run(command: &[String], plan: &Plan) -> Result<(), String> {
    let mut command = plan.command_of(command)?;
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let status = ended(&mut command).await.map_err(|fault| fault.to_string())?;
    if status.success() { Ok(()) } else { Err(format!("the probe ended with {status}")) }
}

/// Starts it and waits for its end; dropped meanwhile it is killed.
async fn ended(command: &mut Command) -> io::Result<ExitStatus> {
    let process = Process::start(command)?;
    watched(process.death())?.readable().await.map(drop)?;
    process.ended()
}

async fn connect(address: &str) -> Result<(), String> {
    let connected = if address.starts_with('/') {
        UnixStream::connect(PathBuf::from(address)).await.map(drop)
    } else {
        TcpStream::connect(address).await.map(drop)
    };
    connected.map_err(|fault| format!("{address}: {fault}"))
}

async fn get(address: &str, path: &str) -> Result<(), String> {
    let fault = |fault: std::io::Error| format!("{address}{path}: {fault}");
    let mut stream = TcpStream::connect(address).await.map_err(fault)?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.map_err(fault)?;
    let mut status = [0; STATUS_LINE_BYTES];
    stream.read_exact(&mut status).await.map_err(fault)?;
    let is_good =
        status.starts_with(b"HTTP/1.") && status[8..10] == *b" 2" && status[10..].iter().all(u8::is_ascii_digit);
    if is_good { Ok(()) } else { Err(format!("{address}{path}: answered {:?}", String::from_utf8_lossy(&status))) }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[test]
    fn an_http_answer_from_200_to_299_is_good_and_nothing_else_is() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = server.local_addr().unwrap().to_string();
            for (answer, is_good) in [
                ("HTTP/1.1 200 OK\r\n\r\n", true),
                ("HTTP/1.0 204 No Content\r\n\r\n", true),
                ("HTTP/1.1 299 Odd\r\n\r\n", true),
                ("HTTP/1.1 100 Continue\r\n\r\n", false),
                ("HTTP/1.1 302 Found\r\n\r\n", false),
                ("HTTP/1.1 404 Not Found\r\n\r\n", false),
                ("HTTP/1.1 503 Service Unavailable\r\n\r\n", false),
                ("HTTP/1.1 2xx OK\r\n\r\n", false),
                ("SSH-2.0- 200 OK\r\n", false),
                ("HTTP/1.1 20", false),
                ("", false),
            ] {
                let answers = async {
                    let (mut client, _) = server.accept().await.unwrap();
                    let mut request = Vec::new();
                    while !request.ends_with(b"\r\n\r\n") {
                        assert_ne!(client.read_buf(&mut request).await.unwrap(), 0);
                    }
                    client.write_all(answer.as_bytes()).await.unwrap();
                    String::from_utf8(request).unwrap()
                };
                let (got, request) = tokio::join!(get(&address, "/ready?of=all"), answers);
                assert_eq!(got.is_ok(), is_good, "{answer:?}: {got:?}");
                assert!(
                    request.starts_with(&format!("GET /ready?of=all HTTP/1.1\r\nHost: {address}\r\n")),
                    "{request}"
                );
            }
        });
    }
}
