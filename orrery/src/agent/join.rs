//! The first start: a token becomes a certificate.

use super::checks::Plan;
use super::complaint::Complaint;
use super::controllers;
use anyhow::Context as _;
use orrery_core::NodeId;
use orrery_link::address::ControllerAddress;
use orrery_link::authority::{Key, certificate_der, fingerprint_of_certificate};
use orrery_link::client::{DialError, Dialer, JOIN_PATH};
use orrery_link::credentials::Credentials;
use orrery_link::join::{JoinAnswer, JoinRequest, refusal};
use orrery_link::tls::{Trust, client_config};
use orrery_link::token::Token;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Pause between rounds over all controllers.
const ROUND_PAUSE: Duration = Duration::from_secs(1);
/// Rounds over all controllers before joining is given up.
const ROUNDS_MAX: u32 = 30;
/// Rounds in which a machine without a key asks for the node it was: after a start controllers take every
/// node for connected for a while, and whoever becomes another node stops its tasks.
const NAMED_ROUNDS_MAX: u32 = 10;

/// The credentials to run with: those that are there while they hold, else new ones by the token.
pub(crate) async fn credentials(plan: &Plan, present: Option<Credentials>) -> anyhow::Result<Credentials> {
    let Some(present) = present else {
        let missing = "this machine is no node yet: give --join URL and --token TOKEN; `orrery token create` on a controller's machine prints the command";
        let token = plan.token.as_ref().filter(|_| !plan.join.is_empty()).context(missing)?;
        return join(plan, token, None, &plan.join).await;
    };
    let peer = present.peer().map_err(|error| anyhow::anyhow!("{}: {error}", Credentials::path(&plan.data).display()))?;
    if let Some(token) = &plan.token {
        refuse_other_cluster(&plan.data, &present, token)?;
    }
    if peer.not_after > now_seconds() {
        if plan.token.is_some() {
            tracing::info!(node = %present.node, "this machine is a node already; the token is left unused");
        }
        let mut merged = present;
        let joins: Vec<String> = plan.join.iter().map(ToString::to_string).collect();
        merged.controllers = controllers::distinct(joins.iter().chain(&merged.controllers));
        return Ok(merged);
    }
    let until = jiff::Timestamp::from_second(peer.not_after).map_or_else(|_| peer.not_after.to_string(), |time| time.to_string());
    let Some(token) = &plan.token else {
        anyhow::bail!(
            "the certificate of node {} expired at {until}; to come back as the same node with its tasks, start once more with \
             --token TOKEN (`orrery token create` on a controller's machine prints one); if that time is still to come, set the clock of this machine right",
            present.node
        );
    };
    let remembered = present.controllers.iter().filter_map(|url| url.parse().ok());
    let controllers: Vec<ControllerAddress> = plan.join.iter().cloned().chain(remembered).collect();
    join(plan, token, Some(&present), &controllers).await
}

/// Whoever gives a token of another cluster means to leave this one, which a directory cannot: its
/// tasks and its certificate are of the one it has joined.
fn refuse_other_cluster(data: &Path, present: &Credentials, token: &Token) -> anyhow::Result<()> {
    let authority = certificate_der(&present.authority).and_then(|der| fingerprint_of_certificate(&der));
    let authority = authority.map_err(|error| anyhow::anyhow!("{}: {error}", Credentials::path(data).display()))?;
    anyhow::ensure!(
        authority == token.authority(),
        "{} belongs to node {} of cluster {}, but the token is of another cluster; give an empty --data-dir to join that \
         cluster, or leave out the token to go on in this one",
        data.display(),
        present.node,
        present.cluster
    );
    Ok(())
}

