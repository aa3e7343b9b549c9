//! The control socket: through it commands look at a running system and change it. On the control thread.
//!
//! A Unix socket at `control.path`. The kernel says who is at the other end (`SO_PEERCRED`), the configuration which [`role`] that is. One
//! line of JSON asks, one answers ([`request`]); what changes something is told to the bus before and after, with who asked. What somebody
//! asks for is handed to the supervisor: this part changes nothing itself.
//!
//! Lines, connections and the time that a request and an answer may take on their way are bounded.

pub mod client;
pub mod request;
mod role;

use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::unix::UCred;
use tokio::net::{UnixListener, UnixStream};
use tokio::select;
use tokio::sync::{Semaphore, watch};
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::{sleep, timeout};

use crate::bus::access::{Access, Person};
use crate::bus::event::SYSTEM;
use crate::commands::Failure;
use crate::doors::Door;
use crate::health::engines::Engines;
use crate::people::People;
use crate::reload;
use crate::supervisor::ask::Order;
use crate::supervisor::context::Control;
use crate::supervisor::part::Part;
use crate::supervisor::registry::Module;
use request::{Answer, LINE_MAX_BYTES, Request};
use role::Role;

/// Its name among the modules.
const NAME: &str = "control";
/// Name in `log.live_dir` under which commands look for it, wherever it is.
pub const SOCKET_NAME: &str = "control.sock";
/// Between two tries where the system has no room for another connection.
const RETRY: Duration = Duration::from_millis(100);

/// The socket among the parts of this program.
pub const PART: Part = Part {
    name: NAME,
    required: false,
    listener: true,
    is_wanted: |_| true,
    run: |control, mut life| {
        Box::pin(serve(control, move || {
            life.ready();
            async move { life.closing().await }
        }))
    },
};

/// Takes requests. Once it does it calls `started`; when what that returns is over it takes no more, finishes those that it has, and ends.
///
/// # Errors
/// There cannot be such a socket.
async fn serve<F: Future<Output = ()>>(control: Control, started: impl FnOnce() -> F) -> Result<(), Failure> {
    let config = control.config();
    let fault =
        |fault: std::io::Error| Failure::machine(format!("control.path {}: {fault}", config.control.path.display()));
    let (_door, listener) = Door::open(&config.control.path, config.control.mode).map_err(fault)?;
    let listener = UnixListener::from_std(listener).map_err(fault)?;
    let _link = Link::to(&config.control.path, config.log.live_dir.join(SOCKET_NAME)).map_err(fault)?;
    let permits = Arc::new(Semaphore::new(config.control.connections_max as usize));
    let (close, closing) = watch::channel(false);
    let mut connections = JoinSet::new();
    let mut end = pin!(started());
    loop {
        let connection = async {
            // Nobody closes the semaphore.
            let permit = Arc::clone(&permits).acquire_owned().await.ok();
            (listener.accept().await, permit)
        };
        select! {
            () = &mut end => break,
            Some(_) = connections.join_next() => {}
            (accepted, permit) = connection => match accepted {
                Ok((stream, _)) => {
                    let (control, closing) = (control.clone(), closing.clone());
                    connections.spawn_local(async move {
                        let _permit = permit;
                        // A connection that fails has nobody to tell.
                        let _ = connection_of(stream, control, closing).await;
                    });
                }
                Err(_) => sleep(RETRY).await,
            },
        }
    }
    drop(listener);
    close.send_replace(true);
    while connections.join_next().await.is_some() {}
    Ok(())
}

/// The name under which commands find a socket that is elsewhere; gone when it is dropped.
struct Link(Option<PathBuf>);

impl Link {
    fn to(socket: &std::path::Path, name: PathBuf) -> std::io::Result<Self> {
        if socket == name {
            return Ok(Self(None));
        }
        // What a process that died has left. That there is none is no fault, and any other comes again at once.
        let _ = std::fs::remove_file(&name);
        symlink(std::path::absolute(socket)?, &name)?;
        Ok(Self(Some(name)))
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        if let Some(name) = &self.0 {
            let _ = std::fs::remove_file(name);
        }
    }
}

/// Answers what comes over one connection, until it ends, says nothing for too long, or everything closes.
async fn connection_of(
    stream: UnixStream,
    control: Control,
    mut closing: watch::Receiver<bool>,
) -> std::io::Result<()> {
    let limit = Duration::from_millis(control.config().control.timeout_ms);
    let asker = Asker::of(stream.peer_cred()?, &control).await;
    let (read, mut write) = stream.into_split();
    let mut read = BufReader::new(read);
    loop {
        let mut line = Vec::new();
        let mut bounded = (&mut read).take(LINE_MAX_BYTES as u64 + 1);
        let received = select! {
            _ = closing.wait_for(|closing| *closing) => return Ok(()),
            received = timeout(limit, bounded.read_until(b'\n', &mut line)) => received,
        };
        if received.map_err(|_| std::io::ErrorKind::TimedOut)?? == 0 {
            return Ok(());
        }
        let is_whole = line.len() <= LINE_MAX_BYTES;
        let answer = if is_whole {
            asker.answer(&line, &control).await
        } else {
            Answer::Refused(format!("a request has at most {LINE_MAX_BYTES} bytes"))
        };
        // Numbers and texts: it always is JSON.
        let mut text = serde_json::to_vec(&answer).unwrap_or_default();
        text.push(b'\n');
        timeout(limit, write.write_all(&text)).await.map_err(|_| std::io::ErrorKind::TimedOut)??;
        if !is_whole {
            return Ok(());
        }
    }
}

