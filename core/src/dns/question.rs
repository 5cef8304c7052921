//! What a name asks about running tasks.

use super::domain::Domain;
use super::forms::{reversed, suffix_room};
use super::label::HASH_CHARS;
use super::{DIRECTORY_DOMAIN, MESOS_DOMAIN};

/// What a name asks about running tasks, if anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Question<'n> {
    /// A domain of tasks, or a domain that one lies in: it exists if any task has a name.
    Above,
    /// A host: an app, one of its tasks, or something above them.
    Host { domain: Domain, name: &'n str },
    /// A service of `protocol`: the name before the protocol, empty for the protocol itself.
    Service { domain: Domain, protocol: &'static str, name: &'n str },
}

impl<'n> Question<'n> {
    /// Reads a lower-case name without final dot; `None` when no task can have it.
    pub(super) fn read(name: &'n str) -> Option<Self> {
        for domain in Domain::ALL {
            let top = domain.of_marathon();
            match name.strip_suffix(top) {
                Some("") => return Some(Self::Above),
                Some(rest) => {
                    // The rest of the name of another domain that ends likewise.
                    let Some(rest) = rest.strip_suffix('.') else { continue };
                    return Some(Self::within(domain, rest));
                }
                None => {
                    let is_above = top.strip_suffix(name).is_some_and(|rest| rest.ends_with('.'));
                    let is_within_zone = name.len() > MESOS_DOMAIN.len() && name != DIRECTORY_DOMAIN && name != "directory";
                    if is_above && is_within_zone {
                        return Some(Self::Above);
                    }
                }
            }
        }
        None
    }

    fn within(domain: Domain, rest: &'n str) -> Self {
        for protocol in ["tcp", "udp"] {
            let name = rest.strip_suffix(protocol).and_then(|rest| rest.strip_suffix('_'));
            if let Some(name) = name
                && (name.is_empty() || name.ends_with('.'))
                && matches!(domain, Domain::Mesos | Domain::Slave)
            {
                return Self::Service { domain, protocol, name: name.strip_suffix('.').unwrap_or_default() };
            }
        }
        Self::Host { domain, name: rest }
    }
}

/// The name of a service, taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ServiceName<'n> {
    /// The label of the port, when one is named.
    pub(super) port: Option<&'n str>,
    /// The form of the app, with its underscore and perhaps cut.
    pub(super) underscored: &'n str,
}

impl<'n> ServiceName<'n> {
    /// `None` when it can only be above services.
    pub(super) fn read(name: &'n str) -> Option<Self> {
        let first = name.strip_prefix('_')?;
        Some(match first.split_once('.') {
            Some((port, rest)) if rest.starts_with('_') => Self { port: Some(port), underscored: rest },
            _ => Self { port: None, underscored: name },
        })
    }

    /// The first label of the form, perhaps cut.
    pub(super) fn first_label(&self) -> &'n str {
        let form = &self.underscored[1..];
        form.split_once('.').map_or(form, |(first, _)| first)
    }

    /// The form, perhaps cut, with its labels in reverse order.
    pub(super) fn key(&self) -> String {
        reversed(&self.underscored[1..])
    }
}

/// The canonical name of a task, taken apart: `web.shop-abcde-s1`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct CanonicalName<'n> {
    /// What stands before the suffix: `web.shop`. Perhaps cut.
    stem: &'n str,
    /// `-abcde-s1`.
    pub(super) suffix: &'n str,
    /// `abcde`.
    pub(super) hash: &'n str,
    /// `s1`.
    pub(super) tail: &'n str,
}

impl<'n> CanonicalName<'n> {
    /// `None` when it cannot be one.
    pub(super) fn read(name: &'n str) -> Option<Self> {
        let label = &name[name.rfind('.').map_or(0, |at| at + 1)..];
        let mut fields = label.rsplitn(3, '-');
        let (tail, hash, first) = (fields.next()?, fields.next()?, fields.next()?);
        let (stem, suffix) = name.split_at(name.len() - (label.len() - first.len()));
        (hash.len() == HASH_CHARS).then_some(Self { stem, suffix, hash, tail })
    }

    /// The stem with its labels in reverse order.
    pub(super) fn key(&self) -> String {
        reversed(self.stem)
    }

    /// What the last label of a form begins with if it was cut before the suffix: dashes at the cut
    /// are gone.
    pub(super) fn cut_label(&self) -> String {
        let label = &self.stem[self.stem.rfind('.').map_or(0, |at| at + 1)..];
        format!("{label:-<room$}", room = suffix_room(self.suffix))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_taken_apart() {
        let host = |domain, name| Some(Question::Host { domain, name });
        let service = |domain, protocol, name| Some(Question::Service { domain, protocol, name });
        for (name, want) in [
            ("web.shop.marathon.mesos", host(Domain::Mesos, "web.shop")),
            ("web.marathon.slave.mesos", host(Domain::Slave, "web")),
            ("web.marathon.autoip.dcos.thisdcos.directory", host(Domain::AutoIp, "web")),
            ("_tcp.marathon.mesos", service(Domain::Mesos, "tcp", "")),
            ("_p._web._udp.marathon.slave.mesos", service(Domain::Slave, "udp", "_p._web")),
            ("x_tcp.marathon.mesos", host(Domain::Mesos, "x_tcp")),
            ("_tcp.marathon.agentip.dcos.thisdcos.directory", host(Domain::AgentIp, "_tcp")),
            ("marathon.mesos", Some(Question::Above)),
            ("slave.mesos", Some(Question::Above)),
            ("agentip.dcos.thisdcos.directory", Some(Question::Above)),
            ("dcos.thisdcos.directory", Some(Question::Above)),
            ("thisdcos.directory", None),
            ("directory", None),
            ("mesos", None),
            ("", None),
            ("leader.mesos", None),
            ("xmarathon.mesos", None),
            ("web.other.mesos", None),
        ] {
            assert_eq!(Question::read(name), want, "{name}");
        }
        assert_eq!(ServiceName::read("_p._a.b"), Some(ServiceName { port: Some("p"), underscored: "_a.b" }));
        assert_eq!(ServiceName::read("_a.b"), Some(ServiceName { port: None, underscored: "_a.b" }));
        assert_eq!(ServiceName::read("b"), None);
        let canonical = CanonicalName { stem: "web.shop", suffix: "-abcde-s1", hash: "abcde", tail: "s1" };
        assert_eq!(CanonicalName::read("web.shop-abcde-s1"), Some(canonical));
        assert_eq!((canonical.key().as_str(), canonical.cut_label().len()), ("shop.web", 54));
        for name in ["", "web", "web-s1", "web-abcd-s1", "web-abcde.s1"] {
            assert_eq!(CanonicalName::read(name), None, "{name}");
        }
    }
}
