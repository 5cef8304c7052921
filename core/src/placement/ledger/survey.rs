//! Nodes in groups to which demands about a few fields say the same, each in blocks of like nodes, brought up to date
//! when somebody looks.

use super::block::Blocks;
use super::changes::Changes;
use super::cost::Cost;
use super::fields::Fields;
use super::filter::UNHEARD_OF;
use super::free::Free;
use super::rows::Rows;
use super::tree::NONE;
use crate::hash::Map;
use std::collections::BTreeSet;

/// Surveys kept; the one used longest ago gives way.
const SURVEYS_MAX: usize = 16;
/// A field with more values than one for so many nodes does not group them.
const GROUP_MIN: usize = 8;
/// Nodes that stand for themselves, as a share of all and beside it, with which everything is grouped anew.
const STRAYS_SHARE: usize = 32;
const STRAYS_MIN: usize = 32;

/// Nodes that look alike but for what is free on them.
#[derive(Debug, Clone)]
pub(crate) struct Group {
    /// Resource role, whether they are open, whether they have the Docker executor; the value of each field that
    /// groups nodes, and of each other one whether they have it.
    key: Box<[u32]>,
    pub(crate) block: u32,
}

/// All nodes by fields.
#[derive(Debug, Clone)]
pub(crate) struct Survey {
    /// Fields that demands are about, ascending.
    fields: Vec<u32>,
    /// Which of these group nodes; there are too many values of others.
    coarse: Vec<bool>,
    pub(crate) groups: Vec<Group>,
    /// Those of all known nodes but the ones that stand for themselves.
    pub(crate) blocks: Blocks,
    /// Nodes that stand for themselves: they came or changed their group since.
    pub(crate) strays: BTreeSet<u32>,
    /// No two surveys have the same, nor one that changed its blocks.
    pub(crate) version: u64,
    /// State of the changes, of ranks, of the numbers of fields and of nodes' descriptions that it has followed.
    seen: u64,
    ranking: u64,
    numbering: u64,
    described: u64,
    /// Changes followed since it was made, and whether blocks still told enough when it was used last.
    followed: usize,
    pub(crate) served: bool,
    used: u64,
}

/// What a survey is made of.
#[derive(Clone, Copy)]
pub(crate) struct Ground<'a> {
    pub(crate) rows: &'a Rows,
    pub(crate) fields: &'a Fields,
    pub(crate) changes: &'a Changes,
    /// State of the nodes' descriptions.
    pub(crate) described: u64,
}

/// Surveys by the fields they are about.
#[derive(Debug, Clone, Default)]
pub(crate) struct Surveys {
    list: Vec<Survey>,
    clock: u64,
}

impl Surveys {
    /// That of a version, which has not changed its blocks since.
    pub(crate) fn version(&self, version: u64) -> Option<&Survey> {
        self.list.iter().find(|survey| survey.version == version)
    }

    /// The survey by these fields, up to date.
    pub(crate) fn of(&mut self, mut fields: Vec<u32>, ground: Ground<'_>, cost: &mut Cost) -> &mut Survey {
        fields.sort_unstable();
        fields.dedup();
        self.clock += 1;
        let at = if let Some(at) = self.list.iter().position(|survey| survey.fields == fields) {
            self.list[at].follow(ground, self.clock, cost);
            at
        } else {
            if self.list.len() >= SURVEYS_MAX {
                let oldest = (0..self.list.len()).min_by_key(|at| self.list[*at].used).unwrap_or(0);
                self.list.swap_remove(oldest);
            }
            self.list.push(Survey::new(fields, ground, self.clock, cost));
            self.list.len() - 1
        };
        let survey = &mut self.list[at];
        survey.used = self.clock;
        survey
    }

    /// The survey that was asked for last.
    pub(crate) fn last(&mut self) -> Option<&mut Survey> {
        self.list.iter_mut().find(|survey| survey.used == self.clock)
    }
}

impl Survey {
    fn new(fields: Vec<u32>, ground: Ground<'_>, version: u64, cost: &mut Cost) -> Self {
        let Ground { rows, changes, described, .. } = ground;
        let slots = rows.hot.len();
        let few = |field: &u32| ground.fields.get(*field).len() <= (slots / GROUP_MIN).max(1);
        let mut survey = Self {
            coarse: fields.iter().map(few).collect(),
            fields,
            groups: Vec::new(),
            blocks: Blocks::of(slots),
            strays: BTreeSet::new(),
            version,
            seen: changes.end(),
            ranking: rows.ranking,
            numbering: ground.fields.numbering,
            described,
            followed: 0,
            served: true,
            used: version,
        };
        let (mut keys, mut key): (Map<Box<[u32]>, u32>, _) = (Map::default(), Vec::new());
        let largest = rows.hot.iter().fold(Free::NOTHING, |largest, hot| largest.max(&hot.free));
        let known = (0..slots as u32).filter(|slot| rows.nodes[*slot as usize].is_some());
        let mut nodes: Vec<(u32, u32, u32)> = known
            .map(|slot| {
                survey.key(ground, slot, &mut key);
                let next = keys.len() as u32;
                let group =
                    keys.get(key.as_slice()).copied().unwrap_or_else(|| *keys.entry(key.as_slice().into()).or_insert(next));
                (group, likeness(&rows.hot[slot as usize].free, &largest), slot)
            })
            .collect();
        nodes.sort_unstable();
        cost.scans += nodes.len() as u64;
        let mut keys: Vec<(u32, Box<[u32]>)> = keys.into_iter().map(|(key, group)| (group, key)).collect();
        keys.sort_unstable();
        for (nodes, (group, key)) in nodes.chunk_by(|one, next| one.0 == next.0).zip(keys) {
            let block = survey.blocks.add_group(group, nodes.iter().map(|(.., slot)| *slot), rows);
            survey.groups.push(Group { key, block });
        }
        survey
    }

