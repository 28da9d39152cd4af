//! A table by key, in order: a sorted vector.
//!
//! For keys that come mostly in order (numbers that count up) or few at a time. What the standard library has for
//! this, `BTreeMap`, is several KiB of code for each pair of types, and slower to look into while it is small;
//! taking a row out of the middle moves those behind it (docs/design/decisions/0016-wheel-size.md).

#[derive(Debug, Clone)]
pub struct Table<K, V> {
    rows: Vec<(K, V)>,
}

impl<K, V> Default for Table<K, V> {
    fn default() -> Self {
        Table { rows: Vec::new() }
    }
}

impl<K: Ord, V> Table<K, V> {
    fn find(&self, key: &K) -> Result<usize, usize> {
        self.rows.binary_search_by(|(known, _)| known.cmp(key))
    }

    pub fn len(&self) -> usize {
        self.rows.len()
    }

    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    pub fn contains_key(&self, key: &K) -> bool {
        self.find(key).is_ok()
    }

    pub fn get(&self, key: &K) -> Option<&V> {
        self.find(key).ok().map(|at| &self.rows[at].1)
    }

    pub fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        self.find(key).ok().map(|at| &mut self.rows[at].1)
    }

    /// Takes the place of what the key had.
    pub fn insert(&mut self, key: K, value: V) {
        match self.find(&key) {
            Ok(at) => self.rows[at].1 = value,
            Err(at) => self.rows.insert(at, (key, value)),
        }
    }

    pub fn remove(&mut self, key: &K) -> Option<V> {
        self.find(key).ok().map(|at| self.rows.remove(at).1)
    }

    pub fn keys(&self) -> impl Iterator<Item = &K> {
        self.rows.iter().map(|(key, _)| key)
    }

    pub fn values(&self) -> impl Iterator<Item = &V> {
        self.rows.iter().map(|(_, value)| value)
    }

    pub fn iter(&self) -> impl Iterator<Item = &(K, V)> {
        self.rows.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        #[test]
        fn it_is_a_map_in_order(steps in prop::collection::vec((any::<bool>(), 0u8..20, any::<u16>()), 0..200)) {
            let (mut table, mut model) = (Table::default(), BTreeMap::new());
            for (puts, key, value) in steps {
                if puts {
                    table.insert(key, value);
                    model.insert(key, value);
                } else {
                    prop_assert_eq!(table.remove(&key), model.remove(&key));
                }
                prop_assert_eq!(table.len(), model.len());
                prop_assert_eq!(table.is_empty(), model.is_empty());
                prop_assert_eq!(table.get(&key), model.get(&key));
                prop_assert_eq!(table.get_mut(&key), model.get_mut(&key));
                prop_assert_eq!(table.contains_key(&key), model.contains_key(&key));
                prop_assert!(table.keys().eq(model.keys()));
                prop_assert!(table.values().eq(model.values()));
                prop_assert!(table.iter().map(|(key, value)| (key, value)).eq(model.iter()));
            }
        }
    }
}
