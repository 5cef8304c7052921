//! The records of one name, counted, in a form that is cheap to change whatever its size.

use super::{RecordData, RecordKind};
use imbl::OrdMap;
use std::hash::{DefaultHasher, Hash, Hasher};

/// A set that changes keeps up to this many records in one sorted vector, beyond it in a persistent
/// map.
const FEW_MAX: usize = 64;
/// In the persistent form the first of an answer is drawn from this many records: it evens out the
/// chances of records that hash far apart.
const SMOOTHING: usize = 16;

/// Distinct records of a name with the number of owners of each.
#[derive(Debug, Clone)]
pub struct RrSet(Form);

#[derive(Debug, Clone)]
enum Form {
    Few(Vec<(RecordData, u32)>),
    Many(OrdMap<Key, u32>),
}

/// Orders by kind, then by hash, so that a range from a random hash starts anywhere.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    kind: u8,
    hash: u32,
    // Always present in the map; absent in the bounds of ranges.
    data: Option<RecordData>,
}

impl Key {
    fn of(data: &RecordData) -> Self {
        let mut hasher = DefaultHasher::new();
        data.hash(&mut hasher);
        Self { kind: data.kind() as u8, hash: hasher.finish() as u32, data: Some(data.clone()) }
    }

    /// Not above any key of `kind`.
    const fn first(kind: RecordKind) -> Self {
        Self { kind: kind as u8, hash: 0, data: None }
    }

    /// Above every key of `kind`.
    const fn end(kind: RecordKind) -> Self {
        Self { kind: kind as u8 + 1, hash: 0, data: None }
    }
}

impl Default for RrSet {
    fn default() -> Self {
        Self(Form::Few(Vec::new()))
    }
}

/// A set that is made anew rather than changed: sorted, whatever its size.
impl FromIterator<RecordData> for RrSet {
    fn from_iter<I: IntoIterator<Item = RecordData>>(records: I) -> Self {
        let mut records: Vec<(RecordData, u32)> = records.into_iter().map(|data| (data, 1)).collect();
        records.sort_unstable();
        records.dedup_by(|again, first| {
            let is_same = again.0 == first.0;
            first.1 += u32::from(is_same);
            is_same
        });
        records.shrink_to_fit();
        Self(Form::Few(records))
    }
}

impl RrSet {
    /// Counts one more owner of `data`; true when the record is new.
    pub(super) fn insert(&mut self, data: RecordData) -> bool {
        match &mut self.0 {
            Form::Few(few) => match few.binary_search_by(|(held, _)| held.cmp(&data)) {
                Ok(at) => {
                    few[at].1 += 1;
                    false
                }
                Err(at) if few.len() < FEW_MAX => {
                    few.insert(at, (data, 1));
                    true
                }
                Err(_) => {
                    let mut many: OrdMap<Key, u32> = few.iter().map(|(held, count)| (Key::of(held), *count)).collect();
                    many.insert(Key::of(&data), 1);
                    self.0 = Form::Many(many);
                    true
                }
            },
            Form::Many(many) => {
                let key = Key::of(&data);
                if let Some(count) = many.get_mut(&key) {
                    *count += 1;
                    return false;
                }
                many.insert(key, 1);
                true
            }
        }
    }

    /// Counts one owner of `data` less; true when the record is gone.
    pub(super) fn remove(&mut self, data: &RecordData) -> bool {
        match &mut self.0 {
            Form::Few(few) => {
                let Ok(at) = few.binary_search_by(|(held, _)| held.cmp(data)) else { return false };
                few[at].1 -= 1;
                if few[at].1 > 0 {
                    return false;
                }
                few.remove(at);
                true
            }
            Form::Many(many) => {
                let key = Key::of(data);
                match many.get_mut(&key) {
                    Some(count) if *count > 1 => {
                        *count -= 1;
                        return false;
                    }
                    Some(_) => {}
                    None => return false,
                }
                many.remove(&key);
                // Half of the limit, so that a set at the limit does not flap between forms.
                if many.len() <= FEW_MAX / 2 {
                    let mut few: Vec<(RecordData, u32)> =
                        many.iter().filter_map(|(key, count)| Some((key.data.clone()?, *count))).collect();
                    few.sort_unstable();
                    self.0 = Form::Few(few);
                }
                true
            }
        }
    }

    /// Number of distinct records.
    pub fn len(&self) -> usize {
        match &self.0 {
            Form::Few(few) => few.len(),
            Form::Many(many) => many.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All records, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = &RecordData> {
        let (few, many) = match &self.0 {
            Form::Few(few) => (Some(few), None),
            Form::Many(many) => (None, Some(many)),
        };
        let few = few.into_iter().flatten().map(|(data, _)| data);
        few.chain(many.into_iter().flat_map(|many| many.keys().filter_map(|key| key.data.as_ref())))
    }

    /// The records of one kind, each once, starting at a point that `entropy` chooses.
    pub fn rotated(&self, kind: RecordKind, entropy: u64) -> Rotated<'_> {
        match &self.0 {
            Form::Few(few) => {
                let start = few.partition_point(|(data, _)| data.kind() < kind);
                let end = start + few[start..].partition_point(|(data, _)| data.kind() == kind);
                let slice = &few[start..end];
                let turn = if slice.len() > 1 { (((entropy >> 32) * slice.len() as u64) >> 32) as usize } else { 0 };
                Rotated(Turn::Few { slice, next: turn, left: slice.len() })
            }
            Form::Many(many) => {
                let (low, middle, end) = (Key::first(kind), Key { hash: entropy as u32, ..Key::first(kind) }, Key::end(kind));
                let mut rest = many.range(middle.clone()..end).chain(many.range(low..middle));
                let mut head: Vec<&RecordData> = Vec::with_capacity(SMOOTHING);
                head.extend(rest.by_ref().filter_map(|(key, _)| key.data.as_ref()).take(SMOOTHING));
                if !head.is_empty() {
                    let turn = (entropy >> 32) as usize % head.len();
                    head.rotate_left(turn);
                }
                let rest = rest.filter_map(|(key, _)| key.data.as_ref());
                Rotated(Turn::Many(Box::new(head.into_iter().chain(rest))))
            }
        }
    }
}

/// Iterator of [`RrSet::rotated`].
pub struct Rotated<'a>(Turn<'a>);

enum Turn<'a> {
    Few { slice: &'a [(RecordData, u32)], next: usize, left: usize },
    Many(Box<dyn Iterator<Item = &'a RecordData> + 'a>),
}

impl<'a> Iterator for Rotated<'a> {
    type Item = &'a RecordData;

    fn next(&mut self) -> Option<Self::Item> {
        match &mut self.0 {
            Turn::Few { slice, next, left } => {
                *left = left.checked_sub(1)?;
                let data = &slice[*next].0;
                *next = if *next + 1 == slice.len() { 0 } else { *next + 1 };
                Some(data)
            }
            Turn::Many(records) => records.next(),
        }
    }
}
