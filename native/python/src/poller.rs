//! The native half of a Poller: Python objects on one side, tokens of the core's poller on the other.
//!
//! What an object is (a socket of ours, a number, something with `fileno()`, a socket of pyzmq's) is
//! decided here. The table is locked for moments only, never while Python code may run. The core's
//! poller is taken out during a poll; a second thread that polls meanwhile makes one of its own.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use pyo3::exceptions::{PyOverflowError, PyTypeError, PyValueError};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyInt, PyList, PyTuple};
use shmzmq_core::poller::{Poller as Core, Raw, Ready};
use shmzmq_core::socket::Socket as CoreSocket;

use crate::errors::raise;
use crate::release;
use crate::socket::Socket;
use crate::waiting::Sleep;

const SPIN_WITH_GIL: Duration = Duration::from_micros(1);
const FD: i32 = 14;
const EVENTS: i32 = 15;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Ours,
    /// A number, or something with `fileno()`; asked in every poll.
    File,
    /// A socket of the pyzmq package: its EVENTS are asked, its FD wakes.
    Foreign,
}

/// Something registered.
struct Item {
    object: Py<PyAny>,
    flags: Py<PyAny>,
    kind: Kind,
    /// Order of registration, which is the order of results.
    order: u64,
}

/// What the core's poller has not heard yet.
enum Change {
    Put(usize),
    Modify(usize),
    Remove(usize),
}

#[derive(Default)]
struct Table {
    items: Vec<Option<Item>>,
    free: Vec<usize>,
    next: u64,
    /// Items that are not sockets of ours.
    outside: usize,
    changes: Vec<Change>,
    core: Option<Core>,
    busy: bool,
}

#[pyclass(subclass, frozen, module = "shmzmq._native")]
#[derive(Default)]
pub struct Poller {
    table: Mutex<Table>,
}

/// An item as one poll sees it.
struct Outsider {
    token: usize,
    object: Py<PyAny>,
    flags: i32,
    kind: Kind,
}

fn kind_of(object: &Bound<'_, PyAny>) -> PyResult<Kind> {
    if object.is_instance_of::<Socket>() {
        return Ok(Kind::Ours);
    }
    // Found by name: pyzmq need not be there.
    for class in object.get_type().mro() {
        let module = class.getattr("__module__")?;
        let module: String = module.extract().unwrap_or_default();
        if module.starts_with("zmq.backend") && class.getattr("__name__")?.eq("Socket")? {
            return Ok(Kind::Foreign);
        }
    }
    Ok(Kind::File)
}

/// The native socket, which may be gone already.
fn core_of(object: &Bound<'_, PyAny>) -> Weak<CoreSocket> {
    let socket = object.cast::<Socket>().ok().and_then(|socket| socket.get().opened().map(Arc::downgrade));
    socket.unwrap_or_default()
}

fn number(value: &Bound<'_, PyAny>) -> PyResult<i32> {
    if !value.is_instance_of::<PyInt>() {
        return Err(PyTypeError::new_err("an integer is required"));
    }
    value.extract().map_err(|_| PyOverflowError::new_err("value too large to convert to int"))
}

/// Whole milliseconds; None waits for ever.
fn milliseconds(timeout: &Bound<'_, PyAny>) -> PyResult<Option<i32>> {
    if timeout.is_none() || timeout.lt(0)? {
        return Ok(None);
    }
    if timeout.is_exact_instance_of::<PyInt>() {
        return number(timeout).map(Some);
    }
    number(&timeout.call_method0("__int__")?).map(Some)
}

/// The fd that poll(2) gets for something that is no ZeroMQ socket.
fn file_number(object: &Bound<'_, PyAny>) -> PyResult<i32> {
    if object.is_instance_of::<PyInt>() {
        return object.extract().map_err(|_| PyOverflowError::new_err("value too large to convert to fd"));
    }
    let fileno = object.getattr("fileno").map_err(|_| {
        let shown = object.repr().map_or_else(|_| "?".to_owned(), |text| text.to_string());
        PyTypeError::new_err(format!(
            "a poller takes sockets, integer fds and objects with a fileno() method, not {shown}"
        ))
    })?;
    let number = fileno.call0().and_then(|number| number.call_method0("__int__")?.extract());
    number.map_err(|_| PyValueError::new_err("fileno() must return a valid integer fd"))
}

impl Table {
    fn put(&mut self, object: Py<PyAny>, flags: Py<PyAny>, kind: Kind) -> usize {
        self.next += 1;
        let item = Item { object, flags, kind, order: self.next };
        let token = self.free.pop().unwrap_or_else(|| {
            self.items.push(None);
            self.items.len() - 1
        });
        self.items[token] = Some(item);
        self.outside += usize::from(kind != Kind::Ours);
        self.changes.push(Change::Put(token));
        token
    }

