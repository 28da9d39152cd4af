//! A set of prefixes with a value each: which of them does a message begin with?
//!
//! A radix tree: an edge is as many bytes as lead nowhere else, so memory follows the bytes of the
//! prefixes and not their number times their length. Nothing here recurses: a peer chooses the
//! prefixes, and a deep tree must not reach the stack (libzmq's once did, reliability study, E6).
//!
//! Invariants, held by `insert` and `remove` and checked by the property test below
//! - T-1 Every node but the root has a value or at least two children.
//! - T-2 An edge is never empty, and the first bytes of a node's edges differ and are sorted.

const ROOT: usize = 0;

struct Node<V> {
    /// The bytes between the parent and here.
    edge: Box<[u8]>,
    value: Option<V>,
    /// First byte of the child's edge, and the child.
    children: Vec<(u8, u32)>,
}

pub struct Trie<V> {
    nodes: Vec<Node<V>>,
    free: Vec<u32>,
    len: usize,
    longest: usize,
}

impl<V> Default for Trie<V> {
    fn default() -> Self {
        let root = Node { edge: Box::new([]), value: None, children: Vec::new() };
        Trie { nodes: vec![root], free: Vec::new(), len: 0, longest: 0 }
    }
}

fn common(left: &[u8], right: &[u8]) -> usize {
    left.iter().zip(right).take_while(|(left, right)| left == right).count()
}

impl<V> Trie<V> {
    /// Number of prefixes.
    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// No prefix is longer than this; it may have been one that is no longer there.
    pub fn longest(&self) -> usize {
        self.longest
    }

    /// The value of the empty prefix, which every message begins with.
    pub fn root(&self) -> Option<&V> {
        self.nodes[ROOT].value.as_ref()
    }

    fn child(&self, node: usize, first: u8) -> Result<usize, usize> {
        self.nodes[node].children.binary_search_by_key(&first, |(byte, _)| *byte)
    }

    fn add(&mut self, edge: &[u8]) -> u32 {
        let node = Node { edge: edge.into(), value: None, children: Vec::new() };
        if let Some(at) = self.free.pop() {
            self.nodes[at as usize] = node;
            return at;
        }
        self.nodes.push(node);
        (self.nodes.len() - 1) as u32
    }

    /// The node at which `prefix` ends, made if there is none.
    fn make(&mut self, prefix: &[u8]) -> usize {
        let (mut at, mut rest) = (ROOT, prefix);
        while let Some(&first) = rest.first() {
            match self.child(at, first) {
                Err(place) => {
                    let leaf = self.add(rest);
                    self.nodes[at].children.insert(place, (first, leaf));
                    return leaf as usize;
                }
                Ok(place) => {
                    let child = self.nodes[at].children[place].1 as usize;
                    let shared = common(&self.nodes[child].edge, rest);
                    if shared < self.nodes[child].edge.len() {
                        self.split(at, place, shared);
                    }
                    at = self.nodes[at].children[place].1 as usize;
                    rest = &rest[shared..];
                }
            }
        }
        at
    }

    /// Puts a node in the middle of an edge.
    fn split(&mut self, parent: usize, place: usize, at: usize) {
        let (first, child) = self.nodes[parent].children[place];
        let edge = std::mem::take(&mut self.nodes[child as usize].edge);
        let middle = self.add(&edge[..at]);
        self.nodes[middle as usize].children.push((edge[at], child));
        self.nodes[child as usize].edge = edge[at..].into();
        self.nodes[parent].children[place] = (first, middle);
    }

    /// The value of exactly this prefix, made if there is none. True: it was made.
    pub fn entry(&mut self, prefix: &[u8]) -> (&mut V, bool)
    where
        V: Default,
    {
        let node = self.make(prefix);
        let new = self.nodes[node].value.is_none();
        self.len += usize::from(new);
        self.longest = self.longest.max(prefix.len());
        (self.nodes[node].value.get_or_insert_default(), new)
    }

    /// Parents and places on the way to the node at which `prefix` ends, that node last.
    fn path(&self, prefix: &[u8]) -> Option<(Vec<(usize, usize)>, usize)> {
        let (mut at, mut rest, mut path) = (ROOT, prefix, Vec::new());
        while let Some(&first) = rest.first() {
            let place = self.child(at, first).ok()?;
            let child = self.nodes[at].children[place].1 as usize;
            rest = rest.strip_prefix(&*self.nodes[child].edge)?;
            path.push((at, place));
            at = child;
        }
        Some((path, at))
    }

    /// The value of exactly this prefix.
    pub fn get_mut(&mut self, prefix: &[u8]) -> Option<&mut V> {
        let (mut at, mut rest) = (ROOT, prefix);
        while let Some(&first) = rest.first() {
            let place = self.child(at, first).ok()?;
            at = self.nodes[at].children[place].1 as usize;
            rest = rest.strip_prefix(&*self.nodes[at].edge)?;
        }
        self.nodes[at].value.as_mut()
    }

    /// Takes the prefix out.
    pub fn remove(&mut self, prefix: &[u8]) -> Option<V> {
        let (mut path, node) = self.path(prefix)?;
        let value = self.nodes[node].value.take()?;
        self.len -= 1;
        if let Some((parent, place)) = path.pop() {
            if self.nodes[node].children.is_empty() {
                self.nodes[parent].children.remove(place);
                self.discard(node);
                // The parent may have been there for two children only.
                if let Some((grandparent, place)) = path.pop() {
                    self.merge(grandparent, place);
                }
            } else {
                self.merge(parent, place);
            }
        }
        Some(value)
    }

