//! Where each node's cell stands: racks in rows, zones below one another.

use orrery_core::Node;
use orrery_core::report::NodeUse;
use std::collections::BTreeMap;

/// Sizes of cells that are tried, the first that keeps the map low enough is taken.
const CELLS: [u32; 11] = [32, 26, 22, 19, 16, 13, 11, 9, 7, 5, 4];
/// Height that the map should keep to; very many nodes go beyond it.
const HEIGHT_GOAL: u32 = 760;
/// Height of a zone's heading.
const ZONE_HEAD: u32 = 30;
/// Space below a zone.
const ZONE_GAP: u32 = 18;
/// Height of a rack's name.
const RACK_HEAD: u32 = 15;
/// Nodes beyond which a group is drawn as one heap.
const HEAP_MIN: u32 = 120;
/// Smallest cell below which racks have no names.
const NAMED_CELL: u32 = 7;

/// One rack, or what stands in for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rack {
    /// Its name; empty when nodes name none.
    pub(super) name: String,
    /// Numbers of its nodes, in order.
    pub(super) nodes: Vec<usize>,
    /// Cells side by side.
    pub(super) columns: u32,
    pub(super) x: u32,
    pub(super) y: u32,
}

/// Racks of one zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Zone {
    /// Region and zone; empty when nodes name none.
    pub(super) name: String,
    /// Where its heading stands.
    pub(super) y: u32,
    pub(super) racks: Vec<Rack>,
}

/// The whole map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Layout {
    pub(super) zones: Vec<Zone>,
    /// Side of a cell.
    pub(super) cell: u32,
    /// From one cell to the next.
    pub(super) pitch: u32,
    /// Whether there is room for the names of racks.
    pub(super) named: bool,
    pub(super) height: u32,
}

impl Layout {
    /// Of these nodes, `width` pixels wide.
    pub(super) fn of(nodes: &[NodeUse], width: u32) -> Self {
        let groups = groups(nodes);
        let mut layout = Self::with_cell(&groups, CELLS[0], width);
        for cell in &CELLS[1..] {
            if layout.height <= HEIGHT_GOAL {
                break;
            }
            layout = Self::with_cell(&groups, *cell, width);
        }
        layout
    }

    fn with_cell(groups: &[Group], cell: u32, width: u32) -> Self {
        let gap = if cell >= 13 { 2 } else { 1 };
        let pitch = cell + gap;
        let named = cell >= NAMED_CELL && groups.iter().any(|(_, racks)| racks.iter().any(|(name, _)| !name.is_empty()));
        let head = if named { RACK_HEAD } else { 0 };
        let space = if cell >= 13 { 14 } else { (cell / 2 + 4).max(5) };
        let (mut zones, mut y) = (Vec::new(), 0);
        for (name, racks) in groups {
            let top = y;
            if !name.is_empty() {
                y += ZONE_HEAD;
            }
            let (mut placed, mut x, mut row_height) = (Vec::new(), 0, 0);
            for (rack, nodes) in racks {
                let columns = columns(nodes.len(), width / pitch);
                let rows = (nodes.len() as u32).div_ceil(columns);
                let (wide, high) = (columns * pitch, rows * pitch + head);
                if x > 0 && x + wide > width {
                    y += row_height + space;
                    (x, row_height) = (0, 0);
                }
                placed.push(Rack { name: rack.clone(), nodes: nodes.clone(), columns, x, y: y + head });
                x += wide + space;
                row_height = row_height.max(high);
            }
            y += row_height + ZONE_GAP;
            zones.push(Zone { name: name.clone(), y: top, racks: placed });
        }
        Self { zones, cell, pitch, named, height: y }
    }
}

/// Racks are a little wider than high, with as few holes as that allows; what is one large heap fills
/// the width.
fn columns(count: usize, most: u32) -> u32 {
    let (count, most) = (count as u32, most.max(1));
    if count > HEAP_MIN {
        return most;
    }
    let mut columns = 1;
    while columns * columns * 4 < count * 5 {
        columns += 1;
    }
    let holes = |columns: &u32| columns * count.div_ceil(*columns) - count;
    let near = (columns.saturating_sub(1).max(1)..=columns + 2).min_by_key(|columns| (holes(columns), *columns));
    near.unwrap_or(columns).min(most)
}

/// A rack's name and its nodes.
type NamedRack = (String, Vec<usize>);
/// A zone's name and its racks.
type Group = (String, Vec<NamedRack>);

/// Zones by name, racks in the order in which the nodes name them.
fn groups(nodes: &[NodeUse]) -> Vec<Group> {
    let rack_of = |node: &Node| node.field("rack").unwrap_or_default().to_owned();
    let mut sizes: BTreeMap<String, usize> = BTreeMap::new();
    for node in nodes {
        *sizes.entry(rack_of(&node.node)).or_default() += 1;
    }
    // Racks of one node each say nothing.
    let racked = sizes.len() * 2 <= nodes.len() || sizes.len() <= 4;
    let mut zones: BTreeMap<String, (BTreeMap<String, usize>, Vec<NamedRack>)> = BTreeMap::new();
    for (number, node) in nodes.iter().enumerate() {
        let facts = &node.node.facts;
        let parts: Vec<&str> = [&facts.region, &facts.zone].into_iter().filter_map(|part| part.as_deref()).collect();
        let (known, racks) = zones.entry(parts.join(" / ")).or_default();
        let rack = if racked { rack_of(&node.node) } else { String::new() };
        let at = *known.entry(rack.clone()).or_insert(racks.len());
        match racks.get_mut(at) {
            Some((_, members)) => members.push(number),
            None => racks.push((rack, vec![number])),
        }
    }
    zones.into_iter().map(|(name, (_, racks))| (name, racks)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn racks_do_not_overlap_and_stay_inside() {
        for (racks, size) in [(1, 1), (16, 20), (500, 20), (3, 700), (40, 3)] {
            let mut number = 0;
            let racks: Vec<(String, Vec<usize>)> = (0..racks)
                .map(|rack| {
                    let members = (number..number + size).collect();
                    number += size;
                    (format!("r{rack}"), members)
                })
                .collect();
            let layout = Layout::with_cell(&[("z".into(), racks)], 9, 600);
            let racks = &layout.zones[0].racks;
            let mut cells = std::collections::BTreeSet::new();
            for rack in racks {
                for at in 0..rack.nodes.len() as u32 {
                    let (x, y) = (rack.x + at % rack.columns * layout.pitch, rack.y + at / rack.columns * layout.pitch);
                    assert!(x + layout.cell <= 600 && y + layout.cell <= layout.height);
                    assert!(cells.insert((x, y)), "two cells at {x},{y}");
                }
            }
        }
    }
}