    /// The core's poller, up to date. True: it is the table's own, and must be given back.
    fn lend(&mut self, py: Python<'_>) -> PyResult<(Core, bool)> {
        let ours = !self.busy;
        let kept = if ours { self.core.take().filter(Core::is_ours) } else { None };
        let everything = || (0..self.items.len()).map(Change::Put).collect();
        let changes: Vec<Change> = match (&kept, ours) {
            (Some(_), _) => std::mem::take(&mut self.changes),
            (None, true) => {
                self.changes.clear();
                everything()
            }
            (None, false) => everything(),
        };
        let mut core = kept.unwrap_or_default();
        for (at, change) in changes.iter().enumerate() {
            if let Err(error) = self.tell(py, &mut core, change) {
                if ours {
                    // Fails again at the next poll, as long as it is registered.
                    self.changes = changes.into_iter().skip(at).collect();
                    self.core = Some(core);
                }
                return Err(error);
            }
        }
        self.busy |= ours;
        Ok((core, ours))
    }

    fn tell(&self, py: Python<'_>, core: &mut Core, change: &Change) -> PyResult<()> {
        let (Change::Put(token) | Change::Modify(token) | Change::Remove(token)) = *change;
        match &self.items[token] {
            Some(item) if item.kind == Kind::Ours => {
                let flags = number(item.flags.bind(py))?;
                match change {
                    Change::Put(_) => core.add(token, &core_of(item.object.bind(py)), flags),
                    Change::Modify(_) => core.modify(token, flags),
                    Change::Remove(_) => core.remove(token),
                }
            }
            _ => core.remove(token),
        }
        Ok(())
    }

    fn outsiders(&self, py: Python<'_>) -> PyResult<Vec<Outsider>> {
        if self.outside == 0 {
            return Ok(Vec::new());
        }
        let items = self.items.iter().enumerate().filter_map(|(token, item)| Some((token, item.as_ref()?)));
        let outside = items.filter(|(_, item)| item.kind != Kind::Ours);
        outside
            .map(|(token, item)| {
                let flags = number(item.flags.bind(py))?;
                Ok(Outsider { token, object: item.object.clone_ref(py), flags, kind: item.kind })
            })
            .collect()
    }
}

impl Outsider {
    /// What poll(2) is given for it.
    fn raw(&self, py: Python<'_>) -> PyResult<Raw> {
        let object = self.object.bind(py);
        let only_wakes = self.kind == Kind::Foreign;
        let (fd, events) = if only_wakes {
            (object.call_method1("getsockopt", (FD,))?.extract()?, shmzmq_core::poller::IN)
        } else {
            (file_number(object)?, self.flags)
        };
        Ok(Raw { token: self.token, fd, events, only_wakes })
    }

    /// What holds of a socket of pyzmq's, by its own word.
    fn ask(&self, py: Python<'_>) -> PyResult<i32> {
        let events: i32 = self.object.bind(py).call_method1("getsockopt", (EVENTS,))?.extract()?;
        Ok(events & self.flags)
    }
}

impl Poller {
    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, object: &Bound<'_, PyAny>, flags: &Bound<'_, PyAny>) -> PyResult<usize> {
        let kind = kind_of(object)?;
        Ok(self.table().put(object.clone().unbind(), flags.clone().unbind(), kind))
    }

    fn is_empty(&self) -> bool {
        let table = self.table();
        table.items.len() == table.free.len()
    }

    fn run(&self, py: Python<'_>, timeout: Option<i32>) -> PyResult<Py<PyList>> {
        if self.is_empty() {
            // libzmq would sleep; pyzmq does not ask it.
            return Ok(PyList::empty(py).unbind());
        }
        let outsiders = self.table().outsiders(py)?;
        let raws = outsiders.iter().map(|outsider| outsider.raw(py)).collect::<PyResult<Vec<_>>>()?;
        let (mut core, ours) = self.table().lend(py)?;
        let deadline = timeout.map(|ms| Instant::now() + Duration::from_millis(ms.unsigned_abs().into()));
        let outcome = self.poll_until(py, &mut core, &outsiders, &raws, deadline);
        if ours {
            let mut table = self.table();
            table.busy = false;
            table.core = Some(core);
        }
        release::drain(py);
        outcome
    }

    fn poll_until(
        &self,
        py: Python<'_>,
        core: &mut Core,
        outsiders: &[Outsider],
        raws: &[Raw],
        deadline: Option<Instant>,
    ) -> PyResult<Py<PyList>> {
        let foreign = || outsiders.iter().filter(|outsider| outsider.kind == Kind::Foreign);
        let mut ready: Vec<Ready> = Vec::new();
        let mut sleep = Sleep::new();
        loop {
            for outsider in foreign() {
                let events = outsider.ask(py)?;
                if events != 0 {
                    ready.push((outsider.token, events));
                }
            }
            core.try_poll(raws, &mut ready).map_err(|error| raise(py, &error))?;
            if !ready.is_empty() {
                let pairs = self.pairs(py, &mut ready, raws)?;
                if !pairs.bind(py).is_empty() {
                    return Ok(pairs);
                }
            }
            if deadline.is_some_and(|at| Instant::now() >= at) {
                return Ok(PyList::empty(py).unbind());
            }
            if raws.is_empty() && core.spin_briefly(SPIN_WITH_GIL) {
                continue;
            }
            let woken =
                py.detach(|| sleep.wait_for_any(core, raws, deadline)).map_err(|error| raise(py, &error))?;
            sleep.woke(py, woken)?;
        }
    }

    /// The list that `poll` returns, in the order of registration. What was taken off meanwhile is left out.
    fn pairs(&self, py: Python<'_>, ready: &mut Vec<Ready>, raws: &[Raw]) -> PyResult<Py<PyList>> {
        let mut found: Vec<(u64, Py<PyAny>, i32)> = Vec::with_capacity(ready.len());
        {
            let table = self.table();
            for (token, events) in ready.drain(..) {
                if let Some(Some(item)) = table.items.get(token) {
                    found.push((item.order, self.answer(py, item, token, raws), events));
                }
            }
        }
        if found.len() > 1 {
            found.sort_unstable_by_key(|(order, _, _)| *order);
        }
        let list = PyList::empty(py);
        for (_, object, events) in found {
            list.append((object, events).into_pyobject(py)?)?;
        }
        Ok(list.unbind())
    }

    /// Sockets are given back as they are, everything else as a number.
    fn answer(&self, py: Python<'_>, item: &Item, token: usize, raws: &[Raw]) -> Py<PyAny> {
        let raw = match item.kind {
            Kind::File => raws.iter().find(|raw| raw.token == token),
            _ => None,
        };
        match raw {
            Some(raw) => PyInt::new(py, raw.fd).into_any().unbind(),
            None => item.object.clone_ref(py),
        }
    }
}

