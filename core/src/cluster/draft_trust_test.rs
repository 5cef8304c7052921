use super::{Cluster, Draft, EditError, Entropy};
use crate::node::NodeFacts;
use crate::trust::{AuthorityRecord, JoinToken, NodeCertificate, Secret, SigningKey, TrustError, User};
use crate::{NodeId, Timestamp};

const HOUR: i64 = 3_600_000;

fn draft(cluster: &Cluster, now: i64) -> Draft {
    Draft::new(cluster, Timestamp::from_millis(now), 1, Entropy::new(7))
}

fn token(id: &str, expires: i64) -> JoinToken {
    JoinToken {
        id: id.into(),
        digest: Secret::new(format!("digest of {id}")),
        expires: Timestamp::from_millis(expires),
        created_at: Timestamp::EPOCH,
        created_by: "admin".into(),
        used: None,
    }
}

fn certificate(serial: &str, key: &str) -> NodeCertificate {
    NodeCertificate { serial: serial.into(), key: key.into(), expires: Timestamp::from_millis(9 * HOUR) }
}

fn user(uid: &str) -> User {
    User { uid: uid.into(), description: String::new(), password: Secret::new("hash") }
}

fn named() -> Cluster {
    let mut draft = draft(&Cluster::default(), 0);
    draft.name_cluster();
    draft.settle().cluster
}

fn refused<T: std::fmt::Debug>(result: Result<T, EditError>) -> TrustError {
    match result {
        Err(EditError::Trust(error)) => error,
        other => panic!("{other:?}"),
    }
}

/// Joins with a token that is there; returns the node.
fn join(draft: &mut Draft, id: &str, serial: &str, key: &str, node: Option<&NodeId>) -> NodeId {
    let node = draft.check_join(id, |digest| digest == format!("digest of {id}"), key, node).unwrap();
    draft.join(id, &node, "host", certificate(serial, key)).unwrap();
    node
}

#[test]
fn a_token_lets_one_machine_in_once() {
    let mut draft = draft(&named(), HOUR);
    draft.create_token(token("a", 2 * HOUR)).unwrap();
    draft.create_token(token("late", HOUR)).unwrap();
    let yes = |_: &str| true;
    assert_eq!(refused(draft.check_join("none", yes, "k", None)), TrustError::TokenUnknown);
    assert_eq!(refused(draft.check_join("a", |_| false, "k", None)), TrustError::TokenUnknown);
    assert_eq!(refused(draft.check_join("late", yes, "k", None)), TrustError::TokenExpired(Timestamp::from_millis(HOUR)));
    let node = join(&mut draft, "a", "1", "k", None);
    assert!(matches!(refused(draft.check_join("a", yes, "k2", None)), TrustError::TokenUsed { .. }));
    assert_eq!(draft.check_join("a", yes, "k", None).unwrap(), node, "the machine did not hear the answer");
    assert!(draft.cluster().trust.admits(&node, "1").is_ok());
    assert_eq!(draft.cluster().trust.admits(&node, "2"), Err(TrustError::Revoked(node.clone())));
    // Token and credential are one step.
    let step = draft.settle();
    assert!(
        step.writes.contains_key("/orrery/v1/tokens/a") && step.writes.contains_key(&format!("/orrery/v1/credentials/{node}"))
    );
}

#[test]
fn numbers_of_nodes_are_never_used_again() {
    let mut draft = draft(&named(), 0);
    for (id, expected) in [("a", "-S0"), ("b", "-S1")] {
        draft.create_token(token(id, HOUR)).unwrap();
        assert!(join(&mut draft, id, id, id, None).as_str().ends_with(expected));
    }
    let second = draft.cluster().trust.credentials.keys().next_back().unwrap().clone();
    draft.revoke_node(&second);
    assert!(draft.next_node_id().as_str().ends_with("-S2"), "{}", draft.next_node_id());
    let step = draft.settle();
    let entries: Vec<_> = step.writes.iter().filter_map(|(key, value)| Some((key.as_str(), value.as_deref()?))).collect();
    let (mut loaded, faults) = Cluster::load(entries, Timestamp::EPOCH);
    assert_eq!(faults, []);
    assert_eq!(loaded.trust, step.cluster.trust);
    loaded.id = step.cluster.id.clone();
    assert!(self::draft(&loaded, 0).next_node_id().as_str().ends_with("-S2"));
}

#[test]
fn a_node_comes_back_by_its_key_alone() {
    let mut draft = draft(&named(), 0);
    for id in ["a", "b", "c"] {
        draft.create_token(token(id, HOUR)).unwrap();
    }
    let node = join(&mut draft, "a", "1", "mine", None);
    assert_eq!(refused(draft.check_join("b", |_| true, "stolen?", Some(&node))), TrustError::KeyUnknown(node.clone()));
    assert_eq!(join(&mut draft, "b", "2", "mine", Some(&node)), node);
    assert!(draft.cluster().trust.admits(&node, "1").is_err(), "the lost certificate still counts");
    draft.revoke_node(&node);
    assert_eq!(refused(draft.check_join("c", |_| true, "mine", Some(&node))), TrustError::KeyUnknown(node));
}