    fn key(&self, ground: Ground<'_>, slot: u32, key: &mut Vec<u32>) {
        let hot = &ground.rows.hot[slot as usize];
        key.clear();
        key.extend([hot.role, u32::from(hot.open), u32::from(hot.docker)]);
        for (field, is_coarse) in self.fields.iter().zip(&self.coarse) {
            let value = ground.fields.get(*field).value(slot);
            key.push(if *is_coarse { value } else { u32::from(value != NONE) });
        }
    }

    /// Catches up with what changed; made anew where that is cheaper, or blocks tell little after many changes.
    fn follow(&mut self, ground: Ground<'_>, version: u64, cost: &mut Cost) {
        let Ground { rows, changes, .. } = ground;
        let slots = rows.hot.len();
        let recent = changes.since(self.seen).filter(|recent| {
            let is_worn = !self.served && self.followed + recent.len() >= slots;
            self.numbering == ground.fields.numbering && self.ranking == rows.ranking && recent.len() <= slots && !is_worn
        });
        let Some(recent) = recent else {
            *self = Self::new(std::mem::take(&mut self.fields), ground, version, cost);
            return;
        };
        cost.updates += recent.len() as u64;
        self.blocks.grow(slots);
        let (is_described, mut key) = (self.described != ground.described, Vec::new());
        for slot in recent {
            if is_described && !self.keeps_group(ground, *slot, &mut key) {
                self.set_apart(rows, *slot);
                self.version = version;
            } else {
                self.blocks.widen(rows, *slot);
            }
        }
        self.followed += recent.len();
        (self.seen, self.described) = (changes.end(), ground.described);
        if self.strays.len() > slots / STRAYS_SHARE + STRAYS_MIN {
            *self = Self::new(std::mem::take(&mut self.fields), ground, version, cost);
        }
    }

    fn keeps_group(&self, ground: Ground<'_>, slot: u32, key: &mut Vec<u32>) -> bool {
        let Some(group) = self.blocks.group(slot).filter(|_| ground.rows.nodes[slot as usize].is_some()) else { return false };
        self.key(ground, slot, key);
        *self.groups[group as usize].key == **key
    }

    /// From now on the node stands for itself, if it is known.
    fn set_apart(&mut self, rows: &Rows, slot: u32) {
        if rows.nodes[slot as usize].is_some() {
            self.strays.insert(slot);
        } else {
            self.strays.remove(&slot);
        }
        self.blocks.remove(slot);
    }

    /// The value that all nodes of a group have of a field, or `NONE`; one that no node has where they have various ones.
    pub(crate) fn value(&self, group: &Group, field: u32) -> u32 {
        match self.fields.iter().position(|have| *have == field).map(|at| (self.coarse[at], group.key[at + 3])) {
            Some((true, value)) => value,
            Some((false, 0)) => NONE,
            Some((false, _)) | None => UNHEARD_OF,
        }
    }

    /// Whether a field does not group the nodes.
    pub(crate) fn is_fine(&self, field: u32) -> bool {
        self.fields.iter().zip(&self.coarse).any(|(have, is_coarse)| *have == field && !is_coarse)
    }
}

impl Group {
    pub(crate) fn role(&self) -> u32 {
        self.key[0]
    }

    pub(crate) fn is_open(&self) -> bool {
        self.key[1] > 0
    }

    pub(crate) fn has_docker(&self) -> bool {
        self.key[2] > 0
    }
}

/// A number that is close for nodes with alike amounts of cpus and memory free, as parts of the largest: their bits
/// by turns, behind whether there are GPUs.
fn likeness(free: &Free, largest: &Free) -> u32 {
    let part = |amount: i64, largest: i64| (i128::from(amount.max(0)) * 1023 / i128::from(largest.max(1))) as u32;
    let spread = |bits: u32| (0..10).fold(0, |all, bit| all | (bits >> bit & 1) << (2 * bit));
    let (cpus, mem) = (part(free.cpus, largest.cpus), part(free.mem, largest.mem));
    u32::from(free.gpus > 0) << 20 | spread(cpus) << 1 | spread(mem)
}
