//! The agent's end of the spawner's socket.

use super::watch::register;
use crate::Error;
use crate::spawner::{REQUEST_MAX_BYTES, SOCKET_NAME, SPAWNER_ARGUMENT, SPAWNER_VERSION, SpawnerFacts, operation};
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::socket::{AddressFamily, ControlMessage, MsgFlags, SockFlag, SockType, UnixAddr, connect, recv, sendmsg, socket};
use nix::unistd::pipe2;
use serde::Serialize;
use std::fs::File;
use std::io::{BufRead, BufReader, IoSlice, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncReadExt, Interest};
use tokio::net::unix::pipe;
use tokio::sync::Mutex;
use tokio_util::task::AbortOnDropHandle;

/// Longest wait for an answer of a launch.
pub(super) const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// Longest answer, bytes.
const ANSWER_MAX_BYTES: u64 = 64 << 10;
/// Longest wait for a new spawner to listen.
const START_TIMEOUT: Duration = Duration::from_secs(10);

/// A connection that starts the spawner when there is none, and again when it has died.
#[derive(Debug)]
pub(crate) struct Spawner {
    directory: PathBuf,
    program: PathBuf,
    connection: Mutex<Option<Open>>,
    /// What the spawner says of itself.
    pub(crate) facts: SpawnerFacts,
}

/// A connection, and who notices its end.
#[derive(Debug)]
struct Open {
    socket: AsyncFd<OwnedFd>,
    watch: AbortOnDropHandle<()>,
}

impl Open {
    fn new(socket: AsyncFd<OwnedFd>) -> Result<Self, Error> {
        // Of its own, so that it waits while requests are sent.
        let watched = socket.get_ref().try_clone().map_err(broken)?;
        let watched = register(watched, Interest::READABLE).map_err(broken)?;
        Ok(Self { socket, watch: AbortOnDropHandle::new(tokio::spawn(tell_end(watched))) })
    }
}

/// Says when the spawner has ended by itself. Nothing else is to be read: it answers its greeting only, before this.
async fn tell_end(connection: AsyncFd<OwnedFd>) {
    let ended = connection
        .async_io(Interest::READABLE, |socket| {
            // What is there stays there.
            match recv(socket.as_raw_fd(), &mut [0], MsgFlags::MSG_PEEK | MsgFlags::MSG_DONTWAIT) {
                Err(Errno::EAGAIN) => Err(std::io::ErrorKind::WouldBlock.into()),
                read => Ok(read.is_err() || read == Ok(0)),
            }
        })
        .await;
    if ended.unwrap_or(false) {
        tracing::warn!("the spawner has ended, perhaps killed: tasks run on, and the next one that starts brings up another");
    }
}

fn broken(error: impl std::fmt::Display) -> Error {
    Error::Spawner(error.to_string())
}

impl Spawner {
    /// Attaches to the spawner of `directory`, or starts one by running `program spawner …`.
    pub(crate) async fn attach(directory: PathBuf, program: PathBuf) -> Result<Self, Error> {
        std::fs::create_dir_all(&directory).map_err(Error::file("create", &directory))?;
        let (connection, facts) = open(&directory, &program).await?;
        Ok(Self { directory, program, connection: Mutex::new(Some(Open::new(connection)?)), facts })
    }

    /// Sends a request and waits up to `limit` for all of its answer: until every process that holds
    /// the status pipe has closed it. An empty answer means that the request was never begun.
    pub(crate) async fn request(&self, operation: u8, body: &impl Serialize, limit: Duration) -> Result<String, Error> {
        let bytes = serde_json::to_vec(body).map_err(broken)?;
        if bytes.len() as u64 > REQUEST_MAX_BYTES {
            return Err(broken(format!(
                "arguments and environment take {} bytes, more than the {REQUEST_MAX_BYTES} allowed",
                bytes.len()
            )));
        }
        let memory = memfd_create(c"orrery-request", MFdFlags::MFD_CLOEXEC).map_err(broken)?;
        let mut file = File::from(memory);
        file.write_all(&bytes).map_err(broken)?;
        let (answer, status) = pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK).map_err(broken)?;
        // Only our end must not block; the other is written by plain processes.
        nix::fcntl::fcntl(&status, nix::fcntl::FcntlArg::F_SETFL(OFlag::empty())).map_err(broken)?;
        self.send(operation, &[file.as_raw_fd(), status.as_raw_fd()]).await?;
        drop((file, status));
        let mut text = Vec::new();
        let receiver = pipe::Receiver::from_owned_fd(answer).map_err(broken)?;
        let read = tokio::time::timeout(limit, receiver.take(ANSWER_MAX_BYTES).read_to_end(&mut text)).await;
        read.map_err(|_| broken("it does not answer"))?.map_err(broken)?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }

    async fn send(&self, operation: u8, descriptors: &[i32]) -> Result<(), Error> {
        let mut connection = self.connection.lock().await;
        for attempt in 0..2 {
            if connection.is_none() {
                *connection = Some(Open::new(open(&self.directory, &self.program).await?.0)?);
            }
            let Some(open) = connection.as_ref() else { break };
            let sent = send_on(&open.socket, operation, descriptors).await;
            match sent {
                Ok(()) => return Ok(()),
                Err(error) if attempt == 0 => {
                    tracing::info!(%error, "starting another spawner");
                    *connection = None;
                }
                Err(error) => return Err(broken(error)),
            }
        }
        Err(broken("it cannot be started"))
    }

    /// Ends the spawner. Tasks run on.
    pub(crate) async fn quit(&self) {
        if let Some(open) = self.connection.lock().await.take() {
            // Its end is no news now.
            open.watch.abort();
            let _ = send_on(&open.socket, operation::QUIT, &[]).await;
        }
    }
}