#[test]
fn a_node_without_a_key_comes_back_by_its_name() {
    let mut draft = draft(&named(), 0);
    let [keyless, next, unknown] = [0, 1, 7].map(|number| NodeId::parse(&format!("{}-S{number}", draft.cluster().id)).unwrap());
    for id in ["a", "b", "c"] {
        draft.create_token(token(id, HOUR)).unwrap();
    }
    let asked = |draft: &Draft, node: &NodeId| draft.check_join("a", |_| true, "new", Some(node));
    assert_eq!(refused(asked(&draft, &unknown)), TrustError::KeyUnknown(unknown.clone()));
    draft.register(NodeFacts::new(keyless.clone(), "a".into(), [10, 0, 0, 1].into()), Vec::new());
    assert_eq!(refused(asked(&draft, &keyless)), TrustError::KeyUnknown(keyless.clone()), "it is connected");
    draft.disconnect_node(&keyless);
    assert_eq!(asked(&draft, &keyless).unwrap(), keyless);
    draft.lose_node(&keyless);
    assert_eq!(join(&mut draft, "a", "1", "new", Some(&keyless)), keyless);
    // From now on it has a key.
    let stranger = draft.check_join("b", |_| true, "other", Some(&keyless));
    assert_eq!(refused(stranger), TrustError::KeyUnknown(keyless.clone()));
    assert_eq!(join(&mut draft, "b", "2", "new", Some(&keyless)), keyless);
    assert_eq!(join(&mut draft, "c", "3", "third", None), next, "its number stays its own");
}

#[test]
fn renewal_overlaps() {
    let mut draft = draft(&named(), 0);
    draft.create_token(token("a", HOUR)).unwrap();
    let node = join(&mut draft, "a", "1", "k", None);
    assert_eq!(refused(draft.renew(&node, "0", certificate("2", "k2"))), TrustError::Revoked(node.clone()));
    draft.renew(&node, "1", certificate("2", "k2")).unwrap();
    draft.confirm_certificate(&node, "1").unwrap();
    assert!(draft.cluster().trust.admits(&node, "2").is_ok());
    draft.confirm_certificate(&node, "2").unwrap();
    assert!(draft.confirm_certificate(&node, "1").is_err());
}

#[test]
fn confirming_what_is_known_writes_nothing() {
    let mut first = draft(&named(), 0);
    first.create_token(token("a", HOUR)).unwrap();
    let node = join(&mut first, "a", "1", "k", None);
    let mut second = draft(&first.settle().cluster, 1);
    second.confirm_certificate(&node, "1").unwrap();
    assert!(second.settle().writes.is_empty());
}

#[test]
fn trust_is_established_once() {
    let record = |text: &str| AuthorityRecord { certificate: text.into(), key: Secret::new("key") };
    let key = || SigningKey { id: "1".into(), public: "public".into(), private: Secret::new("private") };
    let mut draft = draft(&named(), 0);
    assert!(draft.establish_trust(record("first"), key(), user("admin")));
    assert!(!draft.establish_trust(record("second"), key(), user("other")));
    assert_eq!(draft.cluster().trust.authority.as_ref().unwrap().certificate, "first");
    assert_eq!(draft.cluster().trust.users.keys().map(|uid| &**uid).collect::<Vec<_>>(), ["admin"]);
}

#[test]
fn users_come_and_go() {
    let mut draft = draft(&named(), 0);
    draft.create_user(user("a")).unwrap();
    assert_eq!(refused(draft.create_user(user("a"))), TrustError::UserExists("a".into()));
    assert_eq!(refused(draft.delete_user("b")), TrustError::NoUser("b".into()));
    assert_eq!(refused(draft.delete_user("a")), TrustError::LastUser);
    draft.create_user(user("b")).unwrap();
    draft.change_user("b", |user| user.description = "new".into()).unwrap();
    draft.delete_user("a").unwrap();
    assert_eq!(draft.cluster().trust.users["b"].description, "new");
    assert_eq!(refused(draft.change_user("a", |_| ())), TrustError::NoUser("a".into()));
}

#[test]
fn old_tokens_are_forgotten() {
    let mut first = draft(&named(), 0);
    first.create_token(token("old", HOUR)).unwrap();
    let mut second = draft(&first.settle().cluster, 2 * HOUR);
    second.create_token(token("new", 3 * HOUR)).unwrap();
    assert_eq!(second.cluster().trust.tokens.keys().map(|id| &**id).collect::<Vec<_>>(), ["new"]);
    assert_eq!(refused(second.revoke_token("old")), TrustError::NoToken("old".into()));
    second.revoke_token("new").unwrap();
}
