//! The arguments of a raw method, by position or keyword.

use pyo3::exceptions::PyTypeError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use shmzmq_core::error::Error;

use crate::errors::raise;

/// What the interpreter passes to a METH_FASTCALL|METH_KEYWORDS function, during the call.
#[derive(Clone, Copy)]
pub struct Call {
    args: *const *mut ffi::PyObject,
    count: ffi::Py_ssize_t,
    keywords: *mut ffi::PyObject,
}

impl Call {
    /// # Safety
    /// The arguments are those that the interpreter passed; it is gone before that call returns.
    #[inline(always)]
    pub unsafe fn new(
        args: *const *mut ffi::PyObject,
        count: ffi::Py_ssize_t,
        keywords: *mut ffi::PyObject,
    ) -> Call {
        Call { args, count, keywords }
    }

    /// No arguments at all.
    #[inline(always)]
    pub fn is_empty(&self) -> bool {
        self.count == 0 && self.keywords.is_null()
    }

    /// The argument, borrowed, if it is the only one and by position.
    #[inline(always)]
    pub fn only(&self) -> Option<*mut ffi::PyObject> {
        self.only_positional().filter(|_| self.keywords.is_null())
    }

    /// The same, whatever comes by keyword.
    #[inline(always)]
    pub fn only_positional(&self) -> Option<*mut ffi::PyObject> {
        // SAFETY: `args` has `count` entries.
        (self.count == 1).then(|| unsafe { *self.args })
    }

    #[inline(always)]
    pub fn is_only(&self) -> bool {
        self.only().is_some()
    }

    /// The arguments as a tuple and a dictionary, to be passed on.
    pub fn boxed<'py>(&self, py: Python<'py>) -> PyResult<(Bound<'py, PyTuple>, Option<Bound<'py, PyDict>>)> {
        // SAFETY: `args` has `count` entries, all alive during the call, and after them one for each keyword.
        let argument = |at: usize| unsafe { Bound::from_borrowed_ptr(py, *self.args.add(at)) };
        let count = self.count as usize;
        let positional = PyTuple::new(py, (0..count).map(argument))?;
        if self.keywords.is_null() {
            return Ok((positional, None));
        }
        // SAFETY: the interpreter passes a tuple of names.
        let names = unsafe { Bound::from_borrowed_ptr(py, self.keywords).cast_into_unchecked::<PyTuple>() };
        let keywords = PyDict::new(py);
        for (at, name) in names.iter().enumerate() {
            keywords.set_item(name, argument(count + at))?;
        }
        Ok((positional, Some(keywords)))
    }

    pub fn positional(&self) -> ffi::Py_ssize_t {
        self.count
    }

    /// The arguments in the order of `names`.
    pub fn arguments<const N: usize>(
        &self,
        py: Python<'_>,
        what: &str,
        names: [&str; N],
    ) -> PyResult<Arguments<N>> {
        // SAFETY: `new`'s caller vouches for them.
        unsafe { Arguments::parse(py, what, names, self.args, self.count, self.keywords) }
    }
}

/// Arguments of a fast call by position or keyword, in the order of `names`.
pub struct Arguments<const N: usize> {
    values: [*mut ffi::PyObject; N],
}

impl<const N: usize> Arguments<N> {
    /// # Safety
    /// The arguments are those that the interpreter passed to a METH_FASTCALL|METH_KEYWORDS function.
    unsafe fn parse(
        py: Python<'_>,
        what: &str,
        names: [&str; N],
        args: *const *mut ffi::PyObject,
        count: ffi::Py_ssize_t,
        keywords: *mut ffi::PyObject,
    ) -> PyResult<Self> {
        let mut values = [std::ptr::null_mut(); N];
        let count = count as usize;
        if count > N {
            return Err(PyTypeError::new_err(format!(
                "{what}() takes at most {N} arguments ({count} given)"
            )));
        }
        for (index, value) in values.iter_mut().enumerate().take(count) {
            // SAFETY: `args` has `count` entries.
            *value = unsafe { *args.add(index) };
        }
        if !keywords.is_null() {
            // SAFETY: `keywords` is a tuple of str, by the calling convention.
            let keywords = unsafe { Bound::from_borrowed_ptr(py, keywords).cast_into_unchecked::<PyTuple>() };
            for (index, keyword) in keywords.iter().enumerate() {
                let keyword: String = keyword.extract()?;
                let place = names.iter().position(|name| *name == keyword).ok_or_else(|| {
                    PyTypeError::new_err(format!("{what}() got an unexpected keyword argument '{keyword}'"))
                })?;
                if !values[place].is_null() {
                    return Err(PyTypeError::new_err(format!(
                        "{what}() got multiple values for '{keyword}'"
                    )));
                }
                // SAFETY: keyword values follow the positional ones.
                values[place] = unsafe { *args.add(count + index) };
            }
        }
        Ok(Arguments { values })
    }

    pub fn required(&self, index: usize, what: &str, name: &str) -> PyResult<*mut ffi::PyObject> {
        if self.values[index].is_null() {
            return Err(PyTypeError::new_err(format!("{what}() missing required argument: '{name}'")));
        }
        Ok(self.values[index])
    }

    pub fn required_object<'py>(
        &self,
        py: Python<'py>,
        index: usize,
        what: &str,
        name: &str,
    ) -> PyResult<Bound<'py, PyAny>> {
        let value = self.required(index, what, name)?;
        // SAFETY: borrowed from the caller's arguments, alive during the call.
        Ok(unsafe { Bound::from_borrowed_ptr(py, value) })
    }

    pub fn get<'py>(&self, py: Python<'py>, index: usize) -> Option<Bound<'py, PyAny>> {
        let value = self.values[index];
        // SAFETY: borrowed from the caller's arguments, alive during the call.
        (!value.is_null()).then(|| unsafe { Bound::from_borrowed_ptr(py, value) })
    }

    /// routing_id and group belong to draft socket types.
    pub fn refuse_drafts(&self, py: Python<'_>) -> PyResult<()> {
        for (index, name) in [(N - 2, "routing_id"), (N - 1, "group")] {
            if self.get(py, index).is_some_and(|value| !value.is_none()) {
                let error = Error::Invalid(format!("{name} belongs to draft socket types"));
                return Err(raise(py, &error));
            }
        }
        Ok(())
    }

    pub fn int(&self, py: Python<'_>, index: usize) -> PyResult<i64> {
        self.get(py, index).map_or(Ok(0), |value| value.extract())
    }

    pub fn truth(&self, py: Python<'_>, index: usize, default: bool) -> PyResult<bool> {
        self.get(py, index).map_or(Ok(default), |value| value.is_truthy())
    }
}