async fn send_on(connection: &AsyncFd<OwnedFd>, operation: u8, descriptors: &[i32]) -> std::io::Result<()> {
    let byte = [operation];
    let rights = [ControlMessage::ScmRights(descriptors)];
    let rights = if descriptors.is_empty() { &rights[..0] } else { &rights[..] };
    loop {
        let mut guard = connection.writable().await?;
        let sent = guard.try_io(|socket| {
            let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
            Ok(sendmsg::<()>(socket.as_raw_fd(), &[IoSlice::new(&byte)], rights, flags, None)?)
        });
        match sent {
            Ok(result) => return result.map(drop),
            Err(_would_block) => {}
        }
    }
}

/// Connects to a spawner that speaks our version, starting one when needed.
async fn open(directory: &Path, program: &Path) -> Result<(AsyncFd<OwnedFd>, SpawnerFacts), Error> {
    if let Ok(connection) = dial(directory) {
        match hello(&connection).await {
            Ok(facts) if facts.version == SPAWNER_VERSION => return Ok((connection, facts)),
            // Of another version of this program: it may go, its tasks don't need it.
            _ => drop(send_on(&connection, operation::QUIT, &[]).await),
        }
    }
    let (directory_owned, program) = (directory.to_owned(), program.to_owned());
    let start = tokio::task::spawn_blocking(move || start(&directory_owned, &program));
    tokio::time::timeout(START_TIMEOUT, start).await.map_err(|_| broken("it does not start"))?.map_err(broken)??;
    let connection = dial(directory).map_err(|error| broken(error.desc()))?;
    let facts = hello(&connection).await?;
    Ok((connection, facts))
}

fn dial(directory: &Path) -> Result<AsyncFd<OwnedFd>, Errno> {
    let handle = File::open(directory).map_err(|_| Errno::ENOENT)?;
    // By way of the descriptor, because a socket's path may have 107 bytes only.
    let path = format!("/proc/self/fd/{}/{SOCKET_NAME}", handle.as_raw_fd());
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let connection = socket(AddressFamily::Unix, SockType::SeqPacket, flags, None)?;
    connect(connection.as_raw_fd(), &UnixAddr::new(path.as_str())?)?;
    register(connection, Interest::READABLE | Interest::WRITABLE).map_err(|_| Errno::EMFILE)
}

async fn hello(connection: &AsyncFd<OwnedFd>) -> Result<SpawnerFacts, Error> {
    send_on(connection, operation::HELLO, &[]).await.map_err(broken)?;
    let mut buffer = vec![0u8; 4096];
    let read = connection.async_io(Interest::READABLE, |socket| Ok(nix::unistd::read(socket, &mut buffer)?));
    let length = tokio::time::timeout(START_TIMEOUT, read).await.map_err(|_| broken("it does not answer"))?.map_err(broken)?;
    serde_json::from_slice(&buffer[..length]).map_err(broken)
}

/// Starts a spawner and waits until it listens.
fn start(directory: &Path, program: &Path) -> Result<(), Error> {
    let log = directory.join("spawner.log");
    let errors = File::options().create(true).append(true).open(&log).map_err(Error::file("open", &log))?;
    let mut child = Command::new(program)
        .arg(SPAWNER_ARGUMENT)
        .arg(directory)
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(errors)
        .spawn()
        .map_err(Error::file("execute", program))?;
    let mut line = String::new();
    if let Some(output) = child.stdout.take() {
        let _ = BufReader::new(output).read_line(&mut line);
    }
    if line.trim() != "ready" {
        let status = child.wait().map(|status| status.to_string()).unwrap_or_default();
        let told = std::fs::read_to_string(&log).unwrap_or_default();
        return Err(broken(format!("it ended with {status}; {}", told.lines().last().unwrap_or("it said nothing"))));
    }
    // Collects the child when it ends, so that it does not stay a zombie.
    let _ = std::thread::Builder::new().name("spawner".into()).stack_size(64 << 10).spawn(move || child.wait());
    Ok(())
}
