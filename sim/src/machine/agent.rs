//! One life of an agent: finds a controller, registers, obeys, reports, turns elsewhere when it
//! hears nothing.

use super::Machine;
use orrery_core::assignment::{Down, PROTOCOL_VERSION, Up};
use std::future::Future;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;

/// Most reports in one message.
const REPORT_BATCH_MAX: usize = 512;
/// Longest pause between two messages up.
const HEARTBEAT: Duration = Duration::from_millis(500);

/// How often it looks whether it is time to leave.
const LOOK: Duration = Duration::from_millis(100);

/// How an agent behaves.
#[derive(Debug, Clone, Copy)]
pub struct AgentSettings {
    /// It leaves a controller it has not heard of for this long.
    pub silence: Duration,
}

/// One connection.
pub struct Link {
    /// Orders.
    pub down: mpsc::Receiver<Down>,
    /// Reports.
    pub up: mpsc::Sender<Up>,
    /// Whether signs of life come from the other end now; they are not messages of their own.
    pub heard: Box<dyn Fn() -> bool + Send>,
}

/// Opens connections, each time to the next controller.
pub trait Dial: Send {
    /// A connection, if somebody answers.
    fn dial(&mut self) -> impl Future<Output = Option<Link>> + Send;
}

/// Lives until it is aborted.
pub async fn run_agent(machine: Machine, settings: AgentSettings, mut dial: impl Dial) {
    machine.lock().adopt();
    machine.lock().note("agent starts");
    let mut link: Option<Link> = None;
    let mut redial = Instant::now();
    let (mut heard, mut spoke) = (Instant::now(), Instant::now());
    loop {
        machine.lock().advance();
        machine.stirred.notify_one();
        let now = Instant::now();
        if link.is_none() && redial <= now {
            redial = now + machine.lock().chance.millis(50, 400);
            link = dial.dial().await;
            if let Some(link) = &link {
                (heard, spoke) = (Instant::now(), Instant::now());
                let (facts, tasks) = {
                    let mut inner = machine.lock();
                    (Box::new(inner.facts.clone()), inner.all_reports())
                };
                // A link that breaks at once shows below.
                let _ = link.up.try_send(Up::Register { protocol: PROTOCOL_VERSION, facts, tasks });
            }
        }
        if link.as_ref().is_some_and(|open| (open.heard)()) {
            heard = now;
        }
        if let Some(open) = &link
            && (!flush(&machine, open, &mut spoke) || heard + settings.silence <= now)
        {
            machine.lock().note("leaves its controller");
            machine.lock().is_alone();
            link = None;
            continue;
        }
        let own = machine.lock().next_deadline();
        let next = match &link {
            Some(_) => Some((spoke + HEARTBEAT).min((heard + settings.silence).max(now + LOOK))),
            None => Some(redial),
        };
        // There is always one.
        let wake = own.into_iter().chain(next).min().unwrap_or(now + HEARTBEAT);
        let open = &mut link;
        let received = async move {
            match open {
                Some(open) => open.down.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            message = received => {
                if let Some(message) = message {
                    heard = Instant::now();
                    machine.lock().obey(message);
                } else {
                    machine.lock().note("connection ended");
                    machine.lock().is_alone();
                    link = None;
                }
            }
            () = tokio::time::sleep_until(wake) => {}
        }
    }
}

/// Sends what there is to say; whether the link lives.
fn flush(machine: &Machine, link: &Link, spoke: &mut Instant) -> bool {
    loop {
        if link.up.is_closed() {
            return false;
        }
        let Ok(permit) = link.up.try_reserve() else {
            // Full: what is unsent stays so, and is tried again in a while.
            *spoke = Instant::now();
            return true;
        };
        let destroyed = std::mem::take(&mut machine.lock().destroyed);
        if !destroyed.is_empty() {
            permit.send(Up::Destroyed { instances: destroyed });
            continue;
        }
        let tasks = machine.lock().take_unsent(REPORT_BATCH_MAX);
        if !tasks.is_empty() {
            permit.send(Up::Reports { tasks });
        } else if spoke.elapsed() >= HEARTBEAT {
            permit.send(Up::Heartbeat);
        } else {
            return true;
        }
        *spoke = Instant::now();
    }
}
