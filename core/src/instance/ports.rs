//! Host ports of a seat, without an allocation for the usual few.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::ops::Deref;

/// Ports kept in place.
const FEW_MAX: usize = 3;

/// Host ports in the order of the app's ports; 0 where a port has no host port. Reads as a slice.
#[derive(Clone)]
pub struct HostPorts(Form);

#[derive(Clone)]
enum Form {
    Few(u8, [u16; FEW_MAX]),
    Many(Box<[u16]>),
}

impl Deref for HostPorts {
    type Target = [u16];

    fn deref(&self) -> &[u16] {
        match &self.0 {
            Form::Few(count, ports) => &ports[..usize::from(*count)],
            Form::Many(ports) => ports,
        }
    }
}

impl Default for HostPorts {
    fn default() -> Self {
        Self(Form::Few(0, [0; FEW_MAX]))
    }
}

impl From<Vec<u16>> for HostPorts {
    fn from(list: Vec<u16>) -> Self {
        if list.len() > FEW_MAX {
            return Self(Form::Many(list.into()));
        }
        let mut ports = [0; FEW_MAX];
        ports[..list.len()].copy_from_slice(&list);
        Self(Form::Few(list.len() as u8, ports))
    }
}

impl<'a> IntoIterator for &'a HostPorts {
    type Item = &'a u16;
    type IntoIter = std::slice::Iter<'a, u16>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl PartialEq for HostPorts {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for HostPorts {}

impl fmt::Debug for HostPorts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl Serialize for HostPorts {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (**self).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for HostPorts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Vec::deserialize(deserializer).map(Self::from)
    }
}

#[cfg(test)]
mod tests {
    use super::HostPorts;

    #[test]
    fn few_or_many_they_read_as_they_were_written() {
        assert_eq!(size_of::<HostPorts>(), 16);
        for count in 0..6 {
            let list: Vec<u16> = (1..=count).collect();
            let ports = HostPorts::from(list.clone());
            assert_eq!(*ports, *list);
            let text = serde_json::to_string(&ports).unwrap();
            assert_eq!(
                (text.as_str(), serde_json::from_str::<HostPorts>(&text).unwrap()),
                (&*serde_json::to_string(&list).unwrap(), ports)
            );
        }
    }
}
