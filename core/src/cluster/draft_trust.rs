//! Edits of who is trusted.

use super::draft::{Draft, EditError};
use crate::NodeId;
use crate::node::NodeStatus;
use crate::trust::{
    AuthorityRecord, JoinToken, NodeCertificate, NodeCredential, SigningKey, TOKENS_MAX, TokenUse, TrustError, USERS_MAX, User,
    document,
};
use std::sync::Arc;

impl Draft {
    /// Gives the cluster its authority, its key for logins and its first user, once. Returns whether
    /// it took them: when there is an authority already, nothing changes.
    pub fn establish_trust(&mut self, authority: AuthorityRecord, signing_key: SigningKey, admin: User) -> bool {
        if self.cluster.trust.authority.is_some() {
            return false;
        }
        self.write(document::AUTHORITY.into(), &authority);
        self.write(document::SIGNING_KEY.into(), &signing_key);
        self.cluster.trust.authority = Some(Arc::new(authority));
        self.cluster.trust.signing_key = Some(Arc::new(signing_key));
        self.store_user(admin);
        true
    }

    /// Keeps a join token, and forgets those that have expired.
    ///
    /// # Errors
    /// [`TrustError::TooManyTokens`].
    pub fn create_token(&mut self, token: JoinToken) -> Result<(), EditError> {
        let expired: Vec<_> = self.cluster.trust.tokens.values().filter(|token| token.expires <= self.now).cloned().collect();
        if self.cluster.trust.tokens.len() - expired.len() >= TOKENS_MAX {
            return Err(TrustError::TooManyTokens(TOKENS_MAX).into());
        }
        for old in expired {
            self.cluster.trust.tokens.remove(old.id.as_str());
            self.delete(document::token(&old.id));
        }
        self.store_token(token);
        Ok(())
    }

    /// Forgets a join token.
    ///
    /// # Errors
    /// [`TrustError::NoToken`].
    pub fn revoke_token(&mut self, id: &str) -> Result<(), EditError> {
        if self.cluster.trust.tokens.remove(id).is_none() {
            return Err(TrustError::NoToken(id.into()).into());
        }
        self.delete(document::token(id));
        Ok(())
    }

    /// Which node a machine may become by a token: a new one, or `node`, which it was before, when
    /// `key` proves that, or when `node` never had a key and nobody is connected as it. Changes nothing.
    /// `matches` compares the token's digest.
    ///
    /// # Errors
    /// [`TrustError`].
    pub fn check_join(
        &self,
        token: &str,
        matches: impl FnOnce(&str) -> bool,
        key: &str,
        node: Option<&NodeId>,
    ) -> Result<NodeId, EditError> {
        let trust = &self.cluster.trust;
        let token = trust.tokens.get(token).filter(|token| matches(token.digest.reveal())).ok_or(TrustError::TokenUnknown)?;
        let had_key = |node: &NodeId| trust.credentials.get(node).is_some_and(|credential| credential.had_key(key));
        match (&token.used, token.check(self.now)) {
            // The machine did not hear the answer and asks again.
            (Some(used), Err(TrustError::TokenUsed { .. })) if token.expires > self.now && had_key(&used.node) => {
                return Ok(used.node.clone());
            }
            (_, checked) => checked?,
        }
        match node {
            None => Ok(self.next_node_id()),
            Some(node) if had_key(node) || self.is_keyless(node) => Ok(node.clone()),
            Some(node) => Err(TrustError::KeyUnknown(node.clone()).into()),
        }
    }

    /// Whether a node that is away has no key to show: one that `orrery up` ran before the cluster moved to
    /// an etcd. Its tasks run on, so that its machine must be able to come back as the same node.
    fn is_keyless(&self, node: &NodeId) -> bool {
        let is_away = self.cluster.nodes.get(node).is_some_and(|node| node.status != NodeStatus::Active);
        is_away && !self.cluster.trust.credentials.contains_key(node)
    }

    /// Uses up a token and records the certificate of the node that joins by it; others of that node
    /// do not count any more.
    ///
    /// # Errors
    /// [`TrustError::TokenUnknown`] when [`Draft::check_join`] did not come before.
    pub fn join(&mut self, token: &str, node: &NodeId, hostname: &str, certificate: NodeCertificate) -> Result<(), EditError> {
        let token = self.cluster.trust.tokens.get(token).cloned().ok_or(TrustError::TokenUnknown)?;
        let used = Some(TokenUse { node: node.clone(), hostname: hostname.to_owned(), at: self.now });
        self.store_token(JoinToken { used, ..(*token).clone() });
        self.take_node_id(node);
        self.store_credential(NodeCredential { node: node.clone(), certificates: vec![certificate] });
        Ok(())
    }

