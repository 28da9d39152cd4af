//! Segments of an arena: how it grows, and how it gives up what nobody used lately.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Weak};

use super::classes::Class;
use super::{Arena, Row, Short, State};
use crate::budget::{self, Reserved};
use crate::exports::Exports;
use crate::fork::{Fd, Map};
use crate::returns::BLOCKS;
use crate::segment;

/// Looks in a row that found a class unused before its last block goes too.
const IDLE_LOOKS: u32 = 25;
/// Most segments of an arena at a time: each costs its owner an fd, and every process that reads it a mapping.
pub const SEGMENTS_MAX: usize = 1024;

pub(super) struct Segment {
    pub(super) fd: Fd,
    pub(super) map: Arc<Map>,
    pub(super) exports: Arc<Exports>,
    class: usize,
    pub(super) blocks: Vec<u32>,
    /// Of the blocks, how many are not free.
    pub(super) used: usize,
    /// Its free blocks are not given out: it is to be given up.
    pub(super) draining: bool,
    _reserved: Reserved,
}

/// What a look at an arena found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// It has no memory.
    Empty,
    /// It is in use: look again soon.
    Busy,
    /// Nothing moved since the last look: look again later.
    Quiet,
}

impl Arena {
    /// The fd and size of a segment, to be announced.
    pub fn announce<T>(&self, segment: u32, announce: impl FnOnce(BorrowedFd<'_>, usize) -> T) -> Option<T> {
        let state = self.lock();
        let segment = state.segments.get(&segment)?;
        Some(announce(segment.fd.as_fd(), segment.map.len()))
    }

    pub fn has_segment(&self, segment: u32) -> bool {
        self.lock().segments.contains_key(&segment)
    }

    /// True once, when there is memory and nobody looks: the caller sees to it.
    pub fn watch(&self) -> bool {
        let mut state = self.lock();
        !state.segments.is_empty() && !std::mem::replace(&mut state.watched, true)
    }

    /// Looks whether memory can be given up: what nobody used since the look before the last.
    pub fn look(&self) -> Look {
        let mut state = self.lock();
        state.take_returns(&self.dropped);
        let found = state.look();
        // Another arena's sender waits for memory.
        if budget::is_short() {
            state.give_up_free();
        }
        state.watched = found != Look::Empty;
        found
    }
}

impl State {
    /// A new segment for a class: as many blocks as its history asks for, or, halved as often as that is too
    /// much, as there is room for: what is left of a limit is not filled with segments of a block each.
    pub(super) fn grow(&mut self, class: usize, bytes: u64) -> Result<(), Short> {
        let wanted = self.classes[class].next_blocks(bytes);
        let numbers = u64::from(BLOCKS) - (self.rows.len() - self.free_rows.len()) as u64;
        if numbers == 0 || self.segments.len() >= SEGMENTS_MAX {
            return Err(Short::Numbers);
        }
        let wanted = wanted.min(numbers);
        let within = |count: u64| self.max == 0 || self.committed + count * bytes <= self.max;
        let mut failed = None;
        for count in std::iter::successors(Some(wanted), |count| Some(count / 2)).take_while(|it| *it > 0) {
            if !within(count) {
                continue;
            }
            let Some(reserved) = budget::reserve(count * bytes) else { continue };
            match segment::create_arena((count * bytes) as usize) {
                Ok((fd, map)) => {
                    self.add_segment(class, bytes, count, (fd, map), reserved);
                    return Ok(());
                }
                Err(error) => failed = Some(error.to_string()),
            }
        }
        match failed {
            Some(why) if self.used == 0 => Err(Short::Never(why)),
            _ => Err(Short::Wait),
        }
    }