async fn join(
    plan: &Plan,
    token: &Token,
    before: Option<&Credentials>,
    controllers: &[ControllerAddress],
) -> anyhow::Result<Credentials> {
    let dialer = Dialer { tls: client_config(Trust::Pinned(token.authority()), None)?, by: "token" };
    // The key of before proves that this is the same machine.
    let key = match before {
        Some(before) => Key::from_pem(&before.key)?,
        None => Key::generate()?,
    };
    let mut question = JoinRequest {
        token: token.id().to_owned(),
        secret: token.secret(),
        request: key.request()?,
        node: node_to_be(before, &plan.data),
        hostname: nix::unistd::gethostname().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default(),
    };
    let mut round = 0;
    let mut complaint = Complaint::default();
    let answer = loop {
        round += 1;
        match ask_all(&dialer, controllers, &question, &mut complaint).await {
            Ok(answer) => break answer,
            // It is connected still, as far as the controllers know, or is none of this cluster.
            Err(Some(DialError::Refused { code, message, .. })) if code == refusal::KEY_UNKNOWN && before.is_none() => {
                let Some(node) = question.node.take_if(|_| round >= NAMED_ROUNDS_MAX) else {
                    let node = question.node.as_ref().with_context(|| format!("cannot join: {message}"))?;
                    tracing::info!(%node, "the controllers do not let this machine come back as the node it was; asking again");
                    tokio::time::sleep(ROUND_PAUSE).await;
                    continue;
                };
                tracing::warn!(%node, "this machine cannot come back as the node it was; joining as a new one");
            }
            Err(last) => {
                let last = last.context("there is no controller to join: give --join URL")?;
                anyhow::ensure!(last.is_passing() && round < ROUNDS_MAX, "cannot join: {last}");
                complaint.say(&last.to_string());
                tokio::time::sleep(ROUND_PAUSE).await;
            }
        }
    };
    let asked: Vec<String> = controllers.iter().map(ToString::to_string).collect();
    let credentials = Credentials {
        cluster: answer.cluster,
        node: answer.node,
        certificate: answer.certificate,
        key: key.to_pem(),
        authority: answer.authority,
        controllers: controllers::distinct(answer.controllers.iter().chain(&asked)),
    };
    credentials.write(&plan.data)?;
    tracing::info!(node = %credentials.node, cluster = %credentials.cluster, "joined the cluster");
    Ok(credentials)
}

/// The node to ask for: that of the credentials, else the one that the tasks of the data directory belong to.
/// A node of `orrery up` has no credentials, and comes back as an agent after its cluster has moved to an etcd.
fn node_to_be(before: Option<&Credentials>, data: &Path) -> Option<NodeId> {
    before.map(|before| before.node.clone()).or_else(|| orrery_agent::node_of(data))
}

/// Asks one controller after the other; of failures one that may pass is returned, and the others are said.
async fn ask_all(
    dialer: &Dialer,
    controllers: &[ControllerAddress],
    question: &JoinRequest,
    complaint: &mut Complaint,
) -> Result<JoinAnswer, Option<DialError>> {
    let mut last: Option<DialError> = None;
    for controller in controllers {
        match ask(dialer, controller, question).await {
            Ok(joined) => return Ok(joined),
            // A controller that knows says no for all of them.
            Err(error @ DialError::Refused { .. }) if !error.is_passing() => return Err(Some(error)),
            Err(error) => {
                let (kept, other) = match last {
                    Some(last) if last.is_passing() => (last, Some(error)),
                    last => (error, last),
                };
                if let Some(other) = other {
                    complaint.say(&other.to_string());
                }
                last = Some(kept);
            }
        }
    }
    Err(last)
}

async fn ask(dialer: &Dialer, controller: &ControllerAddress, question: &JoinRequest) -> Result<JoinAnswer, DialError> {
    dialer.connect(controller).await?.call(JOIN_PATH, question).await
}

pub(crate) fn now_seconds() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use orrery_core::Timestamp;
    use orrery_link::authority::Authority;
    use orrery_link::fingerprint::Fingerprint;

    #[test]
    fn the_node_of_the_credentials_is_asked_for_else_that_of_the_tasks() {
        let data = tempfile::tempdir().unwrap();
        let node = |name| NodeId::parse(name).unwrap();
        let credentials = Credentials {
            cluster: "c".into(),
            node: node("c-S3"),
            certificate: String::new(),
            key: String::new(),
            authority: String::new(),
            controllers: Vec::new(),
        };
        assert_eq!(node_to_be(None, data.path()), None);
        assert_eq!(node_to_be(Some(&credentials), data.path()), Some(node("c-S3")));
        std::fs::write(data.path().join(orrery_agent::NODE_ID_FILE), "no node").unwrap();
        assert_eq!(node_to_be(None, data.path()), None);
        orrery_agent::become_node(data.path(), &node("c-S0")).unwrap();
        assert_eq!(node_to_be(None, data.path()), Some(node("c-S0")));
        assert_eq!(node_to_be(Some(&credentials), data.path()), Some(node("c-S3")));
    }

    #[test]
    fn a_token_of_another_cluster_is_refused() {
        let own = Authority::create("c", Timestamp::from_millis(now_seconds() * 1_000)).unwrap();
        let present = Credentials {
            cluster: "c".into(),
            node: NodeId::parse("c-S3").unwrap(),
            certificate: String::new(),
            key: String::new(),
            authority: own.certificate_pem().to_owned(),
            controllers: Vec::new(),
        };
        let refused = |authority| {
            let refused = refuse_other_cluster(Path::new("/data"), &present, &Token::generate(authority));
            refused.err().map(|error| error.to_string())
        };
        assert_eq!(refused(own.fingerprint()), None);
        let text = refused(Fingerprint::of(b"another")).unwrap();
        for part in ["/data belongs to node c-S3", "another cluster", "empty --data-dir", "leave out the token"] {
            assert!(text.contains(part), "{text} lacks {part}");
        }
    }
}