    /// Records the next certificate of a node that showed `presented`.
    ///
    /// # Errors
    /// [`TrustError::Revoked`] when that one does not count.
    pub fn renew(&mut self, node: &NodeId, presented: &str, certificate: NodeCertificate) -> Result<(), EditError> {
        self.cluster.trust.admits(node, presented)?;
        if let Some(credential) = self.cluster.trust.credentials.get(node).cloned() {
            self.store_credential(credential.renewed(presented, certificate));
        }
        Ok(())
    }

    /// Takes note that a node showed the certificate with `serial`; older ones do not count any more.
    ///
    /// # Errors
    /// [`TrustError::Revoked`] when it does not count itself.
    pub fn confirm_certificate(&mut self, node: &NodeId, serial: &str) -> Result<(), EditError> {
        self.cluster.trust.admits(node, serial)?;
        let confirmed = self.cluster.trust.credentials.get(node).and_then(|credential| credential.confirmed(serial));
        if let Some(credential) = confirmed {
            self.store_credential(credential);
        }
        Ok(())
    }

    /// Makes every certificate of a node void, as when it leaves for ever.
    pub fn revoke_node(&mut self, node: &NodeId) {
        if self.cluster.trust.credentials.remove(node).is_some() {
            self.delete(document::credential(node));
        }
    }

    /// The id of the next new node, `<cluster>-S<number>`: higher than any before.
    pub fn next_node_id(&self) -> NodeId {
        let prefix = format!("{}-S", self.cluster.id);
        let number = |node: &NodeId| node.as_str().strip_prefix(&prefix)?.parse::<u64>().ok();
        // Nodes of `orrery up` choose their numbers themselves.
        let known = self.cluster.nodes.keys().chain(self.cluster.retired.keys()).chain(self.cluster.trust.credentials.keys());
        let taken = known.filter_map(number).max();
        let next = self.cluster.trust.next_node.max(taken.map_or(0, |taken| taken + 1));
        // A cluster's id is a UUID, so that this is always a node id.
        NodeId::parse(&format!("{prefix}{next}")).unwrap_or_else(|_| unreachable!("the cluster's id is no part of a node id"))
    }

    /// Makes sure that the number of `node` is never given out again.
    pub fn take_node_id(&mut self, node: &NodeId) {
        let number = node.as_str().rsplit_once("-S").and_then(|(_, number)| number.parse::<u64>().ok());
        if let Some(next) = number.map(|number| number.saturating_add(1)).filter(|next| *next > self.cluster.trust.next_node) {
            self.cluster.trust.next_node = next;
            self.write(document::NEXT_NODE.into(), &next);
        }
    }

    /// Adds a user.
    ///
    /// # Errors
    /// [`TrustError::UserExists`], [`TrustError::TooManyUsers`].
    pub fn create_user(&mut self, user: User) -> Result<(), EditError> {
        if self.cluster.trust.users.contains_key(user.uid.as_str()) {
            return Err(TrustError::UserExists(user.uid).into());
        }
        if self.cluster.trust.users.len() >= USERS_MAX {
            return Err(TrustError::TooManyUsers(USERS_MAX).into());
        }
        self.store_user(user);
        Ok(())
    }

    /// Changes a user's description or password.
    ///
    /// # Errors
    /// [`TrustError::NoUser`].
    pub fn change_user(&mut self, uid: &str, change: impl FnOnce(&mut User)) -> Result<(), EditError> {
        let user = self.cluster.trust.users.get(uid).ok_or_else(|| TrustError::NoUser(uid.into()))?;
        let mut user = (**user).clone();
        change(&mut user);
        uid.clone_into(&mut user.uid);
        self.store_user(user);
        Ok(())
    }

    /// Removes a user; what they were given when they logged in works no longer.
    ///
    /// # Errors
    /// [`TrustError::NoUser`], [`TrustError::LastUser`].
    pub fn delete_user(&mut self, uid: &str) -> Result<(), EditError> {
        if !self.cluster.trust.users.contains_key(uid) {
            return Err(TrustError::NoUser(uid.into()).into());
        }
        if self.cluster.trust.users.len() == 1 {
            return Err(TrustError::LastUser.into());
        }
        self.cluster.trust.users.remove(uid);
        self.delete(document::user(uid));
        Ok(())
    }

    fn store_token(&mut self, token: JoinToken) {
        self.write(document::token(&token.id), &token);
        self.cluster.trust.tokens.insert(token.id.as_str().into(), Arc::new(token));
    }

    fn store_credential(&mut self, credential: NodeCredential) {
        self.write(document::credential(&credential.node), &credential);
        self.cluster.trust.credentials.insert(credential.node.clone(), Arc::new(credential));
    }

    fn store_user(&mut self, user: User) {
        self.write(document::user(&user.uid), &user);
        self.cluster.trust.users.insert(user.uid.as_str().into(), Arc::new(user));
    }
}
