//! Host ports of one node: what it offers, and a bitmap of what is taken.

use crate::node::PortRanges;

/// First port, last port, number of the first.
#[derive(Debug, Clone, Copy, Default)]
struct Range {
    begin: u16,
    end: u16,
    number: u32,
}

/// Ports are numbered in the order in which they are offered.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ports {
    /// The first range: most nodes have no other.
    first: Range,
    /// Further ranges, ascending.
    further: Vec<Range>,
    count: u32,
    /// One bit per offered port; empty until one is taken.
    taken: Vec<u64>,
    taken_count: u32,
    /// Taken but not offered: the node changed its mind. Sorted.
    strange: Vec<u16>,
}

impl Ports {
    /// Offers `ranges`; what was taken stays taken.
    pub(crate) fn offer(&mut self, ranges: &PortRanges) {
        let held: Vec<u16> = self.held().collect();
        let mut count = 0;
        // Port 0 means none and is never handed out.
        let mut numbered = ranges.ranges().iter().filter(|range| range.end > 0).map(|range| {
            let (begin, number) = (range.begin.max(1), count);
            count += u32::from(range.end - begin) + 1;
            Range { begin, end: range.end, number }
        });
        let first = numbered.next().unwrap_or_default();
        *self = Self { first, further: numbered.collect(), ..Self::default() };
        self.count = count;
        for port in held {
            self.take(port);
        }
    }

    /// All taken ports, ascending except for strange ones, which come last.
    pub(crate) fn held(&self) -> impl Iterator<Item = u16> + '_ {
        let offered = (0..self.count).filter(|number| self.is_set(*number)).map(|number| self.port(number));
        offered.chain(self.strange.iter().copied())
    }

    /// How many offered ports are free.
    pub(crate) const fn free(&self) -> u32 {
        self.count - self.taken_count
    }

    /// Takes a port; 0 is none.
    pub(crate) fn take(&mut self, port: u16) {
        if port == 0 {
            return;
        }
        let Some(number) = self.number(port) else {
            if let Err(at) = self.strange.binary_search(&port) {
                self.strange.insert(at, port);
            }
            return;
        };
        if self.taken.is_empty() {
            self.taken = vec![0; self.count.div_ceil(64) as usize];
        }
        if !self.is_set(number) {
            self.taken[number as usize / 64] |= 1 << (number % 64);
            self.taken_count += 1;
        }
    }

    /// Gives a port back.
    pub(crate) fn give_back(&mut self, port: u16) {
        let Some(number) = self.number(port) else {
            if let Ok(at) = self.strange.binary_search(&port) {
                self.strange.remove(at);
            }
            return;
        };
        if self.is_set(number) {
            self.taken[number as usize / 64] &= !(1 << (number % 64));
            self.taken_count -= 1;
        }
    }

    /// Whether a port is offered, free or not.
    pub(crate) fn offers(&self, port: u16) -> bool {
        self.number(port).is_some()
    }

    /// Whether a port is offered and free.
    pub(crate) fn is_free(&self, port: u16) -> bool {
        self.number(port).is_some_and(|number| !self.is_set(number))
    }

    /// Ports for the requests of a task, or the index of the first request that cannot be met.
    /// Dynamic ports start at a place that depends on the salt, so that a port that was just given
    /// back is not handed out again at once.
    pub(crate) fn choose(&self, requests: &[Option<u16>], fixed: &[u16], salt: u64) -> Result<Vec<u16>, usize> {
        let mut ports = Vec::with_capacity(requests.len());
        let start = (salt.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 33) as u32 % self.count.max(1);
        let mut step = 0;
        for (index, request) in requests.iter().enumerate() {
            ports.push(match request {
                None => 0,
                Some(0) => loop {
                    step = self.next_free(start, step).ok_or(index)?;
                    let port = self.port((start + step) % self.count);
                    step += 1;
                    if !fixed.contains(&port) {
                        break port;
                    }
                },
                Some(port) if self.is_free(*port) => *port,
                Some(_) => return Err(index),
            });
        }
        Ok(ports)
    }

    /// The first step from `start`, at or behind `step`, to a free port, going round once.
    fn next_free(&self, start: u32, mut step: u32) -> Option<u32> {
        while step < self.count {
            let number = (start + step) % self.count;
            let Some(word) = self.taken.get(number as usize / 64) else { return Some(step) };
            // What is left of this word, of the count and of the way to the end of the numbers.
            let left = (64 - number % 64).min(self.count - number).min(self.count - step);
            let run = (!(word >> (number % 64))).trailing_zeros();
            if run < left {
                return Some(step + run);
            }
            step += left;
        }
        None
    }

    fn is_set(&self, number: u32) -> bool {
        self.taken.get(number as usize / 64).is_some_and(|word| word >> (number % 64) & 1 == 1)
    }

    fn number(&self, port: u16) -> Option<u32> {
        let range = if port <= self.first.end {
            &self.first
        } else {
            self.further.get(self.further.partition_point(|range| range.end < port))?
        };
        (range.begin <= port && port > 0).then(|| range.number + u32::from(port - range.begin))
    }

    /// The port of a number below the count.
    fn port(&self, number: u32) -> u16 {
        let behind = self.further.partition_point(|range| range.number <= number);
        let range = if behind == 0 { &self.first } else { &self.further[behind - 1] };
        range.begin.saturating_add((number - range.number) as u16)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_taken_once_and_survive_a_change_of_offer() {
        let mut ports = Ports::default();
        ports.offer(&PortRanges::new([(10, 12), (70, 200)]));
        assert_eq!(ports.free(), 134);
        let mut seen = Vec::new();
        for salt in 0..67 {
            let found = ports.choose(&[Some(0), None, Some(0)], &[], salt).unwrap();
            assert_eq!(found[1], 0);
            for port in [found[0], found[2]] {
                assert!(!seen.contains(&port));
                ports.take(port);
                seen.push(port);
            }
        }
        assert_eq!((ports.free(), ports.choose(&[None, Some(0)], &[], 3)), (0, Err(1)));
        ports.offer(&PortRanges::new([(70, 100)]));
        assert_eq!((ports.free(), ports.held().count()), (0, 134));
        ports.give_back(71);
        ports.give_back(150);
        assert_eq!(ports.choose(&[Some(0)], &[], 9), Ok(vec![71]));
        assert_eq!(ports.choose(&[Some(0), Some(71)], &[71], 9), Err(0));
        assert_eq!(ports.held().count(), 132);
    }
}