    fn add_segment(
        &mut self,
        class: usize,
        bytes: u64,
        count: u64,
        (fd, map): (OwnedFd, Arc<Map>),
        reserved: Reserved,
    ) {
        let number = self.next_segment;
        self.next_segment += 1;
        self.grown += 1;
        self.committed += count * bytes;
        let mut blocks = Vec::new();
        for index in 0..count {
            let offset = index * bytes;
            // SAFETY: inside the map: it has `count` times `bytes` bytes.
            let at = unsafe { map.at().add(offset as usize) };
            let row = Row {
                segment: number,
                class,
                offset,
                at,
                handle: Weak::new(),
                held: false,
                lent: 0,
                use_number: 0,
                warm: false,
            };
            let id = match self.free_rows.pop() {
                Some(id) => {
                    self.rows[id as usize] = row;
                    id
                }
                None => {
                    self.rows.push(row);
                    self.rows.len() as u32 - 1
                }
            };
            blocks.push(id);
        }
        // The first block is given out first, so that what is taken from the system at a time is used.
        self.classes[class].free.extend(&blocks);
        self.classes[class].segments.push(number);
        let exports = Exports::new(map.clone(), bytes as usize);
        let segment = Segment {
            fd: fd.into(),
            map,
            exports,
            class,
            blocks,
            used: 0,
            draining: false,
            _reserved: reserved,
        };
        self.segments.insert(number, segment);
    }

    /// A segment that was to be given up is wanted again.
    pub(super) fn undrain(&mut self, class: usize) -> bool {
        for number in self.classes[class].segments.clone() {
            let Some(segment) = self.segments.get_mut(&number) else { continue };
            if std::mem::take(&mut segment.draining) {
                let rows = &self.rows;
                let is_free = |id: &u32| !rows[*id as usize].held && rows[*id as usize].lent == 0;
                let free: Vec<u32> = segment.blocks.iter().copied().filter(is_free).collect();
                self.classes[class].free.extend(&free);
                if !self.classes[class].free.is_empty() {
                    return true;
                }
            }
        }
        false
    }

    fn look(&mut self) -> Look {
        let stirred = std::mem::take(&mut self.stirred);
        for class in 0..self.classes.len() {
            self.shrink(class);
        }
        let settles = self.classes.iter().any(|class| !class.segments.is_empty() && class.used == 0);
        match (self.segments.is_empty(), stirred) {
            (true, _) => Look::Empty,
            (false, true) => Look::Busy,
            // The last block of an unused class is still there.
            (false, false) if settles => Look::Busy,
            (false, false) => Look::Quiet,
        }
    }

    /// Gives up segments of a class, the newest first, as long as the others have enough blocks.
    fn shrink(&mut self, class: usize) {
        let Class { peak, last_peak, used, idle_looks, segments, .. } = &mut self.classes[class];
        *idle_looks = if *peak > 0 { 0 } else { *idle_looks + 1 };
        let least = usize::from(*idle_looks <= IDLE_LOOKS);
        let keep = least.max(*peak).max(*last_peak);
        *last_peak = std::mem::replace(peak, *used);
        let numbers: Vec<u32> = segments.iter().rev().copied().collect();
        let total: usize =
            numbers.iter().filter_map(|number| self.segments.get(number)).map(|it| it.blocks.len()).sum();
        let mut excess = total.saturating_sub(keep);
        for number in numbers {
            let Some(segment) = self.segments.get_mut(&number) else { continue };
            if segment.blocks.len() > excess {
                continue;
            }
            excess -= segment.blocks.len();
            if segment.used == 0 {
                self.give_up(number);
            } else if !std::mem::replace(&mut segment.draining, true) {
                let rows = &self.rows;
                self.classes[class].free.retain(|id| rows[id as usize].segment != number);
            }
        }
    }

    /// Under pressure: every segment that is free goes. True if one was.
    pub(super) fn give_up_free(&mut self) -> bool {
        let free: Vec<u32> =
            self.segments.iter().filter(|(_, it)| it.used == 0).map(|(number, _)| *number).collect();
        free.iter().for_each(|number| self.give_up(*number));
        !free.is_empty()
    }

    ///
    fn give_up(&mut self, number: u32) {
        let Some(segment) = self.segments.remove(&number) else { return };
        self.committed -= segment.map.len() as u64;
        let class = &mut self.classes[segment.class];
        class.segments.retain(|other| *other != number);
        let rows = &self.rows;
        for class in &mut self.classes {
            class.free.retain(|id| rows[id as usize].segment != number);
        }
        self.free_rows.extend(segment.blocks);
    }
}