/// Somebody at the other end.
struct Asker {
    person: Person,
    role: Option<Role>,
}

impl Asker {
    async fn of(peer: UCred, control: &Control) -> Self {
        // The files may lie on a disk that stands still.
        let people = spawn_blocking(People::read).await.unwrap_or_default();
        let user = people.name_of(peer.uid()).map_or_else(|| peer.uid().to_string(), str::to_owned);
        let person = Person { user, uid: peer.uid(), gid: peer.gid(), pid: peer.pid() };
        let owner = rustix::process::geteuid().as_raw();
        let role = Role::of(&person, &control.config().control, owner, &people);
        Self { person, role }
    }

    async fn answer(&self, line: &[u8], control: &Control) -> Answer {
        let request = match serde_json::from_slice::<Request>(line) {
            Ok(request) => request,
            Err(fault) => {
                let known = "this version knows modules, start, stop, restart, config, config_reload, config_set and config_rollback";
                return Answer::Refused(format!("no request that can be understood: {fault}; {known}"));
            }
        };
        if let Err(reason) = self.may(&request) {
            let (who, asked) = (self.person.clone(), told(&request));
            let refused = Access::Refused { who, request: asked, reason: reason.clone() };
            control.bus.publish(request.changes().unwrap_or(SYSTEM), refused);
            return Answer::Refused(reason);
        }
        match (request.of_config(), request.changes()) {
            (Some(reload::Order::Show), _) => control
                .reload
                .ask(reload::Order::Show, &self.person.to_string())
                .await
                .map_or_else(Answer::Failed, Answer::Done),
            (Some(order), _) => {
                let who = self.person.to_string();
                self.recorded(SYSTEM, &request, control, control.reload.ask(order, &who)).await
            }
            (None, None) => Answer::Done(modules(control)),
            (None, Some(module)) => self.change(module, &request, control).await,
        }
    }

    /// Whether what is asked for is for the asker to ask.
    fn may(&self, request: &Request) -> Result<(), String> {
        let (name, least) = (request.name(), request.least());
        let advice = format!("an admin can add \"uid:{}\" to {}", self.person.uid, least.key());
        match self.role {
            None => Err(format!(
                "{} is in none of control.viewers, control.operators and control.admins: {advice}",
                self.person
            )),
            Some(role) if role < least => {
                Err(format!("{} is in {} and may not {name}: {advice}", self.person, role.key()))
            }
            Some(_) => Ok(()),
        }
    }

    async fn change(&self, module: &str, request: &Request, control: &Control) -> Answer {
        let order = match request {
            Request::Start { .. } => Order::Start,
            Request::Restart { reset, .. } => Order::Restart { reset: *reset },
            _ => Order::Stop,
        };
        if module == NAME && order != Order::Start {
            return Answer::Failed("this is the door that you came through: stop or restart the process".to_owned());
        }
        if Engines::is_name(module) {
            let text = "its lane starts engine processes, and starts them again when they end: to have this one started again kill its process";
            return Answer::Failed(format!("{module}: {text}"));
        }
        let who = self.person.to_string();
        self.recorded(module, request, control, control.ask.ask(module, order, &who)).await
    }

    /// Does what is asked for, and tells before and after.
    async fn recorded(
        &self,
        module: &str,
        request: &Request,
        control: &Control,
        act: impl Future<Output = Result<Value, String>>,
    ) -> Answer {
        let (began, asked) = (Instant::now(), told(request));
        let who = || self.person.clone();
        control.bus.publish(module, Access::Asked { who: who(), request: asked.clone() });
        match act.await {
            Ok(value) => {
                let took_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
                control.bus.publish(module, Access::Done { who: who(), request: asked, took_ms });
                Answer::Done(value)
            }
            Err(error) => {
                control.bus.publish(module, Access::NotDone { who: who(), request: asked, error: error.clone() });
                Answer::Failed(error)
            }
        }
    }
}

fn told(request: &Request) -> Value {
    serde_json::to_value(request).unwrap_or_default()
}

/// Every module, with its numbers.
fn modules(control: &Control) -> Value {
    let with_metrics = |module: Module| {
        let report = control.board.get(&module.name);
        let mut told = json!(module);
        told["kind"] = if Engines::is_name(&module.name) { "engine" } else { "module" }.into();
        told["metrics"] = json!(report.map(|report| report.metrics).unwrap_or_default());
        told
    };
    control.modules().into_iter().map(with_metrics).collect()
}

#[cfg(test)]
mod tests;