    fn discard(&mut self, node: usize) {
        self.nodes[node].edge = Box::new([]);
        self.nodes[node].children = Vec::new();
        self.free.push(node as u32);
    }

    /// T-1: a node without a value and with one child becomes one with it.
    fn merge(&mut self, parent: usize, place: usize) {
        let node = self.nodes[parent].children[place].1 as usize;
        if self.nodes[node].value.is_some() {
            return;
        }
        let [(_, child)] = self.nodes[node].children[..] else { return };
        let edge = [&*self.nodes[node].edge, &*self.nodes[child as usize].edge].concat();
        self.nodes[child as usize].edge = edge.into();
        self.nodes[parent].children[place].1 = child;
        self.discard(node);
    }

    /// The value of every prefix that `message` begins with, shortest first, until `take` says false.
    #[inline]
    pub fn matching<'a>(&'a self, message: &[u8], mut take: impl FnMut(&'a V) -> bool) {
        let (mut at, mut rest) = (ROOT, message);
        loop {
            let node = &self.nodes[at];
            if let Some(value) = &node.value
                && !take(value)
            {
                return;
            }
            let Some(&first) = rest.first() else { return };
            let Ok(place) = self.child(at, first) else { return };
            at = node.children[place].1 as usize;
            let Some(left) = rest.strip_prefix(&*self.nodes[at].edge) else { return };
            rest = left;
        }
    }

    /// True if `message` begins with a prefix that is here.
    #[inline]
    pub fn matches(&self, message: &[u8]) -> bool {
        let mut found = false;
        self.matching(message, |_| {
            found = true;
            false
        });
        found
    }

    /// Every prefix.
    pub fn each(&self, mut take: impl FnMut(&[u8])) {
        let mut prefix = Vec::new();
        // Node, and how long the prefix is before its edge.
        let mut waiting = vec![(ROOT, 0)];
        while let Some((at, before)) = waiting.pop() {
            let node = &self.nodes[at];
            prefix.truncate(before);
            prefix.extend_from_slice(&node.edge);
            if node.value.is_some() {
                take(&prefix);
            }
            waiting.extend(node.children.iter().rev().map(|(_, child)| (*child as usize, prefix.len())));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn check_shape<V>(trie: &Trie<V>) {
        let mut seen = 0;
        let mut waiting = vec![ROOT];
        while let Some(at) = waiting.pop() {
            seen += 1;
            let node = &trie.nodes[at];
            assert!(at == ROOT || node.value.is_some() || node.children.len() > 1, "T-1");
            assert!(at == ROOT || !node.edge.is_empty(), "T-2");
            assert!(node.children.windows(2).all(|pair| pair[0].0 < pair[1].0), "T-2");
            for (first, child) in &node.children {
                assert_eq!(trie.nodes[*child as usize].edge.first(), Some(first), "T-2");
                waiting.push(*child as usize);
            }
        }
        assert_eq!(seen + trie.free.len(), trie.nodes.len(), "a node is in the tree or free");
    }

    proptest! {
        #[test]
        fn a_trie_does_what_a_map_of_prefixes_does(
            steps in prop::collection::vec(
                (any::<bool>(), prop::collection::vec(0u8..3, 0..6)), 0..200),
            message in prop::collection::vec(0u8..3, 0..10),
        ) {
            let mut trie = Trie::<u32>::default();
            let mut map = BTreeMap::<Vec<u8>, u32>::new();
            for (number, (adds, prefix)) in (1..).zip(steps) {
                if adds {
                    let (value, new) = trie.entry(&prefix);
                    *value = number;
                    prop_assert_eq!(new, map.insert(prefix, number).is_none());
                } else {
                    prop_assert_eq!(trie.remove(&prefix), map.remove(&prefix));
                }
                check_shape(&trie);
            }
            let mut found = Vec::new();
            trie.matching(&message, |value| { found.push(*value); true });
            let expected: Vec<_> =
                (0..=message.len()).filter_map(|end| map.get(&message[..end]).copied()).collect();
            prop_assert_eq!(trie.matches(&message), !expected.is_empty());
            prop_assert_eq!(found, expected);
            let mut all = Vec::new();
            trie.each(|prefix| all.push(prefix.to_vec()));
            prop_assert_eq!(all, map.keys().cloned().collect::<Vec<_>>());
            prop_assert_eq!(trie.len(), map.len());
        }
    }

    #[test]
    fn a_tree_as_deep_as_its_longest_prefix_needs_no_stack() {
        // Every node is a level; a frame of recursion per level would show with far fewer on a small stack.
        let topic = vec![7u8; 2048];
        let mut trie = Trie::<u32>::default();
        for end in 0..=topic.len() {
            trie.entry(&topic[..end]);
        }
        let mut matched = 0;
        trie.matching(&topic, |_| {
            matched += 1;
            true
        });
        assert_eq!(matched, topic.len() + 1);
        for end in 0..=topic.len() {
            assert!(trie.remove(&topic[..end]).is_some());
        }
        assert!(trie.is_empty());
        check_shape(&trie);
    }
}