#[pymethods]
impl Poller {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs))]
    fn new(_args: &Bound<'_, PyTuple>, _kwargs: Option<&Bound<'_, PyDict>>) -> Poller {
        Poller::default()
    }

    /// Registers an object; the key by which it is changed and taken off.
    fn _put(&self, socket: &Bound<'_, PyAny>, flags: &Bound<'_, PyAny>) -> PyResult<usize> {
        self.put(socket, flags)
    }

    fn _modify(&self, py: Python<'_>, key: usize, flags: Py<PyAny>) {
        let mut table = self.table();
        let mut old = None;
        if let Some(Some(item)) = table.items.get_mut(key) {
            old = Some(std::mem::replace(&mut item.flags, flags.clone_ref(py)));
            table.changes.push(Change::Modify(key));
        }
        drop(table);
        // Outside the lock: it may run a destructor.
        drop(old);
    }

    fn _remove(&self, key: usize) {
        let mut table = self.table();
        let item = table.items.get_mut(key).and_then(Option::take);
        if let Some(item) = &item {
            table.outside -= usize::from(item.kind != Kind::Ours);
            table.free.push(key);
            table.changes.push(Change::Remove(key));
            // Nothing of the socket is kept, if nobody polls now.
            if let (false, Some(core)) = (table.busy, &mut table.core) {
                core.remove(key);
            }
        }
        drop(table);
        drop(item);
    }

    /// Waits until something registered is ready.
    #[pyo3(signature = (timeout=None))]
    fn poll(&self, py: Python<'_>, timeout: Option<&Bound<'_, PyAny>>) -> PyResult<Py<PyList>> {
        let timeout = timeout.map_or(Ok(None), milliseconds)?;
        self.run(py, timeout)
    }

    /// Counters of what the polls so far did.
    fn _stats(&self) -> Vec<(&'static str, u64)> {
        let stats = self.table().core.as_ref().map(|core| core.stats).unwrap_or_default();
        vec![
            ("polls", stats.polls),
            ("looks", stats.looks),
            ("arms", stats.arms),
            ("system_calls", stats.system_calls),
            ("sleeps", stats.sleeps),
        ]
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        let Ok(table) = self.table.try_lock() else { return Ok(()) };
        for item in table.items.iter().flatten() {
            visit.call(&item.object)?;
            visit.call(&item.flags)?;
        }
        Ok(())
    }

    fn __clear__(&self) {
        let items = std::mem::take(&mut self.table().items);
        drop(items);
    }
}

/// One poll over a list of (socket, flags).
#[pyfunction]
#[pyo3(signature = (sockets, timeout=Timeout(None)), text_signature = "(sockets, timeout=-1)")]
pub fn zmq_poll(py: Python<'_>, sockets: &Bound<'_, PyAny>, timeout: Timeout) -> PyResult<Py<PyList>> {
    let poller = Poller::default();
    for index in 0..sockets.len()? {
        let pair = sockets.get_item(index)?;
        let pair: Vec<Bound<'_, PyAny>> = pair.try_iter()?.collect::<PyResult<_>>()?;
        let [socket, flags] = &pair[..] else {
            return Err(PyValueError::new_err(format!(
                "(socket, flags) expected, got {} values",
                pair.len()
            )));
        };
        poller.put(socket, flags)?;
    }
    poller.run(py, timeout.0)
}

/// Milliseconds of `zmq_poll`, which takes no None.
pub struct Timeout(Option<i32>);

impl<'py> FromPyObject<'_, 'py> for Timeout {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        if object.is_none() {
            return Err(PyTypeError::new_err("an integer is required"));
        }
        milliseconds(&object).map(Timeout)
    }
}
